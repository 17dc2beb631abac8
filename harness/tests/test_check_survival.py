"""What is written to claims while something breaks: each way of losing it, and each gap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from harness.checks import CHECKS
from harness.core.model import Outcome, Verdict
from harness.tests.clean_case import case, clean
from harness.tests.clean_cluster import NAMES
from harness.tests.clean_drills import DRILL

Defect: TypeAlias = Callable[[Any], object]
ONE, TWO, _ = NAMES
SURVIVES = "what machines wrote to claims meanwhile is unchanged"
STALE = {"value": {"right": 64, "wrong": 1, "first": ["block 3 is stale: generation 9"]}}


def judge(defect: Defect = lambda _: None) -> Verdict:
    """What is said when one run of the drill went otherwise."""
    seen = clean()
    defect(seen["drills"][DRILL]["runs"][0])
    return CHECKS[SURVIVES](case({"drills": seen["drills"]}))


def at(*path: Any, **changes: Any) -> Defect:
    def defect(run: Any) -> None:
        for word in path:
            run = run[word]
        run.update(changes)

    return defect


CASES: list[tuple[Defect, Outcome, str]] = [
    (at("claims", "read", **{f"{ONE} → {TWO}": STALE}), Outcome.FAIL, "block 3 is stale"),
    (
        at("claims", "written", **{ONE: {"refused": "EIO (Input/output error)"}}),
        Outcome.FAIL,
        f"{ONE} writes: expected it to be done, seen EIO",
    ),
    (
        at("claims", "written", **{ONE: {"error": "its pod went away"}}),
        Outcome.NOT_PROVEN,
        "its pod went away",
    ),
    (at("claims", "written", ONE, "value", told=False), Outcome.NOT_PROVEN, "stopped writing by"),
    (lambda run: run.pop("claims"), Outcome.NOT_PROVEN, "no machine wrote to claims meanwhile"),
    (at(error="the API was silent"), Outcome.NOT_PROVEN, "the API was silent"),
    (at(before=["Ceph is not healthy"]), Outcome.NOT_PROVEN, "no steady state to begin with"),
    (at(faults=[]), Outcome.NOT_PROVEN, "nothing was broken"),
    (at("faults", 0, unseen="nobody saw it"), Outcome.NOT_PROVEN, "was not seen"),
    (lambda run: run["faults"][0].pop("gone_s"), Outcome.NOT_PROVEN, "not seen to be gone"),
]


@pytest.mark.parametrize(("defect", "outcome", "words"), CASES, ids=[it[2] for it in CASES])
def test_what_is_lost_fails_and_what_is_not_known_proves_nothing(
    defect: Defect, outcome: Outcome, words: str
) -> None:
    verdict = judge(defect)
    assert (verdict.outcome, words in verdict.reason) == (outcome, True), verdict.reason


def test_blocks_that_outlived_the_fault_are_counted_and_the_longest_wait_is_told() -> None:
    verdict = judge()
    assert verdict.outcome is Outcome.PASS
    assert verdict.reason.startswith(f"{65 * 6 * len(NAMES)} blocks were read as they were written")
    assert verdict.measured == {"slowest_write_s": 2.5}


def test_a_drill_that_nobody_carried_out_proves_nothing() -> None:
    assert CHECKS[SURVIVES](case({})).outcome is Outcome.NOT_PROVEN
