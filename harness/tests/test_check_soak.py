"""Checks of a soak: what is shorter, lossy, leaking or slower is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from harness.checks import CHECKS
from harness.checks.soak import CHECKS as OF_SOAK
from harness.core.model import Outcome, Verdict
from harness.facts.drills import EndReason
from harness.settings import load_gates
from harness.tests.clean_case import case, clean
from harness.tests.clean_cluster import NAMES
from harness.tests.clean_drills import PART

LASTED = "the soak lasted as long as it should"
REAL = "every fault of the soak came and went"
LEAKED = "nothing leaked"
SLOWER = "answers did not become slower"
LOST = "the soak lost no acknowledged write"
INVENTED = "the soak left no write twice or from nowhere"
BANK = "the bank kept its total through the soak"


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


def refused(number: int) -> list[dict[str, Any]]:
    """Turns that broke nothing."""
    turn = {"machine": NAMES[0], "before": [], "faults": [], "refused": "etcd: 2 − 1 = 1, 2 needed"}
    return [{"number": 10 + n, "at_s": 900.0, **turn} for n in range(number)]


DEFECTS = [
    (LASTED, lambda s: s.update(lasted_s=7200.0), "not_proven", "2 of 8 hours"),
    (LASTED, lambda s: s.update(ended="stopped by hand"), "not_proven", "stopped by hand"),
    (LASTED, lambda s: s.update(ended="the steady state did not come back"), "fail", "come back"),
    (LASTED, lambda s: s["load"].update(troubles=["it ended"]), "not_proven", "it ended"),
    (LASTED, lambda s: s["load"]["phases"]["all"].update(on_time=900), "not_proven", "99 %"),
    (
        LASTED,
        lambda s: s["load"]["phases"]["all"].update(limited={"a.example": 3}),
        "not_proven",
        "the ingress limits our one address",
    ),
    (LASTED, lambda s: s.update(turns=[]), "not_proven", "no fault was injected"),
    (REAL, in_the_first_turn(error="the API was silent"), "not_proven", "the API was silent"),
    (REAL, in_the_first_turn(after=["an OSD is down"]), "fail", "an OSD is down"),
    (REAL, in_the_first_fault(unseen="nobody saw it"), "not_proven", "nobody saw it"),
    (REAL, in_the_first_fault(aborted="two is not ready"), "fail", "two is not ready"),
    (REAL, lambda s: s["turns"].extend(refused(1)), "not_proven", "at most 20 % of 4 turns"),
    (REAL, lambda s: s["turns"].extend(refused(50)), "not_proven", "and 50 were: etcd: 2 − 1"),
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


def over_time(kind: str, amount: Callable[[int], int]) -> Callable[[Any], object]:
    """Thirty looks at a machine in eight hours, with so many of one kind at each."""

    def change(soak: Any) -> None:
        first = soak["footprints"][0]["seen"]
        soak["footprints"] = [
            {"at_s": 960.0 * n, "seen": {**first, NAMES[1]: {**first[NAMES[1]], kind: amount(n)}}}
            for n in range(31)
        ]

    return change


def test_a_leak_is_told_by_its_trend_even_if_the_last_look_misses_it() -> None:
    verdict = judged(LEAKED, over_time("files", lambda n: 4000 + 80 * n if n < 30 else 4000))
    assert verdict.outcome is Outcome.FAIL
    assert f"{PART}, {NAMES[1]}: expected files to grow by at most 1008 in 8.0" in verdict.reason
    assert "seen a trend of at least 2400" in verdict.reason
    assert verdict.measured["growth_percent"] == pytest.approx(60, abs=1)


@pytest.mark.parametrize(
    "amount",
    [
        lambda n: 4000 + 20 * n,  # grows by less than a quarter
        lambda n: 4000 + (n % 7) * 300,  # goes up and down
        lambda n: 9000 if n == 15 else 4000,  # one wild look
        lambda n: 9000 - 100 * n,
    ],
)
def test_what_does_not_grow_beyond_what_is_allowed_is_no_leak(
    amount: Callable[[int], int],
) -> None:
    verdict = judged(LEAKED, over_time("files", amount))
    assert verdict.outcome is Outcome.PASS, verdict.reason


def test_memory_that_is_free_is_never_a_leak() -> None:
    verdict = judged(LEAKED, over_time("available_mib", lambda n: 1000 + 500 * n))
    assert verdict.outcome is Outcome.PASS


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


def test_a_part_that_was_killed_counts_once_it_was_gone_on_with() -> None:
    seen = clean()
    first = seen["soak"][PART]
    broke_off = {"number": 9, "at_s": 9.0, "machine": NAMES[0], "before": [], "faults": []}
    turns = [*first["turns"] * 2, {**broke_off, "broken_off": EndReason.HARNESS_KILLED}]
    whole = {**first, "lasted_s": 14401.0}
    seen["soak"] = {
        PART: {**whole, "ended": EndReason.HARNESS_KILLED, "turns": turns},
        "part 2": whole,
    }
    for check in OF_SOAK:
        verdict = CHECKS[check](case(seen))
        assert verdict.outcome is Outcome.PASS, f"{check}: {verdict.reason}"
    seen["soak"]["part 2"] = {**whole, "ended": EndReason.HARNESS_KILLED}
    assert CHECKS[LASTED](case(seen)).outcome is Outcome.NOT_PROVEN


def test_of_every_end_it_is_known_whether_another_part_may_follow() -> None:
    known = {it for it in EndReason if EndReason.of(it.because("so it was")).is_resumable}
    assert known == {EndReason.BY_HAND, EndReason.HARNESS_KILLED}
    with pytest.raises(ValueError, match="the moon was full"):
        EndReason.of("the moon was full")


def test_a_few_refused_turns_are_counted_and_no_gap() -> None:
    def mostly_taken(soak: Any) -> None:
        soak["turns"] = [*soak["turns"] * 4, *refused(2)]

    verdict = judged(REAL, mostly_taken)
    assert verdict.outcome is Outcome.PASS, verdict.reason
    assert verdict.measured["refused_count"] == 2
    assert "2 turns were refused" in verdict.reason


@pytest.mark.parametrize(
    ("check", "tally", "words"),
    [
        (INVENTED, {"duplicated": 2}, "2 there twice"),
        (INVENTED, {"phantom": 1}, "1 that no writer made"),
        (BANK, {"wrong_totals": 1}, "another total in 1"),
        (LOST, {"lost": 1}, "1 lost"),
    ],
)
def test_what_a_ledger_finds_wrong_is_wrong_in_a_soak(
    check: str, tally: dict[str, int], words: str
) -> None:
    seen = clean()
    for value in seen["ledger"].values():
        value.update(tally)
    verdict = CHECKS[check](case(seen))
    assert verdict.outcome is Outcome.FAIL
    assert words in verdict.reason


def test_a_soak_without_a_bank_has_not_shown_that_one_kept_its_total() -> None:
    seen = clean()
    for value in seen["ledger"].values():
        value["due"] = None
    assert CHECKS[BANK](case(seen)).outcome is Outcome.NOT_PROVEN


def test_the_gate_judges_all_that_a_soak_is_asked_for_by_a_number() -> None:
    (needs,) = [it for it in load_gates().requirements if it.id == "W9-SOAK"]
    made = case(clean())
    for check in OF_SOAK:
        verdict = CHECKS[check](replace(made, targets=needs.numbers()))
        assert verdict.outcome is Outcome.PASS, f"{check}: {verdict.reason}"


def test_a_handful_more_is_no_leak() -> None:
    assert judged(LEAKED, at_the_end("API", claims=8)).outcome is Outcome.PASS
