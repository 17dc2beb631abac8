"""Which probes each check looks at, as tests of all checks must know."""

from __future__ import annotations

from collections.abc import Mapping

from harness.checks import (
    capacity,
    ceph,
    ceph_data,
    clients,
    csi,
    drills,
    rook,
    scheduling,
    soak,
    swarm,
    swarm_answers,
)

LOOKS_AT: Mapping[str, tuple[str, ...]] = {
    "every certificate lasts long enough": ("host-facts", "api-endpoints"),
    "every API server is ready": ("api-endpoints",),
    "the API answers through every server": ("api-endpoints",),
    "strangers are refused": ("api-endpoints",),
    "every declared machine is a ready node": ("nodes",),
    "every node has its declared address, role and version": ("nodes",),
    "no node is under pressure": ("nodes",),
    "no node has an undeclared taint": ("nodes",),
    "no node is unexpected": ("nodes",),
    "pods reach pods on every ordered pair of nodes": ("pod-network",),
    "full-sized packets pass between pods": ("pod-network",),
    "pods reach services": ("pod-network",),
    "names resolve in pods": ("pod-network",),
    "a name server answers the pods of every machine": ("pod-network",),
    "a network policy that denies really denies": ("network-policy",),
    "Cilium is healthy on every node": ("cilium",),
    "etcd writes its log fast enough": ("etcd-writes",),
    "an etcd snapshot is fresh": ("etcd-snapshots",),
    "a copy of the newest snapshot is off its machine": ("etcd-snapshots",),
    "the newest snapshot restores": ("etcd-snapshots",),
    "every disk for Ceph is the recorded one": ("osd-disks",),
    "no other partition has changed": ("osd-disks",),
    "each disk is used by its OSD alone": ("osd-disks",),
    "each disk commits fast enough": ("disk-bench",),
    "each disk is as fast as its baseline": ("disk-bench",),
    "only declared ports answer": ("open-ports",),
    "a service is given an address of the pool": ("load-balancer",),
    "the service answers at its address": ("load-balancer",),
    "the load balancer's pool has addresses left": ("load-balancer",),
    "every API service is available": ("api-objects",),
    "no namespace is stuck in its deletion": ("api-objects",),
    "a host reaches its service": ("ingress",),
    "an unknown host gets 404": ("ingress",),
    "every declared site answers": ("ingress",),
    "TLS is valid": ("ingress",),
    "the existing storage is mounted and readable everywhere": ("legacy-mount",),
    "the existing storage is unchanged": ("legacy-manifest",),
    "one shared claim holds the backups": ("backup-claims",),
    "no instance has a backup claim of its own": ("backup-claims",),
    "backups lie as declared": ("backup-claims",),
    "the storage class is as declared": ("claims",),
    "claims are bound in time": ("claims",),
    "what one machine writes every other reads unchanged": ("claims",),
    "metadata survives": ("claims",),
    "appenders with locks lose nothing": ("claims",),
    "many small files are whole": ("claims",),
    "a full claim gives EDQUOT": ("claims",),
    "a claim grows while it is in use": ("claims",),
    "a deleted claim gives its space back": ("claims",),
    **dict.fromkeys(ceph.CHECKS | ceph_data.CHECKS | capacity.CHECKS, ("ceph",)),
    **dict.fromkeys([*rook.CHECKS, *csi.CHECKS], ("rook",)),
    **dict.fromkeys(clients.CHECKS, ("ledger",)),
    **dict.fromkeys(drills.CHECKS, ("drills",)),
    **dict.fromkeys(soak.CHECKS, ("soak",)),
    **dict.fromkeys(swarm.CHECKS | swarm_answers.CHECKS, ("swarm",)),
    **dict.fromkeys(scheduling.CHECKS, ("scheduling",)),
}


def looks_at(check: str) -> tuple[str, ...]:
    """The probes; of a check that is in no table, the facts of the machines."""
    return LOOKS_AT.get(check, ("host-facts",))
