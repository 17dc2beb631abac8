"""Carrying a drill out: whatever happens in it, the fault is taken back, and said."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from harness.drill.conduct import Meanwhile, Stage, carry_out
from harness.drill.watch import Sample, Storage, Watch
from harness.errors import InjectFailed, NotProven, Refused, Unhealed
from harness.faults import FAULTS
from harness.faults.fault import Fault
from harness.journal import Reader
from harness.model import Decision
from harness.settings.drills import REQUIRED, Drill, DrillChange, Limits
from harness.tests.fault_examples import whole_cluster
from harness.tests.noop_fault import NoOp, Note, NoteKeeper
from harness.tests.stage import reach, running
from harness.transport import Reach


@dataclass
class FakeBooks:
    marks: list[str] = field(default_factory=list)
    space: str = "cutover-ledger-1"
    silent_s: Mapping[str, float] = field(default_factory=dict)

    def mark(self, name: str) -> None:
        self.marks.append(name)

    def tally(self) -> Mapping[str, Any]:
        return {"postgres": {"ok": 3}}

    def latency_ms(self) -> Sequence[Mapping[str, float]]:
        return []


@dataclass
class FakeLoad:
    marks: list[str] = field(default_factory=list)
    is_offered: bool = True

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
    reach: Reach = field(default_factory=reach)
    meanwhile: Meanwhile | None = None
    alarms: list[Callable[[str], object]] = field(default_factory=list)

    def stage(self) -> Stage:
        return Stage(
            reach=self.reach,
            calm=lambda _within_s: (1.0, self.calms.pop(0) if self.calms else ()),
            afford=self._afford,
            warning=self._warning,
            limits=Limits(electing_s=30, inactive_s=60, silent_s=90),
            write=lambda kind, _, data: self.events.append((data.get("event", kind), data)),
            keeping=self._keeping,
            loading=self._loading,
            tell=lambda _text: None,
            seed=1,
            keeper=lambda _reach, _place: NoteKeeper(self.note),
            meanwhile=self.meanwhile,
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
    def _warning(self, alarm: Callable[[str], object]) -> Iterator[None]:
        self.alarms.append(alarm)
        yield
        self.alarms.remove(alarm)

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
            "targets": dict.fromkeys(REQUIRED, target),
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


def test_a_fault_whose_arming_failed_is_told_and_judged_all_the_same(tmp_path: Path) -> None:
    """It is taken back, for nobody knows how far its arming came; it was never injected."""
    answers = [False, True]  # the last one is that of the arming
    note = Note(fails=lambda: bool(answers) and answers.pop())
    with running(tmp_path / "run") as recorded:
        stage = replace(World(note=note).stage(), write=recorded.run.write)
        value: Any = carry_out(drill(note), stage, ["one"])
    assert value["runs"][0]["error"] == "the line is dead"
    events = [it.data["event"] for it in Reader(tmp_path / "run") if it.kind == "fault"]
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
            for alarm in world.alarms:
                alarm("run-2 holds the Lease")
            return super().active(reach)

    world = World()
    FAULTS["no-op"] = Losing  # type: ignore[index]
    held = {"fault": "no-op", "hold_s": 3600, "with": {"note": world.note}}
    value = world.carry_out(faults=[held])
    assert value["runs"][0]["faults"][0]["aborted"] == "run-2 holds the Lease"
    assert world.told[-3:] == ["alarm", "healed", "heal-proved"]
    assert world.alarms == []


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


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    """Nobody looks: a test says what was seen."""
    watch = Watch("one", Limits(electing_s=30, inactive_s=60, silent_s=90))
    monkeypatch.setattr("harness.drill.conduct.watching", lambda *_: nullcontext(watch))
    return watch


def a_second_machine_breaks(watch: Watch) -> None:
    for at in (1.0, 2.0):
        watch.take(Sample(at=at, of="the API", ready={"one": True, "two": False}))


def test_nothing_is_broken_once_too_much_is(watch: Watch) -> None:
    a_second_machine_breaks(watch)
    world = World()
    run = world.carry_out()["runs"][0]
    assert "was not injected: too much is broken: another machine is not ready" in run["error"]
    assert (world.told, run["faults"]) == ([], [])


def test_what_breaks_while_a_fault_is_armed_keeps_it_from_being_injected(watch: Watch) -> None:
    class Slow(NoOp):
        def arm(self, reach: Any, lease_s: float) -> Any:
            a_second_machine_breaks(watch)
            return super().arm(reach, lease_s)

    world = World()
    FAULTS["no-op"] = Slow  # type: ignore[index]
    run = world.carry_out()["runs"][0]
    assert "was not injected" in run["error"]
    assert world.told == ["armed", "alarm", "healed", "heal-proved"]
    assert run["faults"][0]["aborted"] is None


def test_after_an_alarm_the_next_fault_is_left_out_and_the_drill_is_told_to_its_end(
    watch: Watch,
) -> None:
    class Heavy(NoOp):
        def inject(self, reach: Any) -> None:
            super().inject(reach)
            a_second_machine_breaks(watch)

    world = World()
    FAULTS["no-op"] = Heavy  # type: ignore[index]
    one = {"fault": "no-op", "after_s": 0, "hold_s": 60, "with": {"note": world.note}}
    run = world.carry_out(faults=[one, one])["runs"][0]
    (fault,) = run["faults"]
    assert fault["aborted"] == "another machine is not ready: two"
    assert not fault["ours"]
    assert 0 <= fault["abort_s"] <= fault["abort_gone_s"] < 5
    assert "error" not in run
    assert run["load"] == {"whole": False}
    assert world.load.marks == ["fault injected", "fault taken back"]
    assert run["ledger"] == {"postgres": {"ok": 3}}


def test_an_answer_that_an_observer_cannot_read_is_told_as_what_was_asked_last() -> None:
    class Garbled(NoOp):
        def active(self, reach: Any) -> bool:  # noqa: ARG002
            measured: dict[str, int] = {}
            return measured["usageNanoCores"] > 0

    world = World()
    FAULTS["no-op"] = Garbled  # type: ignore[index]
    run = world.carry_out()["runs"][0]
    assert "asked last: KeyError: 'usageNanoCores'" in run["faults"][0]["unseen"]
    assert world.told == ["armed", "injected", "healed", "heal-proved"]


def test_an_answer_that_nobody_foresaw_is_said_and_ends_the_drill_only() -> None:
    class Unplanned(NoOp):
        def resolved(self, reach: Any, draw: Any) -> Any:  # noqa: ARG002
            return next(iter(()))

    FAULTS["no-op"] = Unplanned  # type: ignore[index]
    (run,) = World().carry_out(machines=())["runs"]
    assert run["error"].startswith("StopIteration")


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


def test_whoever_says_by_itself_that_it_is_broken_is_among_those_who_noticed() -> None:
    class Honest(NoOp):
        @property
        def asks_itself(self) -> bool:
            return True

    FAULTS["no-op"] = Honest  # type: ignore[index]
    fault = World().carry_out()["runs"][0]["faults"][0]
    assert 0 <= fault["noticed"]["health"] <= fault["held_s"]


def test_of_a_cluster_with_ceph_it_is_told_when_every_copy_was_back(watch: Watch) -> None:
    whole = {"osds_up": 3, "osds": 3, "monitors_in": 3, "monitors": 3, "groups": 9, "clean": 9}
    later = time.monotonic() + 60
    watch.samples.append(Sample(at=later, of="Ceph", storage=Storage(active=9, **whole)))
    ceph = World(reach=replace(reach(), profile=whole_cluster().profile))
    assert 0 < ceph.carry_out()["runs"][0]["whole_s"] <= 60
    assert "whole_s" not in World().carry_out()["runs"][0]
