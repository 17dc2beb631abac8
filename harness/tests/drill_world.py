"""A drill's surroundings over fakes, each of which a test may make fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from harness.core.errors import Refused
from harness.drill.context import DrillContext, Options
from harness.drill.runner import run_drill
from harness.facts.drills import Bystanders, LoadFacts
from harness.faults.disruption_lock import DisruptionLock
from harness.faults.fault import Fault
from harness.record.records import Data, Kind
from harness.settings.drills import OF_BYSTANDERS, REQUIRED, AbortConditions, Drill
from harness.tests.noop_fault import Note, NoteUndoStore
from harness.tests.stage import reach
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

    def latency_ms(self) -> list[dict[str, float]]:
        return []


@dataclass
class FakeLoad:
    marks: list[str] = field(default_factory=list)
    is_offered: bool = True

    def mark(self, name: str) -> None:
        self.marks.append(name)

    def go_on(self, seconds: float) -> None:
        self.marks.append(f"went on for {seconds:g} s")

    def outcome(self, *, whole: bool = False) -> LoadFacts | None:
        return LoadFacts(phases={}, troubles=[f"whole: {whole}"])


Write: TypeAlias = Callable[[Kind, str, Data], object]


@dataclass
class World:
    """A drill's surroundings, each of which a test may make fail."""

    note: Note = field(default_factory=Note)
    calms: list[list[str]] = field(default_factory=list)
    refuses: list[str | None] = field(default_factory=list)
    too_much: str = ""  # for the quorums, before anything else
    asked: list[str] = field(default_factory=list)  # in which order
    events: list[tuple[str, Any]] = field(default_factory=list)
    books: FakeBooks = field(default_factory=FakeBooks)
    load: FakeLoad = field(default_factory=FakeLoad)
    reach: Reach = field(default_factory=reach)
    bystanders: Callable[[str, float], Bystanders] | None = None
    on_lost: list[Callable[[str], object]] = field(default_factory=list)
    steady: Callable[[float], tuple[float, Sequence[str]]] | None = None
    progress: Callable[[str], None] = lambda _text: None
    run_writes: Write | None = None

    name = "run"

    def write(self, kind: Kind, subject: str, data: Any) -> object:
        self.events.append((data.get("event", kind), data))
        return self.run_writes(kind, subject, data) if self.run_writes is not None else None

    def context(self, name: str = "break-the-note") -> FakeContext:
        return FakeContext(
            name=name,
            reach=self.reach,
            lock=DisruptionLock(self.reach.kube, "run"),
            run=self,
            folder=Path("/nowhere"),
            options=Options(allowed=True, seed=1),
            progress=self.progress,
            hide=len,
            world=self,
        )

    def carry_out(self, machines: Sequence[str] = ("one",), **changes: Any) -> Any:
        return run_drill(drill(self.note, **changes), self.context(), machines)

    @property
    def told(self) -> list[str]:
        return [event for event, _ in self.events]


@dataclass(frozen=True, kw_only=True)
class FakeContext(DrillContext):
    """Does to its world what a drill would do to the outside."""

    world: World

    @property
    def abort_conditions(self) -> AbortConditions:
        return AbortConditions(electing_s=30, inactive_s=60, silent_s=90)

    def preflight_all(self, faults: Sequence[Fault]) -> None:
        machines = ", ".join(it.machine for it in faults)
        self.world.asked.append(f"sums of {machines or 'nothing'}")
        if self.world.too_much:
            raise Refused(self.world.too_much)

    def preflight(self, fault: Fault) -> None:
        why = self.world.refuses.pop(0) if self.world.refuses else None
        if why is not None:
            raise Refused(why)

    def wait_steady(self, within_s: float) -> tuple[float, Sequence[str]]:
        self.world.asked.append("steady state")
        if self.world.steady is not None:
            return self.world.steady(within_s)
        return 1.0, self.world.calms.pop(0) if self.world.calms else ()

    def observe_bystanders(self, machine: str, within_s: float) -> Bystanders | None:
        look = self.world.bystanders
        return look(machine, within_s) if look is not None else None

    @contextmanager
    def on_lock_lost(self, tell: Callable[[str], object]) -> Iterator[None]:
        self.world.on_lost.append(tell)
        yield
        self.world.on_lost.remove(tell)

    def undo_store_at(self, _reach: Reach, _place: str) -> NoteUndoStore:
        return NoteUndoStore(self.world.note)

    @contextmanager
    def ledger(
        self, names: Sequence[str], *, machine: str, writes_per_s: float
    ) -> Iterator[FakeBooks]:
        assert names
        assert machine
        assert writes_per_s > 0
        yield self.world.books

    @contextmanager
    def offered_load(self, _machine: str) -> Iterator[FakeLoad]:
        yield self.world.load


def drill(note: Note, **changes: Any) -> Drill:
    target = {"at_most": 60, "words": "a number"}
    keys = [*REQUIRED, *([OF_BYSTANDERS] if "looks" in changes else [])]
    return Drill.model_validate(
        {
            "schema": 1,
            "name": "break-the-note",
            "title": "The note breaks",
            "effect": "Nobody would notice.",
            "where": "each-machine",
            "faults": [{"fault": "no-op", "after_s": 0, "hold_s": 0, "with": {"note": note}}],
            "ledger": ["postgres"],
            "targets": dict.fromkeys(keys, target),
            **changes,
        }
    )


WHOLE_LIFE = ["armed", "injected", "active", "healed", "heal-proved"]
