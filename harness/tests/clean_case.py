"""A cluster in perfect order, as the probes would have seen it, to be broken by tests."""

from __future__ import annotations

import marshal
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import permutations
from typing import Any

from harness.core.declared import Machine
from harness.core.model import Case, Observation
from harness.tests import clean_drills, clean_services, clean_shift, clean_storage
from harness.tests.clean_cluster import (
    CLUSTER,
    DAY_S,
    INGRESS,
    MACHINES,
    MEMBER_IDS,
    NAMES,
    NOW,
    SWARM,
    TARGETS,
    WEB,
)

# What was seen: probe → target → value.
Seen = dict[str, dict[str, Any]]


def case(seen: Seen, errors: Mapping[tuple[str, str], str] | None = None) -> Case:
    """The case that these values make; ``errors`` replaces looks by why there was none."""
    observations: Sequence[Observation] = [
        Observation(
            probe=probe,
            target=target,
            at=NOW,
            took_s=1.0,
            value=None if (probe, target) in (errors or {}) else value,
            error=(errors or {}).get((probe, target)),
        )
        for probe, targets in seen.items()
        for target, value in targets.items()
    ]
    return Case(cluster=CLUSTER, targets=TARGETS, observations=observations)


def clean() -> Seen:
    """Everything as it should be; the caller may change it."""
    seen: Seen = marshal.loads(_clean())
    return seen


@cache
def _clean() -> bytes:
    """The same, to be read anew each time: in no part of it do two places share one object."""
    return marshal.dumps(
        {
            "nodes": {"test": {machine.name: _node(machine) for machine in MACHINES}},
            "host-facts": {machine.name: _host(machine) for machine in MACHINES},
            "etcd-writes": {"test": _writes()},
            "api-endpoints": {name: _api() for name in NAMES},
            "api-objects": {"test": _objects()},
            "pod-network": {"test": _pods()},
            "network-policy": {"test": {name: _policy() for name in NAMES}},
            "cilium": {name: _cilium() for name in NAMES},
            "etcd-snapshots": {"test": _snapshots()},
            "open-ports": {machine.name: _ports(machine) for machine in MACHINES},
            "load-balancer": {"test": _balancer()},
            "ingress": {"test": _ingress()},
            "swarm": {name: _swarm(name) for name in NAMES},
            "scheduling": {CLUSTER.name: _scheduling()},
            **clean_services.seen(),
            **clean_storage.seen(),
            **clean_drills.seen(),
            **clean_shift.seen(),
        },
        2,
    )


def _node(machine: Machine) -> Any:
    return {
        "addresses": [machine.address],
        "roles": ["control-plane", "etcd"],
        "version": CLUSTER.kubernetes_version,
        "conditions": {"Ready": "True", "MemoryPressure": "False", "DiskPressure": "False"},
        "taints": [],
    }


def _host(machine: Machine) -> Any:
    unit = {"ActiveState": "active", "UnitFileState": "enabled", "NeedDaemonReload": "no"}
    absent = {"ActiveState": "inactive", "UnitFileState": "", "NeedDaemonReload": "no"}
    others = [other for other in MACHINES if other is not machine]
    values = {
        "clock": {"at_least_s": -0.02, "at_most_s": 0.03},
        "chrony": {
            "reference_id": "0A0000FE",
            "reference": "10.0.0.254",
            "stratum": 3,
            "offset_s": -0.004,
            "leap": "Normal",
            "updated_s": 90.0,
            "sources": [{"name": "10.0.0.254", "state": "*", "reach": 0o377}],
        },
        "swap": {"active": [], "at_boot": []},
        "memory": {"total_bytes": 8 << 30, "available_bytes": 4 << 30},
        "interfaces": [{"name": "eth0", "mtu": 1500, "addresses": [machine.address]}],
        "units": {
            "rke2-server.service": unit,
            "rke2-agent.service": absent,
            "chrony.service": unit,
            "chronyd.service": absent,
        },
        "boot": {"default_target": "multi-user.target", "failed_units": []},
        "disk /": {"free_percent": 60.0, "inodes_free_percent": 90.0},
        "disk /var/lib/rancher": {"free_percent": 60.0, "inodes_free_percent": None},
        "sysctl net.ipv4.ip_forward": "1",
        "sysctl settings": {},
        "certificates": {
            "unmatched": [],
            "files": [{"path": "/tls/a.crt", "subject": "CN=a", "not_after": NOW + 300 * DAY_S}],
        },
        "kubeconfig /etc/rancher/rke2/rke2.yaml": {"owner": "root", "group": 0, "mode": "0600"},
        **{f"path to {o.name}": {"sent": 2, "received": 2, "says": ""} for o in others},
        **_etcd(machine),
    }
    return {name: {"value": value} for name, value in values.items()}


def _etcd(machine: Machine) -> Any:
    members = [
        {"ID": MEMBER_IDS[m.name], "peerURLs": [f"https://{m.address}:2380"]} for m in MACHINES
    ]
    trips = {f"etcd round trips to {m.name}": [0.002] * 100 for m in MACHINES if m is not machine}
    return {
        "etcd listens": True,
        "etcd members": {"members": members},
        "etcd status": {"leader": MEMBER_IDS[NAMES[0]]},
        "etcd alarms": {},
        "etcd metrics": {"db_bytes": 5e6, "quota_bytes": 2e9},
        **trips,
    }


def _writes() -> Any:
    members = {name: {"wal_fsync_s": buckets(496, 3, 1)} for name in NAMES}
    return {"writes": 500, "took_s": 4.0, "members": members}


def buckets(within_4_ms: int, within_64_ms: int, beyond: int) -> Any:
    """A cumulative histogram with so many samples in each of three ranges."""
    middle = within_4_ms + within_64_ms
    return [[0.004, within_4_ms], [0.064, middle], [None, middle + beyond]]


def _api() -> Any:
    values = {
        "readyz": {"status": 200, "failed": []},
        "namespace": {"status": 200, "uid": "u-1"},
        "certificate": {"subject": "CN=kube-apiserver", "not_after": NOW + 300 * DAY_S},
        "anonymous api": 401,
        "anonymous kubelet": 401,
    }
    return {name: {"value": value} for name, value in values.items()}


def _objects() -> Any:
    services = ("v1.", "v1.apps", "v1beta1.metrics.k8s.io")
    return {
        "services": {name: {"available": "True", "message": ""} for name in services},
        "terminating": {},
    }


def _pods() -> Any:
    fine = {"value": None, "took_s": 0.02}
    pair = {
        "small": {"received": 5, **fine},
        "large": {"received": 5, "bytes": 1450, **fine},
        "tcp": fine,
        "bulk": fine,
        "service": fine,
    }
    found = {"value": ["10.43.0.9"], "took_s": 0.02}
    names = {
        "expected": ["10.43.0.9"],
        "resolver": {"short name": found, "full name": found},
        "nameserver": {"10.43.0.10": found},
        "servers": {"10.42.1.9": {"on": NAMES[1], **found}},
    }
    return {
        "pairs": {f"{one} → {other}": pair for one, other in permutations(NAMES, 2)},
        "names": dict.fromkeys(NAMES, names),
        "dns_on": [NAMES[1]],
    }


def _policy() -> Any:
    fine, shut = {"value": None, "took_s": 0.1}, {"error": "timed out", "took_s": 1.0}
    return {
        "before": {"friend": fine, "stranger": fine},
        "after": {"friend": fine, "stranger": shut},
        "denied_after_s": 1.0,
    }


def _cilium() -> Any:
    return {
        "pod": "cilium-x",
        "ready": True,
        "parts": {"cilium": {"state": "Ok", "message": ""}},
        "controllers": [],
        "health": "Ok",
        "reachable": {"nodes": 3, "of": 3},
    }


def _snapshots() -> Any:
    """Each server took one an hour ago, and all see the three copies."""
    files = [snapshot_file(f"hourly-{name}", hours=1 + n / 10) for n, name in enumerate(NAMES)]
    listed = {
        name: {"snapshots": {"value": [dict(file)]}, "copies": {"value": files}}
        for name, file in zip(NAMES, files, strict=True)
    }
    return {
        "listed": listed,
        "newest": {
            "name": f"hourly-{NAMES[0]}",
            "origin": [NAMES[0]],
            "seen_by": list(NAMES),
            "restored_on": NAMES[1],
        },
        "original": {"value": "5a5a"},
        "cluster_uid": "u-1",
        "restored": {
            "value": {
                "sha256": "5a5a",
                "bytes": 4096,
                "expected_revision": 812,
                "expected_keys": 340,
                "revision": 812,
                "keys": 340,
                "uid": "u-1",
            }
        },
    }


def snapshot_file(name: str, *, hours: float) -> Any:
    """A whole file of so many hours ago, as it is listed."""
    return {"name": name, "bytes": 4096, "modified": NOW - 3600 * hours}


def _ports(machine: Machine) -> Any:
    addresses = (machine.address, f"2001:db8::{machine.address[-1]}")
    tcp = {"open": [22, 6443], "refused": 65533, "silent": 0}
    udp = {"asked": {"8472": "the kernel"}, "of_cluster": {}, "answered": [], "refused": []}
    listening = {"protocol": "tcp", "address": "::", "port": 22, "device": "", "both": True}
    return {
        "tcp": {it: {"value": {**tcp, "open": [22, 6443]}} for it in addresses},
        "udp": {it: {"value": udp} for it in addresses},
        "cluster": {"value": {}},
        "machine": {
            "value": {
                "addresses": [*addresses, "10.42.0.1"],
                "sockets": [{**listening, "program": "sshd"}],
                "arrived": [[it, 8472] for it in addresses],
                "passed": [],
                "forwarded": [],
            }
        },
    }


def _balancer() -> Any:
    answer = {"value": "balanced", "took_s": 0.1}
    given = {"address": "10.0.0.201", "given_after_s": 0.4, "said": "", "taken": ["10.0.0.200"]}
    return {**given, "answer": answer}


def _ingress() -> Any:
    certificate = {"value": {"subject": "CN=site", "not_after": NOW + DAY_S}}
    site = {
        "ours": {"value": "site", "took_s": 1.2},
        "stranger": {"value": 404},
        "certificate": certificate,
    }
    declared = {"value": {"subject": "CN=shop", "not_after": NOW + 90 * DAY_S}}
    return {
        "sites": {machine.address: site for machine in MACHINES},
        "declared": {f"shop.example at {machine.address}": declared for machine in MACHINES},
        "pages": {
            INGRESS.at(page, address): {"value": {"status": 200, "said": True, "location": ""}}
            for page in INGRESS.pages
            for address in INGRESS.addresses
        },
    }


def _scheduling() -> Any:
    """Three machines of 8 GiB, with a pod of 2 GiB each, and one that goes with its machine."""
    node = {"bytes": 8 << 30, "labels": {}, "taints": [], "takes_pods": True}
    pod = {
        "bytes": 2 << 30,
        "owner": "ReplicaSet",
        "selector": {},
        "affinities": [],
        "tolerations": [],
        "images": ["docker.io/library/odoo:18"],
    }
    kinds = {"web": "ReplicaSet", "agent": "DaemonSet"}
    return {
        "nodes": {name: {**node, "labels": {"name": name}} for name in NAMES},
        "pods": [
            {**pod, "name": f"odoo/{kind}-{name}", "node": name, "owner": owner}
            for name in NAMES
            for kind, owner in kinds.items()
        ],
        "odd": {"nodes": {}, "pods": {}, "volumes": {}},
    }


def _swarm(name: str) -> Any:
    """Two managers and a worker; the workers of the platform run on the first two."""
    nodes = [
        {
            "id": f"node-{other}",
            "name": other,
            "state": "ready",
            "availability": "active",
            "manager": other in SWARM.managers,
            "why": "",
            "reachability": "reachable" if other in SWARM.managers else "",
            "leader": other == NAMES[0],
        }
        for other in NAMES
    ]
    services = [
        swarm_service(service, declared.replicas or 0, ports=[it.port for it in declared.answers])
        for service, declared in SWARM.services.items()
    ]
    services += [swarm_service("odoo-acme-1a2b3c4d", 1), swarm_service("odoo-globex-5e6f7a8b", 0)]
    manager = name in SWARM.managers
    own = {"id": f"node-{name}", "state": "active", "manager": manager, "why": ""}
    answer = {"value": {"status": 200, "said": True, "location": "", "took_s": 0.02}}
    instances = {
        "odoo-acme-1a2b3c4d": {"acme.example.com": answer},
        "odoo-globex-5e6f7a8b": {},
    }
    return {
        "docker": {"value": own},
        "swarm": {"value": {"nodes": nodes, "services": services}} if manager else None,
        "answers": {WEB.at(other): answer for other in NAMES},
        "instances": instances if manager else None,
    }


def swarm_service(name: str, replicas: int, **changes: Any) -> dict[str, Any]:
    """A service of the old platform with all of its tasks, as its probe tells of it."""
    return {
        "name": name,
        "mode": "replicated",
        "replicas": replicas,
        "running": [NAMES[task % 3] for task in range(replicas)],
        "unheard": [],
        "others": [],
        "failed": [],
        "ended": [],
        "ports": [],
        "update": None,
        "places": list(NAMES),
        "hosts": [],
        **changes,
    }
