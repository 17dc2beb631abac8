"""Carrying a drill out: whatever happens in it, the fault is taken back, and said."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from harness.drill.conduct import Meanwhile, Stage, carry_out
from harness.errors import InjectFailed, NotProven, Refused, Unhealed
from harness.faults import FAULTS
from harness.faults.fault import Fault
from harness.settings.drills import Drill, DrillChange, Limits
from harness.tests.noop_fault import NoOp, Note, NoteKeeper
from harness.tests.stage import reach


@dataclass
class FakeBooks:
    marks: list[str] = field(default_factory=list)
    space: str = "cutover-ledger-1"

    def mark(self, name: str) -> None:
        self.marks.append(name)

    def tally(self) -> Mapping[str, Any]:
        return {"postgres": {"ok": 3}}

    def latency_ms(self) -> Sequence[Mapping[str, float]]:
        return []


@dataclass
class World:
    """A drill's surroundings, each of which a test may make fail."""

    note: Note = field(default_factory=Note)
    calms: list[list[str]] = field(default_factory=list)
    refuses: list[str | None] = field(default_factory=list)
    events: list[tuple[str, Any]] = field(default_factory=list)
    books: FakeBooks = field(default_factory=FakeBooks)
    meanwhile: Meanwhile | None = None

    def stage(self) -> Stage:
        return Stage(
            reach=reach(),
            calm=lambda _within_s: (1.0, self.calms.pop(0) if self.calms else ()),
            afford=self._afford,
            limits=Limits(electing_s=30, inactive_s=60, silent_s=90),
            write=lambda kind, _, data: self.events.append((data.get("event", kind), data)),
            keeping=self._keeping,
            tell=lambda _text: None,
            seed=1,
            keeper=lambda _reach, _place: NoteKeeper(self.note),
            meanwhile=self.meanwhile,
        )

    def carry_out(self, machines: Sequence[str] = ("one",), **changes: Any) -> Any:
        return carry_out(drill(self.note, **changes), self.stage(), machines)

    @property
    def told(self) -> list[str]:
        return [event for event, _ in self.events]

    def _afford(self, _fault: Fault) -> None:
        why = self.refuses.pop(0) if self.refuses else None
        if why is not None:
            raise Refused(why)

    @contextmanager
    def _keeping(
        self, names: Sequence[str], *, machine: str, writes_per_s: float
    ) -> Iterator[FakeBooks]:
        assert names
        assert machine
        assert writes_per_s > 0
        yield self.books


def drill(note: Note, **changes: Any) -> Drill:
    target = {"at_most": 60, "words": "a number"}
    return Drill.model_validate(
        {
            "schema": 1,
            "name": "break-the-note",
            "title": "The note breaks",
            "effect": "Nobody would notice.",
            "where": "each-machine",
            "faults": [{"fault": "no-op", "after_s": 0, "hold_s": 0, "with": {"note": note}}],
            "ledger": ["postgres"],
            "targets": dict.fromkeys(("lost_count", "outage_s", "steady_again_s"), target),
            **changes,
        }
    )


@pytest.fixture(autouse=True)
def _with_the_no_op(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FAULTS, "no-op", NoOp)


WHOLE_LIFE = ["armed", "injected", "active", "healed", "heal-proved"]


def test_a_drill_goes_from_steady_state_to_steady_state_on_each_machine() -> None:
    world = World()
    value = world.carry_out(machines=())
    assert [run["machine"] for run in value["runs"]] == ["one", "two"]
    assert world.told == WHOLE_LIFE * 2
    assert world.books.marks == ["fault injected", "fault taken back"] * 2
    run = value["runs"][0]
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


def test_a_drill_that_is_refused_has_touched_nothing() -> None:
    world = World(refuses=["etcd: 2 − 1 = 1, 2 needed"])
    with pytest.raises(Refused, match="2 needed"):
        world.carry_out()
    assert world.told == []


def test_a_refusal_on_the_second_machine_is_no_refusal_of_the_drill() -> None:
    world = World(refuses=[None, None, "etcd: 2 − 1 = 1, 2 needed"])
    with pytest.raises(NotProven, match="on two: etcd"):
        world.carry_out(machines=())
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


def test_a_fault_that_nobody_sees_is_taken_back_and_said() -> None:
    class Ineffective(NoOp):
        def inject(self, reach: Any) -> None:
            """It has no effect at all."""

    world = World()
    FAULTS["no-op"] = Ineffective  # type: ignore[index]
    value = world.carry_out()
    assert "is seen: not within" in value["runs"][0]["faults"][0]["unseen"]
    assert world.told == ["armed", "injected", "healed", "heal-proved"]


def test_a_fault_that_stays_ends_everything() -> None:
    class Sticky(NoOp):
        def healed(self, reach: Any) -> bool:  # noqa: ARG002
            return False

    world = World()
    FAULTS["no-op"] = Sticky  # type: ignore[index]
    with pytest.raises(Unhealed, match="is gone: not within"):
        world.carry_out(machines=())
    assert world.told == ["armed", "injected", "active", "healed"]


def test_ctrl_c_while_the_fault_is_active_takes_it_back() -> None:
    class Interrupting(NoOp):
        def active(self, reach: Any) -> bool:  # noqa: ARG002
            raise KeyboardInterrupt

    world = World()
    FAULTS["no-op"] = Interrupting  # type: ignore[index]
    with pytest.raises(KeyboardInterrupt):
        world.carry_out()
    assert world.told == ["armed", "injected", "healed", "heal-proved"]
    assert not world.note.broken


WELL = {"took_s": 1.0, "failed": [], "unknown": []}


def test_the_other_machines_are_looked_at_while_the_fault_is_there_and_no_longer() -> None:
    asked: list[tuple[str, float, bool]] = []

    def meanwhile(machine: str, within_s: float) -> Mapping[str, Any]:
        asked.append((machine, within_s, world.note.broken))
        return WELL

    world = World(meanwhile=meanwhile)
    looks = {"probes": ["swarm"], "during": ["Swarm services answer"], "checks": ["TLS is valid"]}
    value = world.carry_out(looks=looks)
    assert asked == [("one", 0, True)]
    assert value["during"] == ["Swarm services answer"]
    assert value["runs"][0]["faults"][0]["meanwhile"] == WELL
    assert world.told == WHOLE_LIFE


def test_a_look_at_the_others_that_breaks_leaves_no_fault() -> None:
    def meanwhile(machine: str, within_s: float) -> Mapping[str, Any]:
        raise NotProven(f"nobody looked beside {machine} for {within_s}")

    world = World(meanwhile=meanwhile)
    value = world.carry_out()
    assert "nobody looked" in value["runs"][0]["error"]
    assert world.told == WHOLE_LIFE


def test_too_much_ends_a_look_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def meanwhile(machine: str, within_s: float) -> Mapping[str, Any]:
        begun.set()
        go_on.wait(60)
        raise NotProven(f"{machine} {within_s}")

    def too_much(*_: object) -> str | None:
        return "another machine is not ready: two" if begun.is_set() else None

    monkeypatch.setattr("harness.drill.watch.too_much", too_much)
    world = World(meanwhile=meanwhile)
    (fault,) = world.carry_out()["runs"][0]["faults"]
    go_on.set()
    assert "two" in fault["aborted"]
    assert "meanwhile" not in fault
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
