"""Waivers in a verdict: what they cover, and what becomes of them afterwards."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import NotProven
from harness.core.model import Decision, Exit, Outcome
from harness.gate import Judgement
from harness.pytest_gate.catalogue import Scenario
from harness.pytest_gate.engine import Run
from harness.record.records import Kind
from harness.report import summary_lines
from harness.report.page import page
from harness.tests.stage import manifest, play, require, running, scenario, waiver


def _waived(folder: Path, check: str, **changes: Any) -> Judgement:
    now = datetime.now(UTC)
    times = {"created": f"{now - timedelta(days=9)}", "expires": f"{now + timedelta(days=9)}"}
    plan = manifest(waivers=(waiver(**{**times, **changes}),))
    with running(folder, plan) as recorded:
        play(recorded.run, require(check))
    return recorded.judged()


SHORT = scenario()  # two steps: look, and one check
LONG = SHORT.model_copy(update={"steps": (*SHORT.steps, SHORT.steps[-1])})


def _of_clauses(folder: Path, *clauses: str, checks: Sequence[str], which: Scenario = SHORT) -> Any:
    """The judgement of a scenario that asks these checks, with a waiver for each clause."""
    now = datetime.now(UTC)
    times = {"created": f"{now - timedelta(days=9)}", "expires": f"{now + timedelta(days=9)}"}
    waivers = tuple(waiver(**times, clause=clause) for clause in clauses)

    def ask_all(run: Run) -> None:
        run.observe("answers")
        for check in checks:
            with suppress(AssertionError, NotProven):
                run.require(check)
        raise AssertionError("a step stopped")

    with running(folder, manifest(waivers=waivers, scenarios=(which,))) as recorded:
        play(recorded.run, ask_all, which=which)
    return recorded.judged()


@pytest.mark.parametrize(
    ("clauses", "checks", "decision"),
    [
        (["nothing is well"], ["nothing is well"], Decision.GO_WITH_WAIVERS),
        (["nothing is well"], ["nothing is well", "nobody knows"], Decision.NO_GO),
        (["nobody knows"], ["nothing is well", "nobody knows"], Decision.NO_GO),
        (["nobody knows"], ["nothing is well"], Decision.NO_GO),
        (
            ["nothing is well", "nobody knows"],
            ["nothing is well", "nobody knows"],
            Decision.GO_WITH_WAIVERS,
        ),
    ],
)
def test_a_waiver_for_a_clause_covers_what_that_check_says_and_nothing_else(
    tmp_path: Path, clauses: list[str], checks: list[str], decision: Decision
) -> None:
    assert _of_clauses(tmp_path / "run", *clauses, checks=checks).decision is decision


def test_what_was_not_asked_after_a_waived_clause_still_blocks(tmp_path: Path) -> None:
    judgement = _of_clauses(
        tmp_path / "run", "nothing is well", checks=["nothing is well"], which=LONG
    )
    assert judgement.decision is Decision.NO_GO
    assert "its waiver covers only “nothing is well”" in judgement.judged[0].reason


def test_every_waiver_in_force_is_named_and_shown(tmp_path: Path) -> None:
    clauses = ("nothing is well", "nobody knows")
    judgement = _of_clauses(tmp_path / "run", *clauses, checks=clauses)
    (judged,) = judgement.judged
    assert [it.clause for it in judged.waivers] == list(clauses)
    first = page(judgement).partition('class="engineers"')[0]
    for clause in clauses:
        assert f"for “{clause}” until" in judged.reason
        assert f"Waiver of “{clause}” ends" in first


def test_a_waiver_that_ended_is_named_beside_one_in_force(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    created = f"{now - timedelta(days=30)}"
    plan = manifest(
        waivers=(
            waiver(created=created, expires=f"{now + timedelta(days=9)}", clause="nobody knows"),
            waiver(created=created, expires=f"{now - timedelta(days=1, hours=1)}"),
        )
    )

    def ask_both(run: Run) -> None:
        run.observe("answers")
        with suppress(NotProven):
            run.require("nobody knows")
        run.require("nothing is well")

    with running(tmp_path / "run", plan) as recorded:
        play(recorded.run, ask_both)
    (judged,) = recorded.judged().judged
    assert judged.outcome is Outcome.FAIL
    assert len(judged.waivers) == 2
    assert re.match(
        r"its waiver expired on [^,]*, 1 day ago, and its waiver covers only “nobody knows”: ",
        judged.reason,
    )


def test_a_clause_that_blocks_nothing_is_a_warning(tmp_path: Path) -> None:
    judgement = _of_clauses(tmp_path / "run", "nobody knows", checks=["nothing is well"])
    assert "the waiver for W1-A, “nobody knows” is not needed: remove it" in judgement.warnings


@pytest.mark.parametrize(
    ("event", "decision"), [("fault", Decision.UNHEALED), ("refused", Decision.REFUSED)]
)
def test_no_waiver_covers_a_refusal_or_a_fault_that_is_not_healed(
    tmp_path: Path, event: str, decision: Decision
) -> None:
    now = datetime.now(UTC)
    times = {"created": f"{now - timedelta(days=9)}", "expires": f"{now + timedelta(days=9)}"}
    facts = {"event": "injected", "fault": "lose-osd", "target": "one", "reason": "two are down"}
    with running(tmp_path / "run", manifest(waivers=(waiver(**times),))) as recorded:
        play(recorded.run, require("nothing is well"))
        recorded.run.write(Kind(event), "f1", facts)
    assert recorded.judged().decision is decision


@pytest.mark.parametrize("check", ["nothing is well", "nobody knows"])
def test_a_waiver_in_force_covers_what_blocks_and_names_who_answers(
    tmp_path: Path, check: str
) -> None:
    judgement = _waived(tmp_path / "run", check)
    assert judgement.decision is Decision.GO_WITH_WAIVERS
    assert judgement.exit is Exit.GO
    assert "waived until" in judgement.judged[0].reason
    assert "by Grace: a faster disk is on its way" in judgement.judged[0].reason


def test_an_expired_waiver_turns_red_and_says_since_when(tmp_path: Path) -> None:
    ended = datetime.now(UTC) - timedelta(days=3, hours=1)
    created = ended - timedelta(days=30)
    judgement = _waived(
        tmp_path / "run", "nothing is well", created=f"{created}", expires=f"{ended}"
    )
    assert judgement.decision is Decision.NO_GO
    judged = judgement.judged[0]
    assert judged.reason == f"its waiver expired on {ended:%d %B %Y}, 3 days ago: it is fail"
    (line, *_) = summary_lines(judgement, tmp_path)
    assert "its waiver expired on" in line[:60]
    first = page(judgement).partition('class="engineers"')[0]
    assert f"Waiver expired {ended:%d %b}, 3 days ago" in first


def test_a_waiver_that_has_not_begun_covers_nothing(tmp_path: Path) -> None:
    begins = datetime.now(UTC) + timedelta(days=1)
    judgement = _waived(tmp_path / "run", "nothing is well", created=f"{begins}")
    assert judgement.decision is Decision.NO_GO
    assert "its waiver begins on" in judgement.judged[0].reason


def test_a_waiver_that_nothing_needs_is_a_warning(tmp_path: Path) -> None:
    judgement = _waived(tmp_path / "run", "all is well")
    assert judgement.decision is Decision.GO
    assert "the waiver for W1-A is not needed: remove it" in judgement.warnings
