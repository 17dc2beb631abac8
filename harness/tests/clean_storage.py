"""The storage of a cluster in perfect order, as the probes would have seen it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from itertools import permutations
from typing import Any

from harness.ledger.checker import Reading, results
from harness.ledger.history import Event
from harness.ledger.result import observed
from harness.settings.storage import Velero
from harness.tests import rook_objects, velero_objects
from harness.tests.clean_cluster import DAY_S, GIB, NAMES, NOW, PARTITIONS
from harness.tests.fake_transport import FakeKube
from harness.tests.probe_rig import PROFILE, observe, reach

_KINDS = ("postgres", "bank", "cephfs", "http", "objects")


def seen() -> dict[str, dict[str, Any]]:
    """Probe → target → value; the caller copies it."""
    return {
        "disk-bench": {name: _bench() for name in NAMES},
        "osd-disks": {name: _osd_disk(name) for name in NAMES},
        "claims": {"test": _claims()},
        "legacy-mount": {name: _legacy_mount() for name in NAMES},
        "legacy-manifest": {"test": _legacy_manifest()},
        "backup-claims": {"test": _backup_claims()},
        "ceph": {"test": _ceph()},
        "rook": {"test": _rook()},
        "velero": {"test": _velero()},
        "ledger": json.loads(json.dumps(observed(results(_events(), _readings())))),
    }


def _events() -> Iterator[Event]:
    """Five kinds write for twelve seconds; a fault keeps them from it for three of these."""
    yield "due", "bank/0", 1000, 0
    for second in [*range(6), *range(9, 15)]:
        if second == 5:
            yield "mark", "fault injected", 0, second * 1_000_000 + 1
        for number, kind in enumerate(_KINDS):
            at = second * 1_000_000 + number * 1000 + 2
            yield "invoke", f"{kind}/0", second - 3 * (second > 5), at
            yield "ok", f"{kind}/0", second - 3 * (second > 5), at + 500
        yield "total", "bank/0", 1000, second * 1_000_000 + 900_000


def _readings() -> dict[str, list[Reading]]:
    there = {kind: [(f"{kind}/0", seq) for seq in range(12)] for kind in _KINDS}
    return {
        kind: [Reading(by="m1", began_us=20_000_000, found=found)] for kind, found in there.items()
    }


def _bench() -> Any:
    bench = {"iops": 1900.0, "ended": True, "p99_ms": 4.0, "age_days": 0.0}
    return {**bench, "baseline_iops": 2000.0, "noise_percent": 4.0}


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
    mount = {"type": "fuse.ceph-fuse", "source": "ceph-fuse", "root": "/", "read_only": False}
    return {
        "mount": mount,
        "read": {"value": {"names": 3, "read": "filestore/ab/ab12"}},
        "write": {"folder": "/mnt/cephfs/cutover-writes", "value": True},
    }


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
    top = [{"name": name, "kind": "folder"} for name in ("active", "staging", "temp")]
    ends = ("database.sql", "data.tar.gz", "metadata.json")
    active = [{"name": f"acme_{end}", "kind": "file"} for end in ends]
    return {"claims": [claim], "odd": {}, "layout": {"value": {"top": top, "active": active}}}


def _ceph() -> Any:
    """Three disks of 150 GB, a fifth full, with two pools; scrubbed yesterday."""
    version = "ceph version 19.2.3 (c92aebb279828e9c3c1f5d24613efca272649e62) squid (stable)"
    pool = {"size": 3, "min_size": 2, "type": 1, "crush_rule": 0}
    steps = [{"op": "take"}, {"op": "chooseleaf_firstn", "num": 0, "type": "host"}, {"op": "emit"}]
    scrubs = {"scrubbed": NOW - DAY_S, "deep_scrubbed": NOW - 5 * DAY_S}
    acting = [[0, 1, 2], [2, 0, 1]]
    items = {
        "health": {"status": "HEALTH_OK", "checks": {}, "muted": []},
        "quorum": {
            "fsid": "f-1",
            "monitors": list(NAMES),
            "in": list(NAMES),
            "at": {name: [f"10.0.0.{number}"] for number, name in enumerate(NAMES, start=1)},
        },
        "clocks": {name: {"skew_s": 0.002, "health": "HEALTH_OK"} for name in NAMES},
        "osd map": {
            "flags": ["sortbitwise", "recovery_deletes", "purged_snapdirs", "pglog_hardlimit"],
            "nearfull_ratio": 0.8500000238418579,
            "pools": [{"id": 1, "name": ".mgr", **pool}, {"id": 2, "name": "cephfs_data", **pool}],
        },
        "osd answers": {
            str(n): {"value": {"answers": True, "says": ""}} for n in range(len(NAMES))
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


@cache
def _velero() -> Any:
    """What the probe makes of the recorded objects."""
    declared = Velero.model_validate({"schedules": [{"name": "platform-daily", "within_h": 26}]})
    ways = reach(
        kube=FakeKube(velero_objects.served(NOW)),
        like=PROFILE.model_copy(update={"velero": declared}),
    )
    return observe("velero", ways, "contabo")
