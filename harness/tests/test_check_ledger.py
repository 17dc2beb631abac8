"""Checks of the ledger: every loss is red and named, and a ledger that says nothing is no pass."""

from __future__ import annotations

from typing import Any

import pytest

from harness.checks import CHECKS
from harness.core.model import Outcome, Verdict
from harness.tests.clean_case import case, clean

LOST, INVENTED, ON_TIME, BANK = (
    "no acknowledged write is lost",
    "no write is there twice or was never made",
    "writing went on again in time",
    "the bank's total never changed",
)


def judge(check: str, kind: str, **changes: Any) -> Verdict:
    seen = clean()
    seen["ledger"][kind].update(changes)
    return CHECKS[check](case(seen))


def test_a_clean_ledger_is_measured() -> None:
    lost = CHECKS[LOST](case(clean()))
    assert lost.measured == {"lost_count": 0, "acknowledged_count": 60, "rpo_s": 0}
    assert CHECKS[ON_TIME](case(clean())).measured == {"outage_s": 4.0}
    assert CHECKS[BANK](case(clean())).measured == {"looks_count": 12}


@pytest.mark.parametrize(
    ("check", "kind", "changes", "words"),
    [
        (
            LOST,
            "http",
            {"lost": 2, "rpo_s": 1.5, "examples": {"lost": ["http/0 3, acknowledged 2026"]}},
            "expected all of 12 acknowledged writes, seen 2 lost (http/0 3, acknowledged 2026)",
        ),
        (LOST, "cephfs", {"stale": 1}, "seen 1 missed by a read"),
        (INVENTED, "postgres", {"duplicated": 3}, "expected each write once, seen 3 there twice"),
        (INVENTED, "objects", {"phantom": 1}, "seen 1 that no writer made"),
        (ON_TIME, "postgres", {"outage_s": 61.0}, "within 60 s, seen 61.0 s without it"),
        (ON_TIME, "http", {"outage_s": 70.0, "gap_open": True}, "without it, up to the end"),
        (ON_TIME, "http", {"outage_s": None, "gap_s": 99.0}, "seen 99.0 s without it"),
        (BANK, "bank", {"wrong_totals": 1}, "expected 1000 in each of 12 looks, seen another"),
    ],
)
def test_each_defect_is_red_and_names_its_writer(
    check: str, kind: str, changes: dict[str, Any], words: str
) -> None:
    verdict = judge(check, kind, **changes)
    assert (verdict.outcome, verdict.where) == (Outcome.FAIL, (kind,))
    assert words in verdict.reason


@pytest.mark.parametrize("check", [LOST, INVENTED, ON_TIME, BANK])
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ok": 0}, "not one of 12 writes was acknowledged"),
        ({"ok_after_fault": 0}, "not one write was acknowledged after the fault"),
        ({"troubles": ["the writer bank/0 died: KeyError"]}, "the writer bank/0 died"),
    ],
)
def test_a_ledger_that_says_nothing_is_not_proven(
    check: str, changes: dict[str, Any], words: str
) -> None:
    verdict = judge(check, "bank", **changes)
    assert (verdict.outcome, verdict.where) == (Outcome.NOT_PROVEN, ("bank",))
    assert words in verdict.reason


def test_a_silence_that_was_not_over_at_the_end_may_have_lasted_for_ever() -> None:
    verdict = judge(ON_TIME, "postgres", outage_s=42.0, gap_open=True)
    assert (verdict.outcome, verdict.where) == (Outcome.NOT_PROVEN, ("postgres",))
    assert "nothing was acknowledged in the last 42.0 s" in verdict.reason
    assert judge(ON_TIME, "postgres", outage_s=3.0, gap_open=True).outcome is Outcome.PASS


@pytest.mark.parametrize("check", [LOST, INVENTED])
def test_what_nobody_read_again_is_not_proven(check: str) -> None:
    verdict = judge(check, "objects", unread="the writes were never read back")
    assert (verdict.outcome, verdict.where) == (Outcome.NOT_PROVEN, ("objects",))


def test_a_loss_is_red_although_nothing_was_acknowledged_after_the_fault() -> None:
    verdict = judge(LOST, "http", lost=1, ok_after_fault=0)
    assert verdict.outcome is Outcome.FAIL
    assert "not judged" in verdict.reason


def test_a_bank_that_nobody_kept_or_counted_is_not_proven() -> None:
    assert judge(BANK, "bank", due=None).outcome is Outcome.NOT_PROVEN
    assert judge(BANK, "bank", totals=0).outcome is Outcome.NOT_PROVEN
