"""Rook, as far as it could not be seen or understood: never green, and never red for that."""

from __future__ import annotations

import pytest

from harness.checks import csi, rook
from harness.core.errors import Denied
from harness.core.model import Outcome
from harness.tests.clean_case import clean
from harness.tests.clean_cluster import NOW
from harness.tests.rook_objects import Item, recorded
from harness.tests.rook_seen import (
    CEPH,
    CEPHFS,
    CLASS,
    CRASH,
    DECLARED,
    DRIVERS,
    LEADER,
    MONS,
    PARAMETERS,
    POOLS,
    READY,
    STATUS,
    VERSION,
    Defect,
    changed,
    gone,
    image,
    judge,
    seen,
)


def _no_pod_at_all(items: list[Item]) -> None:
    items[:] = [item for item in items if item["kind"] != "Pod"]


GARBAGE: list[tuple[str, Defect]] = [
    (CEPH, changed(*STATUS, "ceph", "lastChecked", to="yesterday")),
    (CEPH, changed(*STATUS, "ceph", "lastChecked", to=None)),
    (MONS, changed("ConfigMap", "rook-ceph-mon-endpoints", "data", to={"data": 1})),
    (
        MONS,
        changed("ConfigMap", "rook-ceph-mon-endpoints", "data", "csi-cluster-config-json", to="[{"),
    ),
    (POOLS, changed("CephFilesystem", "cephfs", "spec", to={})),
    (CLASS, changed(*PARAMETERS, to="none")),
    (LEADER, changed("Lease", CEPHFS.replace(".", "-"), "spec", "renewTime", to="soon")),
    (LEADER, changed("Lease", CEPHFS.replace(".", "-"), "spec", "leaseDurationSeconds", to=None)),
    (READY, changed("Deployment", "rook-ceph-operator", "spec", to={})),
    (VERSION, image("docker.io/rook/ceph@sha256:5f0c")),
    (CRASH, _no_pod_at_all),
]


@pytest.mark.parametrize(("check", "defect"), GARBAGE, ids=[check for check, _ in GARBAGE])
def test_what_is_not_understood_is_not_proven(check: str, defect: Defect) -> None:
    items = recorded("cluster", now=NOW)
    defect(items)
    verdict = judge(check, seen(items, "cluster"), "cluster")
    assert verdict.outcome is Outcome.NOT_PROVEN, verdict.reason


def test_what_we_may_not_read_is_not_proven_and_the_rest_is_judged() -> None:
    value = seen(recorded("cluster", now=NOW), "cluster", csinodes=Denied("not allowed: csinodes"))
    for check in {**rook.CHECKS, **csi.CHECKS}:
        verdict = judge(check, value, "cluster")
        hidden = check in (DECLARED, DRIVERS, LEADER, READY)
        assert verdict.outcome is (Outcome.NOT_PROVEN if hidden else Outcome.PASS)
        assert not hidden or "not allowed: csinodes" in verdict.reason


def test_a_failure_is_not_hidden_by_what_we_may_not_read() -> None:
    items = recorded("cluster", now=NOW)
    gone("CSIDriver", CEPHFS)(items)
    value = seen(items, "cluster", daemonsets=Denied("not allowed: daemonsets"))
    verdict = judge(DRIVERS, value, "cluster")
    assert verdict.outcome is Outcome.FAIL
    assert "not judged: daemon sets: not allowed" in verdict.reason


def test_an_item_in_error_never_turns_a_check_red_and_is_told() -> None:
    value = clean()["rook"]["test"]
    blind = {"error": "no answer within 10 s"}
    verdicts = [
        judge(check, {**value, item: blind}, "cluster")
        for item in value
        for check in {**rook.CHECKS, **csi.CHECKS}
    ]
    unknown = [it for it in verdicts if it.outcome is Outcome.NOT_PROVEN]
    assert all("no answer within 10 s" in verdict.reason for verdict in unknown)
    assert all(it.outcome is Outcome.PASS for it in verdicts if it not in unknown)
    assert len(unknown) >= len(value)
