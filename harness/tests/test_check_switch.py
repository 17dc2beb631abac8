"""W5-DURABLE: what a rehearsed switch proves, what fails, and what proves nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from harness.checks import CHECKS
from harness.core.model import Outcome, Verdict
from harness.tests.clean_case import case, clean
from harness.tests.clean_cluster import CLUSTER

MOVED = "the databases moved there and back"
BRIEF = "writers were stopped only briefly"
LOST = "the switch lost no acknowledged write"
TWICE = "the switch left no write twice or from nowhere"
TOTAL = "the bank kept its total through the switch"
LEFT = "the rehearsal leaves nothing behind"


def judged(check: str, change: Callable[[Any], object], tally: dict[str, Any]) -> Verdict:
    seen = clean()
    change(seen["switch"][CLUSTER.name])
    for it in seen["ledger"].values():
        it.update(tally)
    return CHECKS[check](case(seen))


def stopped(*, at_fault: bool, stuck: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "step": "carrying the sequences",
        "says": "public.id is behind",
        "at_fault": at_fault,
        "stuck": list(stuck),
    }


def breaks_off(it: Any) -> None:
    """The way there failed at the platform's fault, so the way back was not begun."""
    it["legs"]["there"].update(stopped=stopped(at_fault=True), frozen_s=None)
    del it["legs"]["back"]


def is_stuck(it: Any) -> None:
    ending = stopped(at_fault=False, stuck=("freezing the databases: no answer",))
    it["legs"]["back"].update(stopped=ending)


def no_change(it: Any) -> None:
    """All is well."""


def test_a_clean_rehearsal_proves_each_sentence() -> None:
    for check in (MOVED, BRIEF, LOST, TWICE, TOTAL, LEFT):
        verdict = judged(check, no_change, {})
        assert verdict.outcome is Outcome.PASS, verdict.reason
    assert judged(BRIEF, no_change, {}).measured == {"frozen_s": 1.0}


@pytest.mark.parametrize(
    ("check", "change", "tally", "outcome", "says"),
    [
        (MOVED, breaks_off, {}, Outcome.FAIL, "public.id is behind"),
        (MOVED, is_stuck, {}, Outcome.FAIL, "could not be taken back"),
        (MOVED, lambda it: it["legs"].pop("back"), {}, Outcome.NOT_PROVEN, "not begun"),
        (BRIEF, lambda it: it["legs"]["back"].update(frozen_s=90.0), {}, Outcome.FAIL, "90.0 s"),
        (BRIEF, breaks_off, {}, Outcome.NOT_PROVEN, "no write was acknowledged after a freeze"),
        (LOST, no_change, {"lost": 1}, Outcome.FAIL, "1 lost"),
        # What is lost counts where the switch broke off, too; what is not lost proves nothing.
        (LOST, breaks_off, {"lost": 1}, Outcome.FAIL, "1 lost"),
        (LOST, breaks_off, {}, Outcome.FAIL, "public.id is behind"),
        (LOST, no_change, {"ok_after_fault": 0}, Outcome.NOT_PROVEN, "after the fault"),
        (TWICE, no_change, {"duplicated": 2}, Outcome.FAIL, "there twice"),
        (TOTAL, no_change, {"wrong_totals": 1}, Outcome.FAIL, "another total"),
        (LEFT, lambda it: it.update(left=["the slot"]), {}, Outcome.NOT_PROVEN, "the slot"),
    ],
)
def test_a_rehearsal_that_goes_wrong_is_told_by_its_own_sentence(
    check: str,
    change: Callable[[Any], object],
    tally: dict[str, Any],
    outcome: Outcome,
    says: str,
) -> None:
    verdict = judged(check, change, tally)
    assert (verdict.outcome, says in verdict.reason) == (outcome, True), verdict.reason
