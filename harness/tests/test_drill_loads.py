"""What a load came to between the moments of a drill."""

from __future__ import annotations

import time
from typing import Any, cast

import pytest

from harness.drill.traffic import AGAIN, HEALED_MARK, Marked, NoLoad, quarters
from harness.ledger.history import INVOKE, MARK, OK, Event
from harness.ledger.result import FAULT
from harness.load.results import Histogram, Results
from harness.load.running import Running
from harness.load.spec import Plan

BEGAN, ENDED = 100.0, 110.0


class FakeRunning:
    """Ten seconds of ten requests each, all served; or a load that never began."""

    def __init__(self, *, began: bool = True) -> None:
        self.troubles = [] if began else ["the load never began"]
        self._began = began

    def results(self) -> Results | None:
        seconds = {second: Histogram(on_time=10) for second in range(100, 110)}
        for bucket in seconds.values():
            for _ in range(10):
                bucket.add(0.02, on_time=False)
        return Results(BEGAN, ENDED, Plan(10), seconds) if self._began else None


def outcome(
    monkeypatch: pytest.MonkeyPatch, *marks: tuple[str, float], whole: bool = False
) -> dict[str, tuple[int, int]]:
    """Planned and answered requests of each phase."""
    load = Marked(cast("Running", FakeRunning()))
    for name, at in marks:
        with monkeypatch.context() as patch:
            patch.setattr(time, "monotonic", lambda at=at: at)
            load.mark(name)
    value: Any = load.outcome(whole=whole)
    assert value["troubles"] == []
    return {phase: (it["planned"], it["answered"]) for phase, it in value["phases"].items()}


def test_a_drill_has_four_phases(monkeypatch: pytest.MonkeyPatch) -> None:
    marks = [(FAULT, 102.4), (HEALED_MARK, 105.9), (AGAIN, 108.0)]
    assert outcome(monkeypatch, *marks) == {
        "before": (20, 20),
        "during": (30, 30),
        "healing": (30, 30),
        "again": (20, 20),
    }


def test_several_faults_are_one_phase_from_the_first_to_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    marks = [(FAULT, 101.0), (HEALED_MARK, 103.0), (FAULT, 104.0), (HEALED_MARK, 106.0)]
    assert outcome(monkeypatch, *marks) == {
        "before": (10, 10),
        "during": (50, 50),
        "healing": (40, 40),
    }


def test_a_drill_that_broke_off_has_no_later_phases(monkeypatch: pytest.MonkeyPatch) -> None:
    assert outcome(monkeypatch) == {"before": (100, 100)}
    assert outcome(monkeypatch, (FAULT, 104.0)) == {"before": (40, 40), "during": (60, 60)}


def test_a_soak_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    marks = [(FAULT, 101.0), (HEALED_MARK, 103.0), (FAULT, 104.0)]
    assert outcome(monkeypatch, *marks, whole=True) == {"all": (100, 100)}


def test_a_load_that_never_began_and_none_at_all_are_told_apart() -> None:
    value: Any = Marked(cast("Running", FakeRunning(began=False))).outcome()
    assert value == {"phases": {}, "troubles": ["the load never began"]}
    assert NoLoad().outcome() is None


def test_a_write_that_a_fault_met_on_its_way_is_no_latency_without_a_fault() -> None:
    us = 1_000_000
    events: list[Event] = [
        (INVOKE, "postgres/0", 0, 0),
        (MARK, FAULT, 0, 1 * us),
        (OK, "postgres/0", 0, 31 * us),
        (MARK, HEALED_MARK, 0, 40 * us),
        (INVOKE, "postgres/0", 1, 71 * us),
        (OK, "postgres/0", 1, 71 * us + 10_000),
    ]
    assert [it for it in quarters(events) if it] == [{"postgres": 10.0}]
