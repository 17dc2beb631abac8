"""A cluster in perfect order, as the probes would have seen it, to be broken by tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import cache
from itertools import permutations
from typing import Any

from harness.model import (
    Case,
    Cluster,
    Machine,
    Observation,
    OsdDisk,
    RecordedPartition,
    StorageClass,
)
from harness.tests import rook_objects
from harness.tests.probe_rig import observe, reach
from harness.transport.fake import FakeKube

NAMES = ("vmi2887101", "vmi2887102", "vmi2887103")
MACHINES = tuple(
    Machine(name=name, address=f"10.0.0.{number}", roles=("server", "worker"))
    for number, name in enumerate(NAMES, start=1)
)
GIB = 1 << 30
PARTITIONS = (
    RecordedPartition(
        number=1, start_bytes=1 << 20, size_bytes=149 * GIB, type="linux", partuuid="u1"
    ),
    RecordedPartition(
        number=2, start_bytes=150 * GIB, size_bytes=149 * GIB, type="linux", partuuid="u2"
    ),
)
OSD_DISKS = {
    name: OsdDisk(
        path="/dev/sda2",
        number=2,
        osd=number,
        raw=False,
        machine_id=f"id-{name}",
        disk_bytes=300 * GIB,
        partitions=PARTITIONS,
    )
    for number, name in enumerate(NAMES)
}
CLUSTER = Cluster(
    name="test",
    machines=MACHINES,
    kubernetes_version="v1.34.4+rke2r1",
    expected_taints=dict.fromkeys(NAMES, ()),
    sysctls={"net.ipv4.ip_forward": "1"},
    pod_mtu=1450,
    exposed_ports=(22, 6443),
    load_balancer_pool=("10.0.0.200-10.0.0.219",),
    osd_disks=OSD_DISKS,
    storage=StorageClass(
        name="cephfs",
        provisioner="rook-ceph.cephfs.csi.ceph.com",
        parameters={"fsName": "cephfs", "pool": "cephfs_data"},
    ),
    legacy={"path": "/mnt/cephfs", "type": "fuse.ceph-fuse", "source": "ceph-fuse"},
    backups={"claim": "odoo-backups-storage", "namespace": "odoo"},
    source_gb=86.0,
    rook=rook_objects.profile("cluster").cluster().rook,
)
TARGETS = {
    "clock_source_offset_ms": 100.0,
    "clock_between_nodes_ms": 250.0,
    "disk_free_percent": 20.0,
    "memory_available_percent": 10.0,
    "members_count": 3.0,
    "db_quota_percent": 50.0,
    "wal_fsync_p99_ms": 10.0,
    "peer_rtt_p99_ms": 50.0,
    "certificate_days": 30.0,
    "snapshot_age_hours": 24.0,
    "address_s": 30.0,
    "route_s": 30.0,
    "pair_s": 5.0,
    "sync_write_iops": 500.0,
    "sync_p99_ms": 10.0,
    "osd_bench_deviation_percent": 20.0,
    "bind_s": 60.0,
    "overshoot_percent": 10.0,
    "grow_s": 60.0,
    "give_back_s": 120.0,
    "claims_count": 1.0,
    "claim_gib": 500.0,
    "monitors_count": 3.0,
    "copies_count": 3.0,
    "min_copies_count": 2.0,
    "osds_per_machine_count": 1.0,
    "monitor_skew_ms": 50.0,
    "scrub_age_days": 10.5,
    "deep_scrub_age_days": 12.25,
    "usable_gb": 135.0,
    "source_ratio": 1.5,
    "used_after_loss_percent": 85.0,
    "health_age_minutes": 10.0,
}
NOW = 1_795_500_000.0
DAY_S = 86_400
MEMBER_IDS = {name: str(1000 + number) for number, name in enumerate(NAMES)}

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
    return deepcopy(
        {
            "nodes": {"test": {machine.name: _node(machine) for machine in MACHINES}},
            "host-facts": {machine.name: _host(machine) for machine in MACHINES},
            "etcd-writes": {"test": _writes()},
            "api-endpoints": {name: _api() for name in NAMES},
            "pod-network": {"test": _pods()},
            "network-policy": {"test": {name: _policy() for name in NAMES}},
            "cilium": {name: _cilium() for name in NAMES},
            "etcd-snapshots": {"test": _snapshots()},
            "open-ports": {machine.name: _ports(machine) for machine in MACHINES},
            "load-balancer": {"test": _balancer()},
            "ingress": {"test": _ingress()},
            "disk-bench": {name: _bench() for name in NAMES},
            "osd-disks": {name: _osd_disk(name) for name in NAMES},
            "claims": {"test": _claims()},
            "legacy-mount": {name: _legacy_mount() for name in NAMES},
            "legacy-manifest": {"test": _legacy_manifest()},
            "backup-claims": {"test": _backup_claims()},
            "ceph": {"test": _ceph()},
            "rook": {"test": _rook()},
        }
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
        "certificates": {
            "unmatched": [],
            "files": [{"path": "/tls/a.crt", "subject": "CN=a", "not_after": NOW + 300 * DAY_S}],
        },
        "kubeconfig /etc/rancher/rke2/rke2.yaml": {"owner": "root", "mode": "0600"},
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
    }
    return {
        "pairs": {f"{one} → {other}": deepcopy(pair) for one, other in permutations(NAMES, 2)},
        "names": {name: deepcopy(names) for name in NAMES},
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
    return {"pod": "cilium-x", "ready": True, "parts": {"cilium": {"state": "Ok", "message": ""}}}


def _snapshots() -> Any:
    """Each server took one an hour ago, and all see the three copies."""
    files = [_file(f"hourly-{name}", hours=1 + n / 10) for n, name in enumerate(NAMES)]
    listed = {
        name: {"snapshots": {"value": [dict(file)]}, "copies": {"value": deepcopy(files)}}
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
                "revision": 812,
                "keys": 340,
                "uid": "u-1",
            }
        },
    }


def _file(name: str, *, hours: float) -> Any:
    return {"name": name, "bytes": 4096, "modified": NOW - 3600 * hours}


def _ports(machine: Machine) -> Any:
    return {"address": machine.address, "open": [22, 6443], "refused": 65533, "silent": 0}


def _balancer() -> Any:
    answer = {"value": "balanced", "took_s": 0.1}
    return {"address": "10.0.0.201", "given_after_s": 0.4, "said": "", "answer": answer}


def _ingress() -> Any:
    certificate = {"value": {"subject": "CN=site", "not_after": NOW + DAY_S}}
    site = {
        "ours": {"value": "site", "took_s": 1.2},
        "stranger": {"value": 404},
        "certificate": certificate,
    }
    declared = {"value": {"subject": "CN=shop", "not_after": NOW + 90 * DAY_S}}
    return {
        "sites": {machine.address: deepcopy(site) for machine in MACHINES},
        "declared": {f"shop.example at {machine.address}": declared for machine in MACHINES},
    }


def _bench() -> Any:
    bench = {"iops": 1900.0, "ended": True, "p99_ms": 4.0, "age_days": 0.0}
    return {**bench, "baseline_iops": 2000.0}


def _osd_disk(name: str) -> Any:
    number = NAMES.index(name)
    table = [
        {
            "number": it.number,
            "start_bytes": it.start_bytes,
            "size_bytes": it.size_bytes,
            "type": it.type,
            "partuuid": it.partuuid,
            "label": "",
        }
        for it in PARTITIONS
    ]
    osds = {
        str(osd): {"uuid": f"osd-{osd}", "machine": other, "device": "8:0", "bytes": 149 * GIB}
        for osd, other in enumerate(NAMES)
    }
    seen = {
        "unseen": {},
        "machine": {"hostname": name, "machine_id": f"id-{name}"},
        "kind": "block device",
        "partition": 2,
        "kernel": {
            "start_bytes": 150 * GIB,
            "size_bytes": 149 * GIB,
            "disk_bytes": 300 * GIB,
            "read_only": False,
            "serial": "",
        },
        "table": table,
        "signatures": ["ceph_bluestore (blkid)"],
        "labels": {"partition": [0], "disk": []},
        "owner": {"osd_uuid": f"osd-{number}", "whoami": str(number), "ceph_fsid": "f-1"},
        "nested": False,
        "osds": ["8:0"],
        **{it: [] for it in ("mounts", "swaps", "holders", "loops", "children")},
    }
    return {"seen": seen, "ceph": {"value": {"fsid": "f-1", "osds": osds}}}


def _claims() -> Any:
    mib = 1 << 20
    pairs = [f"{one} → {other}" for one, other in permutations(NAMES, 2)]
    wanted = {"mode": "0o4751", "owner": "20001:20500", "access list": "0200"}
    read = {"value": {"right": 65, "wrong": 0, "first": []}}
    lines = {"value": {"right": 180, "torn": 0, "lost": 0, "twice": 0, "first": []}}
    written = {name: {"value": {"blocks": 65}} for name in NAMES}
    phase = {"written": written, "read": dict.fromkeys(pairs, read)}

    def filled(size: int, written: int) -> Any:
        return {"value": {"quota": size, "bytes": written, "ended": "EDQUOT", "took_s": 2.0}}

    return {
        "seed": 7,
        "class": {
            "value": {
                "provisioner": "rook-ceph.cephfs.csi.ceph.com",
                "reclaim_policy": "Delete",
                "expands": True,
                "parameters": {"fsName": "cephfs", "pool": "cephfs_data"},
            }
        },
        "bound": {
            f"spare-{number:02}": {"after_s": number / 10, "modes": ["ReadWriteMany"]}
            for number in range(1, 21)
        },
        "data": {"first": phase, "again": phase},
        "metadata": {
            "made": {n: {"value": {"list_refused": "", "wanted": wanted}} for n in NAMES},
            "seen": {pair: {"value": wanted} for pair in pairs},
        },
        "small": phase,
        "lines": {"written": written, "read": dict.fromkeys(NAMES, lines)},
        "full": {
            "size": 64 * mib,
            "first": filled(64 * mib, 64 * mib),
            "second": filled(64 * mib, 0),
        },
        "grown": {"size": 96 * mib, "after_s": 0.7, "filled": filled(96 * mib, 96 * mib)},
        "deleted": {
            "filled": 96 * mib,
            "before": 20 * mib,
            "full": 118 * mib,
            "after": 22 * mib,
            "gone_after_s": 3.0,
            "given_back_after_s": 11.0,
        },
    }


def _legacy_mount() -> Any:
    mount = {"type": "fuse.ceph-fuse", "source": "ceph-fuse"}
    return {"mount": mount, "read": {"value": {"names": 3, "read": "filestore/ab/ab12"}}}


def _legacy_manifest() -> Any:
    sums = {"entries": 60, "files": 40, "bytes": 3_000_000_000, "errors": 0, "unstable": 0}
    return {
        "machine": NAMES[0],
        "baseline": {
            "path": "/state/baselines/test.manifest.zst",
            "sha256": "5a" * 32,
            "root": "/mnt/cephfs",
            "started": NOW - 7 * DAY_S,
            "sums": sums,
            "more_left_out": [],
        },
        "sums": sums,
        "counts": {"changed": 0, "removed": 0, "added": 0, "unread": 0},
        "first": [],
    }


def _backup_claims() -> Any:
    claim = {
        "namespace": "odoo",
        "name": "odoo-backups-storage",
        "modes": ["ReadWriteMany"],
        "bytes": 500 << 30,
        "phase": "Bound",
        "why": "odoo-backups-storage",
    }
    top = [{"name": name, "kind": "folder"} for name in ("active", "staging")]
    active = [{"name": "acme", "kind": "folder"}]
    return {"claims": [claim], "layout": {"value": {"top": top, "active": active}}}


def _ceph() -> Any:
    """Three disks of 150 GB, a fifth full, with two pools; scrubbed yesterday."""
    version = "ceph version 19.2.3 (c92aebb279828e9c3c1f5d24613efca272649e62) squid (stable)"
    pool = {"size": 3, "min_size": 2, "type": 1, "crush_rule": 0}
    steps = [{"op": "take"}, {"op": "chooseleaf_firstn", "num": 0, "type": "host"}, {"op": "emit"}]
    scrubs = {"scrubbed": NOW - DAY_S, "deep_scrubbed": NOW - 5 * DAY_S}
    acting = [[0, 1, 2], [2, 0, 1]]
    items = {
        "health": {"status": "HEALTH_OK", "checks": {}, "muted": []},
        "quorum": {"fsid": "f-1", "monitors": list(NAMES), "in": list(NAMES)},
        "clocks": {name: {"skew_s": 0.002, "health": "HEALTH_OK"} for name in NAMES},
        "osd map": {
            "flags": ["sortbitwise", "recovery_deletes", "purged_snapdirs", "pglog_hardlimit"],
            "nearfull_ratio": 0.8500000238418579,
            "pools": [{"id": 1, "name": ".mgr", **pool}, {"id": 2, "name": "cephfs_data", **pool}],
        },
        "osd tree": {
            "hosts": {name: [{"id": n, "up": True, "in": True}] for n, name in enumerate(NAMES)},
            "stray": [],
        },
        "crush": {
            "types": {"osd": 0, "host": 1, "rack": 3, "root": 11},
            "rules": {"0": {"name": "replicated_rule", "steps": steps}},
        },
        "osd use": {
            str(n): {"bytes": 150e9, "used_bytes": 30e9, "weight": 0.136} for n in range(len(NAMES))
        },
        "room": {
            ".mgr": {"stored_bytes": 1e6, "more_bytes": 108e9},
            "cephfs_data": {"stored_bytes": 29e9, "more_bytes": 108e9},
        },
        "placement groups": [
            {"id": f"{id_}.0", "state": "active+clean", "acting": osds, **scrubs}
            for id_, osds in enumerate(acting, start=1)
        ],
        "crashes": [],
        "versions": {kind: {version: 3} for kind in ("mon", "mgr", "osd", "mds")},
    }
    told = {name: {"value": value} for name, value in items.items()}
    return {"through": NAMES[0], "items": told, "silent": {}, "lost": {}}


@cache
def _rook() -> Any:
    """What the probe makes of the recorded objects."""
    kube = FakeKube(rook_objects.served(rook_objects.recorded("cluster", now=NOW)))
    ways = reach(kube=kube, like=rook_objects.profile("cluster"))
    return observe("rook", ways, "contabo")
