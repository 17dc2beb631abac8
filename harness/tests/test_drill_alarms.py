"""Too much is broken: what a drill still does then, and what it leaves alone."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest

from harness.drill.safety_monitor import SafetyMonitor, Sample, Storage
from harness.faults.kinds import FAULTS
from harness.settings.drills import AbortConditions
from harness.tests.drill_world import World
from harness.tests.fault_examples import whole_cluster
from harness.tests.noop_fault import NoOp
from harness.tests.stage import reach


@pytest.fixture(autouse=True)
def _with_the_no_op(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FAULTS, "no-op", NoOp)


@pytest.fixture
def monitor(monkeypatch: pytest.MonkeyPatch) -> SafetyMonitor:
    """Nobody looks: a test says what was seen."""
    monitor = SafetyMonitor("one", AbortConditions(electing_s=30, inactive_s=60, silent_s=90))
    monkeypatch.setattr("harness.drill.runner.monitoring", lambda *_: nullcontext(monitor))
    return monitor


def a_second_machine_breaks(monitor: SafetyMonitor) -> None:
    for at in (1.0, 2.0):
        monitor.take(Sample(at=at, of="the API", ready={"one": True, "two": False}))


def test_nothing_is_broken_once_too_much_is(monitor: SafetyMonitor) -> None:
    a_second_machine_breaks(monitor)
    world = World()
    run = world.carry_out()["runs"][0]
    assert "was not injected: abort condition met: another machine is not ready" in run["error"]
    assert (world.told, run["faults"]) == ([], [])


def test_what_breaks_while_a_fault_is_armed_keeps_it_from_being_injected(
    monitor: SafetyMonitor,
) -> None:
    class Slow(NoOp):
        def arm(self, reach: Any, lease_s: float) -> Any:
            a_second_machine_breaks(monitor)
            return super().arm(reach, lease_s)

    world = World()
    FAULTS["no-op"] = Slow  # type: ignore[index]
    run = world.carry_out()["runs"][0]
    assert "was not injected" in run["error"]
    assert world.told == ["armed", "alarm", "healed", "heal-proved"]
    assert run["faults"][0]["aborted"] is None


def test_after_an_alarm_the_next_fault_is_left_out_and_the_drill_is_told_to_its_end(
    monitor: SafetyMonitor,
) -> None:
    class Heavy(NoOp):
        def inject(self, reach: Any) -> None:
            super().inject(reach)
            a_second_machine_breaks(monitor)

    world = World()
    FAULTS["no-op"] = Heavy  # type: ignore[index]
    one = {"fault": "no-op", "after_s": 0, "hold_s": 60, "with": {"note": world.note}}
    run = world.carry_out(faults=[one, one])["runs"][0]
    (fault,) = run["faults"]
    assert fault["aborted"] == "another machine is not ready: two"
    assert not fault["ours"]
    assert 0 <= fault["abort_s"] <= fault["abort_gone_s"] < 5
    assert "error" not in run
    assert run["load"] == {"phases": {}, "troubles": ["whole: False"]}
    assert world.load.marks == ["fault injected", "fault taken back"]
    assert run["ledger"] == {"postgres": {"ok": 3}}


def test_a_ledger_that_is_silent_for_longer_than_the_drill_allows_ends_the_fault() -> None:
    world = World()
    one = {"fault": "no-op", "after_s": 0, "hold_s": 60, "with": {"note": world.note}}

    class Muting(NoOp):
        def inject(self, reach: Any) -> None:
            super().inject(reach)
            world.books.silent_s = {"http": 61.0, "postgres": 1.0}

    FAULTS["no-op"] = Muting  # type: ignore[index]
    run = world.carry_out(faults=[one])["runs"][0]
    assert run["faults"][0]["aborted"] == "no write of http was acknowledged for 61 s"


def test_of_a_cluster_with_ceph_it_is_told_when_every_copy_was_back(monitor: SafetyMonitor) -> None:
    whole = {"osds_up": 3, "osds": 3, "monitors_in": 3, "monitors": 3, "groups": 9, "clean": 9}
    later = time.monotonic() + 60
    monitor.samples.append(Sample(at=later, of="Ceph", storage=Storage(active=9, **whole)))
    ceph = World(reach=replace(reach(), profile=whole_cluster().profile))
    assert 0 < ceph.carry_out()["runs"][0]["whole_s"] <= 60
    assert "whole_s" not in World().carry_out()["runs"][0]
