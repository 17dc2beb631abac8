"""Rook's file system and pools while they are deleted: blocked by what they hold, still Ready."""

from __future__ import annotations

import pytest

from harness.core.model import Outcome
from harness.tests.clean_cluster import NOW
from harness.tests.rook_objects import find, recorded, stamp
from harness.tests.rook_seen import POOLS, judge, seen


@pytest.mark.parametrize(
    ("kind", "name"), [("CephFilesystem", "cephfs"), ("CephBlockPool", "replicapool")]
)
def test_one_that_goes_as_soon_as_nothing_blocks_it_is_not_well(kind: str, name: str) -> None:
    items = recorded("cluster", now=NOW)
    item = find(items, kind, name)
    # Rook adds a condition after `kubectl delete`, and keeps the phase.
    item["metadata"] |= {
        "deletionTimestamp": stamp(NOW - 3600),
        "finalizers": [f"{kind.lower()}.ceph.rook.io"],
    }
    blocked = {
        "type": "DeletionIsBlocked",
        "status": "True",
        "reason": "ObjectHasDependents",
        "message": f'{kind} "{name}" will not be deleted until all dependents are removed',
    }
    item["status"] = {**item["status"], "conditions": [blocked]}
    assert item["status"]["phase"] == "Ready"
    verdict = judge(POOLS, seen(items, "cluster"), "cluster")
    assert verdict.outcome is Outcome.FAIL
    assert f"{kind} {name}: expected Ready, seen Deleting" in verdict.reason
