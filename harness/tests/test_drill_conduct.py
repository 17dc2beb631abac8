"""Carrying a drill out: whatever happens in it, the fault is taken back, and said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from harness.drill.conduct import Stage, carry_out
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
class FakeLoad:
    marks: list[str] = field(default_factory=list)

    def mark(self, name: str) -> None:
        self.marks.append(name)

    def go_on(self, seconds: float) -> None:
        self.marks.append(f"went on for {seconds:g} s")

    def outcome(self, *, whole: bool = False) -> Any:
        return {"whole": whole}


@dataclass
class World:
    """A drill's surroundings, each of which a test may make fail."""

    note: Note = field(default_factory=Note)
    calms: list[list[str]] = field(default_factory=list)
    refuses: list[str | None] = field(default_factory=list)
    events: list[tuple[str, Any]] = field(default_factory=list)
    books: FakeBooks = field(default_factory=FakeBooks)
    load: FakeLoad = field(default_factory=FakeLoad)

    def stage(self) -> Stage:
        return Stage(
            reach=reach(),
            calm=lambda _within_s: (1.0, self.calms.pop(0) if self.calms else ()),
            afford=self._afford,
            limits=Limits(electing_s=30, inactive_s=60, silent_s=90),
            write=lambda kind, _, data: self.events.append((data.get("event", kind), data)),
            keeping=self._keeping,
            loading=self._loading,
            tell=lambda _text: None,
            seed=1,
            keeper=lambda _reach, _place: NoteKeeper(self.note),
        )

    @contextmanager
    def _loading(self, _machine: str) -> Iterator[FakeLoad]:
        yield self.load

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
    again = ["steady again", "went on for 10 s"]
    assert world.load.marks == ["fault injected", "fault taken back", *again] * 2
    run = value["runs"][0]
    assert run["load"] == {"whole": False}
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
