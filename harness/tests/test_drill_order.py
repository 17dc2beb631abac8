"""Which drill comes when, and which is not started because it might not end in time."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import NotProven
from harness.drill.context import Options
from harness.drill.order import TimeBudget, longest_s, machine_count, place, recovery_s
from harness.drill.service import DrillService
from harness.pytest_gate.catalogue import Scenario, read_features
from harness.settings import load_profile
from harness.settings.drills import drill_names, load_drill
from harness.tests.stage import reach, scenario

names = st.sampled_from(drill_names())


def service(**options: object) -> DrillService:
    return DrillService(
        reach=reach(),
        folder=Path("/nowhere"),
        options=Options(allowed=True, seed=1, **options),  # type: ignore[arg-type]
        progress=print,
        hide=len,
    )


def of_drill(name: str) -> Scenario:
    return scenario(name, proves="W9-DRILLS").model_copy(update={"drill": name})


def test_drills_run_from_the_shortest_recovery_to_the_longest_and_soaks_come_last() -> None:
    scenarios = [
        scenario("The platform is soaked", proves="W9-SOAK"),
        scenario("Something else is done", proves="W9-JOURNEY"),
        *map(of_drill, ("lose-machine", "lose-osd", "no-such-drill", "kill-pods")),
    ]
    placed = sorted(scenarios, key=service().place)
    assert [it.name for it in placed] == [
        *("kill-pods", "lose-osd", "lose-machine"),
        *("Something else is done", "no-such-drill", "The platform is soaked"),
    ]


@given(one=names, other=names)
def test_no_drill_comes_after_one_that_may_leave_more_behind(one: str, other: str) -> None:
    first, second = sorted((load_drill(one), load_drill(other)), key=lambda it: place(it, 3))
    assert recovery_s(first) <= recovery_s(second)
    if recovery_s(first) == recovery_s(second):
        assert longest_s(first, 3) <= longest_s(second, 3)


@given(name=names, machines=st.integers(1, 9))
def test_a_drill_takes_as_long_on_each_machine(name: str, machines: int) -> None:
    drill = load_drill(name)
    assert longest_s(drill, machines) == pytest.approx(machines * longest_s(drill, 1))
    assert longest_s(drill, 1) > recovery_s(drill) + sum(it.hold_s for it in drill.faults)


def test_a_drill_counts_the_machines_that_it_runs_on() -> None:
    contabo = load_profile("contabo")
    counts = {name: machine_count(load_drill(name), contabo) for name in drill_names()}
    assert counts["lose-machine"] == counts["rolling-restart"] == 3
    assert counts["lose-osd"] == counts["lose-manager"] == counts["stop-rke2"] == 1


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("harness.drill.order.time.monotonic", lambda: self.now)


def test_a_drill_that_might_not_end_in_time_is_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    long, short = load_drill("lose-machine"), load_drill("kill-pods")
    budget = TimeBudget(longest_s(long, 3) + 60)
    budget.require(long, 3)
    clock.now += 61
    says = r"lose-machine was not started: it takes up to 29 min, and 29 of 30 min"
    with pytest.raises(NotProven, match=says) as late:
        budget.require(long, 3)
    assert "--resume" in str(late.value)
    budget.require(short, 1)  # one that is shorter still fits


def test_the_time_counts_from_the_first_drill(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    drill = load_drill("kill-pods")
    budget = TimeBudget(longest_s(drill, 1))
    clock.now += 7200
    budget.require(drill, 1)
    clock.now += 7200
    with pytest.raises(NotProven, match=r"and 0 of 6 min for drills are left"):
        budget.require(drill, 1)


def test_the_time_is_shared_by_all_drills_of_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    drilling = service(drills_within_s=500.0)
    drilling.require_time("kill-pods")
    clock.now += 300
    with pytest.raises(NotProven, match="lose-ingress was not started"):
        drilling.require_time("lose-ingress")


def test_without_a_declared_time_every_drill_is_started() -> None:
    service().require_time("lose-machine")


def test_a_machine_that_was_asked_for_is_the_only_one_that_counts() -> None:
    asked = service(machines=("one",), drills_within_s=longest_s(load_drill("lose-machine"), 1))
    asked.require_time("lose-machine")


def test_every_drill_of_the_features_has_a_place() -> None:
    drills = [it for it in read_features() if it.drill in drill_names()]
    assert len(drills) > 20
    assert {len(service().place(it)) for it in drills} == {3}
