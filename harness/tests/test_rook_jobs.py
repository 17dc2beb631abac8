"""Pods of Rook that run once: a failed one stays in the API long after its work was done."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from harness.core.model import Outcome
from harness.tests.clean_cluster import NOW
from harness.tests.rook_objects import Item, recorded
from harness.tests.rook_seen import CRASH, judge, seen

_FAILED = Path(__file__).with_name("recorded") / "rook-pruner-failed.json"


def _pruner_failed(ago_s: float) -> list[Item]:
    """A pod of Rook's daily crash pruner that failed, beside the pods that run."""
    pod = json.loads(_FAILED.read_text(encoding="utf-8"))
    (status,) = pod["status"]["containerStatuses"]
    ended = datetime.fromtimestamp(NOW - ago_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    status["state"]["terminated"]["finishedAt"] = ended
    return [*recorded("cluster", now=NOW), {"apiVersion": "v1", **pod}]


def test_a_run_of_the_crash_pruner_that_failed_hours_ago_is_no_crash() -> None:
    assert judge(CRASH, seen(_pruner_failed(36_000), "cluster"), "cluster").outcome is Outcome.PASS


def test_a_run_of_the_crash_pruner_that_failed_a_minute_ago_is_a_crash() -> None:
    verdict = judge(CRASH, seen(_pruner_failed(60), "cluster"), "cluster")
    assert verdict.outcome is Outcome.FAIL
    assert "ceph-crash-pruner to run on, seen its end" in verdict.reason
