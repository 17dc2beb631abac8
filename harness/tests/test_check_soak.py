"""Checks of a soak: what is shorter, lossy, leaking or slower is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from harness.checks import CHECKS
from harness.checks.soak import CHECKS as OF_SOAK
from harness.model import Outcome, Verdict
from harness.tests.clean_case import case, clean
from harness.tests.clean_cluster import NAMES
from harness.tests.clean_drills import PART

LASTED = "the soak lasted as long as it should"
REAL = "every fault of the soak came and went"
LEAKED = "nothing leaked"
SLOWER = "answers did not become slower"


def judged(check: str, change: Callable[[Any], object]) -> Verdict:
    seen = clean()
    change(seen["soak"][PART])
    return CHECKS[check](case(seen))


def at_the_end(place: str, **numbers: int) -> Callable[[Any], object]:
    return lambda soak: soak["footprints"][-1]["seen"][place].update(numbers)


def in_the_first_turn(**values: Any) -> Callable[[Any], object]:
    return lambda soak: soak["turns"][0].update(values)


def in_the_first_fault(**values: Any) -> Callable[[Any], object]:
    return lambda soak: soak["turns"][0]["faults"][0].update(values)


DEFECTS = [
    (LASTED, lambda s: s.update(lasted_s=7200.0), "not_proven", "2 of 8 hours"),
    (LASTED, lambda s: s.update(ended="stopped by hand"), "not_proven", "stopped by hand"),
    (LASTED, lambda s: s.update(ended="the steady state did not come back"), "fail", "come back"),
    (LASTED, lambda s: s["load"].update(troubles=["it ended"]), "not_proven", "it ended"),
    (LASTED, lambda s: s["load"]["phases"]["all"].update(on_time=900), "not_proven", "99 %"),
    (LASTED, lambda s: s.update(turns=[]), "not_proven", "no fault was injected"),
    (REAL, in_the_first_turn(error="the API was silent"), "not_proven", "the API was silent"),
    (REAL, in_the_first_turn(after=["an OSD is down"]), "fail", "an OSD is down"),
    (REAL, in_the_first_fault(unseen="nobody saw it"), "not_proven", "nobody saw it"),
    (REAL, in_the_first_fault(aborted="two is not ready"), "fail", "two is not ready"),
    (LEAKED, at_the_end(NAMES[1], mounts=400), "fail", "400"),
    (LEAKED, at_the_end(NAMES[1], memory_mib=1900), "fail", "memory_mib"),
    (LEAKED, at_the_end("API", volumes=40), "fail", "volumes"),
    (LEAKED, lambda s: s["footprints"].__delitem__(slice(1, None)), "not_proven", "fewer than two"),
    (LEAKED, lambda s: s["footprints"][-1]["seen"].update(API="no answer"), "not_proven", "no ans"),
    (SLOWER, lambda s: s["latency_ms"][-1].update(postgres=19.0), "fail", "19 ms after 12 ms"),
    (SLOWER, lambda s: s["latency_ms"].clear(), "not_proven", "too few"),
    (SLOWER, lambda s: s["latency_ms"][-1].pop("cephfs"), "not_proven", "acknowledged then"),
]


@pytest.mark.parametrize(("check", "change", "outcome", "words"), DEFECTS)
def test_each_defect_of_a_soak_is_told(
    check: str, change: Callable[[Any], object], outcome: str, words: str
) -> None:
    verdict = judged(check, change)
    assert verdict.outcome == Outcome(outcome), verdict.reason
    assert words in verdict.reason


def test_a_soak_that_broke_off_is_not_proven() -> None:
    for check in OF_SOAK:
        verdict = CHECKS[check](case(clean(), {("soak", PART): "the API did not answer"}))
        assert verdict.outcome is Outcome.NOT_PROVEN, check


def test_parts_of_a_resumed_soak_count_together() -> None:
    seen = clean()
    first = seen["soak"][PART]
    seen["soak"]["part 2"] = {**first, "lasted_s": 14400.0}
    first["lasted_s"] = 14401.0
    verdict = CHECKS[LASTED](case(seen))
    assert verdict.outcome is Outcome.PASS
    assert verdict.measured["soak_hours"] == pytest.approx(8.0, abs=0.01)


def test_a_handful_more_is_no_leak() -> None:
    assert judged(LEAKED, at_the_end("API", claims=8)).outcome is Outcome.PASS
