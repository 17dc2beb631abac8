"""`heal` after a run: what the run came to at its end stays as it is, to the byte."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.core.model import Decision, Outcome
from harness.gate import RunState
from harness.record import journal as module
from harness.record.journal import Journal, JournalReader
from harness.record.records import Kind
from harness.report import draw, verdict_text
from harness.settings import Waiver
from harness.tests.stage import CHECKS, manifest, play, require, running, waiver

ID = "f00d"
ARMED: Mapping[str, Any] = {"event": "armed", "fault": "cut-off", "undo": {}}
INJECTED: Mapping[str, Any] = {"event": "injected", "fault": "cut-off", "target": "one"}
BY_HEAL = [{"event": event, "by": "heal"} for event in ("healed", "heal-proved")]


def waived_for_an_hour() -> Waiver:
    now = datetime.now(UTC)
    return waiver(created=now - timedelta(days=1), expires=now + timedelta(hours=1))


def left_broken(folder: Path) -> None:
    """A run that has failed, under a waiver, and has left a fault."""
    with running(folder, manifest(waivers=(waived_for_an_hour(),))) as recorded:
        play(recorded.run, require("nothing is well"))
        for data in (ARMED, INJECTED):
            recorded.run.write(Kind.FAULT, ID, data)


def heal(folder: Path, *events: Mapping[str, Any]) -> None:
    with Journal.reopen(folder) as journal:
        for data in events:
            journal.append("fault", ID, data)


class Later(datetime):
    """A clock that is three days ahead."""

    @classmethod
    def now(cls, tz: Any = None) -> Later:
        return super().now(tz) + timedelta(days=3)


def test_a_waiver_that_ended_between_a_run_and_its_heal_changes_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_broken(tmp_path / "run")
    before = verdict_text(draw(tmp_path / "run", CHECKS))
    assert RunState.of(JournalReader(tmp_path / "run"), CHECKS).left
    monkeypatch.setattr(module, "datetime", Later)
    heal(tmp_path / "run", *BY_HEAL)
    judgement = draw(tmp_path / "run", CHECKS)
    assert verdict_text(judgement) == before
    assert (tmp_path / "run/verdict.json").read_text() == before
    assert judgement.decision is Decision.UNHEALED
    assert judgement.judged[0].outcome is Outcome.WAIVED
    assert any("was taken back by `heal` at" in it for it in judgement.warnings)
    assert not judgement.run_state.left, "another `heal` has nothing to do"


def test_a_run_that_was_killed_is_judged_by_its_own_last_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no end: that its fault is gone is known from `heal` alone."""
    folder = tmp_path / "killed"
    with Journal.create(folder, manifest().run) as journal:
        plan = manifest().model_dump(mode="json", by_alias=True)
        journal.append("manifest", manifest().run, plan)
        journal.append("session", manifest().run, {})
        journal.append("fault", ID, ARMED)
        last = journal.append("fault", ID, INJECTED)
    with (folder / "journal.jsonl").open("ab") as file:
        file.write(b"{torn")
    monkeypatch.setattr(module, "datetime", Later)
    heal(folder, *BY_HEAL)
    judgement = draw(folder, CHECKS)
    assert judgement.run_state.last == last
    assert judgement.decision is Decision.NOT_PROVEN
    assert judgement.run_state.faults[ID].heal_proved


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    kinds=st.lists(
        st.sampled_from(["armed", "injected", "active", "healed", "heal-proved"]), max_size=6
    )
)
def test_nothing_that_is_written_after_the_end_changes_the_verdict(
    tmp_path_factory: pytest.TempPathFactory, kinds: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("ended") / "run"
    left_broken(folder)
    before = verdict_text(draw(folder, CHECKS))
    heal(folder, *({**INJECTED, "event": kind, "by": "heal"} for kind in kinds))
    assert verdict_text(draw(folder, CHECKS)) == before


def test_a_session_that_goes_on_after_a_heal_knows_that_the_fault_is_gone(tmp_path: Path) -> None:
    left_broken(tmp_path / "run")
    heal(tmp_path / "run", *BY_HEAL)
    with Journal.reopen(tmp_path / "run") as journal:
        journal.append("session", "run", {})
        journal.append("end", "session", {})
    judgement = draw(tmp_path / "run", CHECKS)
    assert judgement.decision is not Decision.UNHEALED
    assert judgement.run_state.faults[ID].heal_proved
