"""A drill's surroundings over fakes, each of which a test may make fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from harness.drill.runner import Meanwhile, Stage, carry_out
from harness.errors import Refused
from harness.faults.fault import Fault
from harness.settings.drills import OF_OTHERS, REQUIRED, Drill, Limits
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
    too_much: str = ""  # for the quorums, before anything else
    asked: list[str] = field(default_factory=list)  # in which order
    events: list[tuple[str, Any]] = field(default_factory=list)
    books: FakeBooks = field(default_factory=FakeBooks)
    load: FakeLoad = field(default_factory=FakeLoad)
    reach: Reach = field(default_factory=reach)
    meanwhile: Meanwhile | None = None
    alarms: list[Callable[[str], object]] = field(default_factory=list)

    def stage(self) -> Stage:
        return Stage(
            reach=self.reach,
            survivable=self._survivable,
            calm=self._calm,
            afford=self._afford,
            warning=self._warning,
            limits=Limits(electing_s=30, inactive_s=60, silent_s=90),
            write=lambda kind, _, data: self.events.append((data.get("event", kind), data)),
            keeping=self._keeping,
            loading=self._loading,
            tell=lambda _text: None,
            seed=1,
            undo_store_at=lambda _reach, _place: NoteUndoStore(self.note),
            meanwhile=self.meanwhile,
        )

    def _survivable(self, faults: Sequence[Fault]) -> None:
        self.asked.append(f"sums of {', '.join(it.machine for it in faults) or 'nothing'}")
        if self.too_much:
            raise Refused(self.too_much)

    def _calm(self, _within_s: float) -> tuple[float, Sequence[str]]:
        self.asked.append("steady state")
        return 1.0, self.calms.pop(0) if self.calms else ()

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
    keys = [*REQUIRED, *([OF_OTHERS] if "looks" in changes else [])]
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
