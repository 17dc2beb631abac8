"""Carrying a drill out: whatever happens in it, the fault is taken back, and said."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core.errors import InjectFailed, NotProven, Refused, TransportError, Unhealed
from harness.core.model import Decision
from harness.drill.context import DrillContext, Options, RunJournal
from harness.drill.runner import run_drill
from harness.facts.drills import Bystanders, EndReason
from harness.faults.disruption_lock import DisruptionLock
from harness.faults.kinds import FAULTS
from harness.record.journal import JournalReader
from harness.record.records import FaultEvent, read
from harness.settings.drills import DrillChange, OwnLooks
from harness.tests.drill_world import WHOLE_LIFE, World, drill
from harness.tests.fault_examples import pod, whole_cluster
from harness.tests.noop_fault import NoOp, Note
from harness.tests.stage import running


@pytest.fixture(autouse=True)
def _with_the_no_op(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FAULTS, "no-op", NoOp)


def test_a_drill_goes_from_steady_state_to_steady_state_on_each_machine() -> None:
    world = World()
    value = world.carry_out(machines=())
    assert [run["machine"] for run in value["runs"]] == ["one", "two"]
    assert world.told == WHOLE_LIFE * 2
    assert world.books.marks == ["fault injected", "fault taken back"] * 2
    again = ["steady again", "went on for 10 s"]
    assert world.load.marks == ["fault injected", "fault taken back", *again] * 2
    run = value["runs"][0]
    assert run["load"] == {"phases": {}, "troubles": ["whole: False"]}
    assert run["faults"][0]["seen_s"] >= 0
    assert run["faults"][0]["gone_s"] >= 0
    assert run["ledger"] == {"postgres": {"ok": 3}}
    assert (run["before"], run["after"]) == ([], [])


def test_what_is_armed_is_told_with_all_that_heals_it_later() -> None:
    world = World()
    world.carry_out()
    event, data = world.events[0]
    assert event == "armed"
    assert data["parameters"]["machine"] == "one"
    assert data["undo"]["commands"] == [["mend"]]


def test_without_a_steady_state_nothing_is_broken() -> None:
    world = World(calms=[["Ceph is not healthy"]])
    value = world.carry_out(machines=())
    assert value["runs"] == [{"machine": "one", "before": ["Ceph is not healthy"], "faults": []}]
    assert world.told == []


def test_without_the_steady_state_again_the_load_does_not_go_on() -> None:
    world = World(calms=[[], ["an OSD is down"]])
    value = world.carry_out()
    assert value["runs"][0]["after"] == ["an OSD is down"]
    assert world.load.marks == ["fault injected", "fault taken back"]


def test_a_drill_ends_when_every_kind_of_writes_is_acknowledged_again() -> None:
    """A database may come back later than machines and storage do."""
    looks = [[40.0], [40.2], [0.0]]

    class Coming(dict[str, float]):
        def values(self) -> Any:
            return looks.pop(0)

    world = World()
    world.books.silent_s = Coming()
    world.carry_out()
    assert looks == []


def test_a_drill_that_is_refused_has_touched_nothing() -> None:
    world = World(refuses=["etcd: 2 − 1 = 1, 2 needed"])
    with pytest.raises(Refused, match="2 needed"):
        world.carry_out()
    assert world.told == []


def test_a_drill_of_the_primarys_machine_hits_no_other_one() -> None:
    """The primary moves while the steady state is waited for."""
    pods = {"items": [pod("web-1"), pod("web-2", role="primary")]}
    world = World(
        reach=whole_cluster({"/api/v1/namespaces/shop/pods?labelSelector=app%3Ddb": pods})
    )
    with pytest.raises(Refused, match="expected the primary of PostgreSQL on one, seen on two"):
        world.carry_out(where="postgres-primary")
    assert (world.asked, world.told) == (["sums of one", "steady state"], [])


def test_the_sums_come_before_the_steady_state_and_for_every_machine() -> None:
    """A monitor that is down is no steady state either: that is said with the arithmetic."""
    world = World(too_much="monitors: 2 − 1 = 1, 2 needed", calms=[["a monitor is down"]])
    with pytest.raises(Refused, match="2 − 1 = 1"):
        world.carry_out(machines=())
    assert world.asked == ["sums of one, two"]
    assert world.told == []
    well = World()
    well.carry_out()
    assert well.asked[:2] == ["sums of one", "steady state"]


def test_a_refusal_on_the_second_machine_is_no_refusal_of_the_drill() -> None:
    world = World(refuses=[None, None, "etcd: 2 − 1 = 1, 2 needed"])
    first, second = world.carry_out(machines=())["runs"]
    assert second["error"] == "etcd: 2 − 1 = 1, 2 needed"
    assert first["ledger"] == {"postgres": {"ok": 3}}, "what was written there is judged"
    assert world.told == WHOLE_LIFE


def test_an_injection_that_fails_is_taken_back_and_said() -> None:
    class Clumsy(NoOp):
        def inject(self, reach: Any) -> None:
            super().inject(reach)
            raise InjectFailed("the command ended with 1")

    world = World()
    FAULTS["no-op"] = Clumsy  # type: ignore[index]
    value = world.carry_out()
    assert value["runs"][0]["error"] == "the command ended with 1"
    assert world.told == ["armed", "injected", "healed", "heal-proved"]
    assert not world.note.broken


def test_a_fault_whose_arming_failed_is_told_and_judged_all_the_same(tmp_path: Path) -> None:
    """It is taken back, for nobody knows how far its arming came; it was never injected."""
    answers = [False, True]  # the last one is that of the arming
    note = Note(fails=lambda: bool(answers) and answers.pop())
    with running(tmp_path / "run") as recorded:
        context = World(note=note, run_writes=recorded.run.write).context()
        value: Any = run_drill(drill(note), context, ["one"])
    assert value["runs"][0]["error"] == "the line is dead"
    events = [
        read(FaultEvent, it.data)["event"]
        for it in JournalReader(tmp_path / "run")
        if it.kind == "fault"
    ]
    assert events == ["armed", "healed", "heal-proved"]
    judged = recorded.judged()
    assert (judged.decision, judged.document()["faults"]) == (Decision.NOT_PROVEN, [])


def test_a_fault_that_nobody_sees_is_taken_back_and_said() -> None:
    class Ineffective(NoOp):
        def inject(self, reach: Any) -> None:
            """It has no effect at all."""

    world = World()
    FAULTS["no-op"] = Ineffective  # type: ignore[index]
    value = world.carry_out()
    assert "is seen: not within" in value["runs"][0]["faults"][0]["unseen"]
    assert world.told == ["armed", "injected", "healed", "heal-proved"]


def test_a_lease_that_is_lost_while_a_fault_is_held_has_it_taken_back_at_once() -> None:
    class Losing(NoOp):
        def active(self, reach: Any) -> bool:
            for tell in world.on_lost:
                tell("run-2 holds the Lease")
            return super().active(reach)

    world = World()
    FAULTS["no-op"] = Losing  # type: ignore[index]
    held = {"fault": "no-op", "hold_s": 3600, "with": {"note": world.note}}
    value = world.carry_out(faults=[held])
    assert value["runs"][0]["faults"][0]["aborted"] == "run-2 holds the Lease"
    assert world.told[-3:] == ["alarm", "healed", "heal-proved"]
    assert world.on_lost == []


def test_a_fault_that_stays_ends_everything() -> None:
    class Sticky(NoOp):
        def healed(self, reach: Any) -> bool:
            return False

    world = World()
    FAULTS["no-op"] = Sticky  # type: ignore[index]
    value = world.carry_out(machines=())
    assert "is gone: not within" in value["unhealed"]
    (run,) = value["runs"]
    assert run["ledger"] == {"postgres": {"ok": 3}}
    assert world.told == ["armed", "injected", "active", "healed"]


def test_ctrl_c_while_the_fault_is_active_takes_it_back() -> None:
    class Interrupting(NoOp):
        def active(self, reach: Any) -> bool:
            raise KeyboardInterrupt

    world = World()
    FAULTS["no-op"] = Interrupting  # type: ignore[index]
    value = world.carry_out()
    (run,) = value["runs"]
    assert (value["ended"], run["error"]) == (EndReason.BY_HAND, EndReason.BY_HAND)
    assert run["ledger"] == {"postgres": {"ok": 3}}
    assert world.told == ["armed", "injected", "healed", "heal-proved"]
    assert not world.note.broken


@given(
    where=st.sampled_from(["resolved", "inject", "active", "healed", "calm", "mark", "load"]),
    error=st.sampled_from(
        [
            KeyError("x"),
            RuntimeError("x"),
            TransportError("x"),
            NotProven("x"),
            Unhealed("x"),
            OSError("x"),
            KeyboardInterrupt(),
            Refused("x"),
            MemoryError(),
            StopIteration(),
        ]
    ),
)
@settings(max_examples=150, deadline=None)
def test_however_a_drill_ends_its_ledger_is_read_back_and_its_fault_taken_back(
    where: str, error: BaseException
) -> None:
    """Once it is kept: before that, nothing was written and nothing broken."""
    world = World()
    armed = [True]

    def fails(_self: Any, *_args: Any) -> Any:
        if armed and where != "healed":
            armed.clear()
        raise error

    class Failing(NoOp):
        pass

    if where in ("resolved", "inject", "active", "healed"):
        setattr(Failing, where, fails)
    if where == "calm":
        calls = iter([(1.0, ())])
        world.steady = lambda _: next(calls, None) or fails(None)
    if where == "mark":
        world.books.mark = fails  # type: ignore[method-assign, assignment]
    if where == "load":
        world.load.outcome = fails  # type: ignore[method-assign, assignment]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(FAULTS, "no-op", Failing)
        try:
            value: Any = run_drill(drill(world.note), world.context(), ["one"])
        except BaseException:
            assert world.told == [], "it got away, and something was touched"
            return
    (run,) = value["runs"]
    if world.told:
        assert run["ledger"] == {"postgres": {"ok": 3}}
        assert not world.note.broken


WELL = Bystanders(took_s=1.0, failed=[], unknown=[])


def test_the_other_machines_are_looked_at_while_the_fault_is_there_and_no_longer() -> None:
    asked: list[tuple[str, float, bool]] = []

    def bystanders(machine: str, within_s: float) -> Bystanders:
        asked.append((machine, within_s, world.note.broken))
        return WELL

    world = World(bystanders=bystanders)
    looks = {"probes": ["swarm"], "during": ["Swarm services answer"], "checks": ["TLS is valid"]}
    value = world.carry_out(looks=looks)
    assert asked == [("one", 0, True)]
    assert value["during"] == ["Swarm services answer"]
    assert value["runs"][0]["faults"][0]["bystanders"] == WELL
    assert world.told == WHOLE_LIFE


def test_the_others_are_not_looked_at_where_nothing_is_said_of_them() -> None:
    own = OwnLooks(probes=("swarm",), checks=("Swarm services answer",))
    context = DrillContext(
        name="dull",
        reach=whole_cluster(),
        lock=cast("DisruptionLock", None),
        run=cast("RunJournal", None),
        folder=Path(),
        options=Options(allowed=True, seed=1),
        progress=print,
        hide=print,
        looks=own,
    )
    assert context.observe_bystanders("one", 1.0) is None


def test_a_look_at_the_others_that_breaks_leaves_no_fault() -> None:
    def bystanders(machine: str, within_s: float) -> Bystanders:
        raise NotProven(f"nobody looked beside {machine} for {within_s}")

    world = World(bystanders=bystanders)
    value = world.carry_out()
    assert "nobody looked" in value["runs"][0]["error"]
    assert world.told == WHOLE_LIFE


def test_too_much_ends_a_look_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def bystanders(machine: str, within_s: float) -> Bystanders:
        begun.set()
        go_on.wait(60)
        raise NotProven(f"{machine} {within_s}")

    def too_much(*_: object) -> str | None:
        return "another machine is not ready: two" if begun.is_set() else None

    monkeypatch.setattr("harness.drill.safety_monitor.too_much", too_much)
    world = World(bystanders=bystanders)
    (fault,) = world.carry_out()["runs"][0]["faults"]
    go_on.set()
    assert "two" in fault["aborted"]
    assert "bystanders" not in fault
    assert world.told == ["armed", "injected", "active", "alarm", "healed", "heal-proved"]


def test_looks_for_a_part_that_a_cluster_has_not_are_not_taken() -> None:
    looks = {"needs": "swarm", "probes": ["swarm"], "during": ["a"], "checks": ["b"]}
    planned = drill(Note(), looks=looks)
    assert planned.looks_on({"cilium"}) is None
    assert planned.looks_on({"swarm"}) == planned.looks


def test_the_same_seed_draws_the_same_machine() -> None:
    first = World().carry_out(machines=(), where="a-machine")
    again = World().carry_out(machines=(), where="a-machine")
    assert [run["machine"] for run in first["runs"]] == [run["machine"] for run in again["runs"]]


def test_a_cluster_may_want_a_drill_otherwise_and_says_why() -> None:
    because = "its disks are small"
    change = DrillChange.model_validate({"with": {"percent": 60}, "because": because})
    changed = drill(Note()).changed(change)
    assert changed.faults[0].parameters["percent"] == 60
    assert "note" in changed.faults[0].parameters
    assert because in changed.title
    assert drill(Note()).changed(None).title == "The note breaks"


def test_an_answer_that_an_observer_cannot_read_is_told_as_what_was_asked_last() -> None:
    class Garbled(NoOp):
        def active(self, reach: Any) -> bool:
            measured: dict[str, int] = {}
            return measured["usageNanoCores"] > 0

    world = World()
    FAULTS["no-op"] = Garbled  # type: ignore[index]
    run = world.carry_out()["runs"][0]
    assert "asked last: KeyError: 'usageNanoCores'" in run["faults"][0]["unseen"]
    assert world.told == ["armed", "injected", "healed", "heal-proved"]


def test_an_answer_that_nobody_foresaw_is_said_and_ends_the_drill_only() -> None:
    class Unplanned(NoOp):
        def resolved(self, reach: Any, draw: Any) -> Any:
            return [][0]

    FAULTS["no-op"] = Unplanned  # type: ignore[index]
    (run,) = World().carry_out(machines=())["runs"]
    assert run["error"].startswith("IndexError")


def test_whoever_says_by_itself_that_it_is_broken_is_among_those_who_noticed() -> None:
    class Honest(NoOp):
        @property
        def asks_itself(self) -> bool:
            return True

    FAULTS["no-op"] = Honest  # type: ignore[index]
    fault = World().carry_out()["runs"][0]["faults"][0]
    assert 0 <= fault["noticed"]["health"] <= fault["held_s"]
