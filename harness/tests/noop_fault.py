"""A fault that breaks nothing but a note of its own, and an undo store that only remembers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import ClassVar

from pydantic import ConfigDict, Field

from harness.core.errors import TransportError
from harness.faults.fault import Fault
from harness.faults.model import NOTHING, Act, Argv, BlastRadius, Undo
from harness.faults.undo_store import Left
from harness.transport import Reach


@dataclass
class Note:
    """Whether it is broken, and what is kept to mend it; ``fails`` says when a call goes wrong."""

    broken: bool = False
    kept: dict[str, Undo] = field(default_factory=dict)
    fails: Callable[[], bool] = lambda: False

    def stumble(self) -> None:
        if self.fails():
            raise TransportError("the line is dead")


def stumbling(draw: Random, share: float) -> Callable[[], bool]:
    """A call that goes wrong now and then."""
    return lambda: draw.random() < share


class NoOp(Fault):
    """Break a note. A call may fail before or after it did its work, as a lost answer does."""

    model_config = ConfigDict(arbitrary_types_allowed=True, frozen=True)

    name: ClassVar[str] = "no-op"
    blast_radius: ClassVar[frozenset[BlastRadius]] = NOTHING
    seen_within_s: ClassVar[float] = 0.0
    gone_within_s: ClassVar[float] = 0.0

    note: Note = Field(exclude=True)

    def acts(self, reach: Reach) -> Iterable[Act]:
        yield Act(place=self.machine, argv=("break",))

    def undo(self, reach: Reach) -> tuple[str, Iterable[Argv]]:
        return self.machine, [("mend",)]

    def inject(self, reach: Reach) -> None:
        self.note.stumble()
        self.note.broken = True
        self.note.stumble()

    def active(self, reach: Reach) -> bool:
        self.note.stumble()
        return self.note.broken

    def healed(self, reach: Reach) -> bool:
        self.note.stumble()
        return not self.note.broken

    def heal(self, reach: Reach, undo: Undo) -> None:
        NoteUndoStore(self.note).heal(undo)


@dataclass
class NoteUndoStore:
    """Keeps undo in a note."""

    note: Note

    def missing(self) -> Sequence[str]:
        return ()

    def arm(self, undo: Undo) -> None:
        self.note.stumble()
        self.note.kept[undo.id] = undo
        self.note.stumble()

    def renew(self, undo: Undo) -> bool:
        self.note.stumble()
        return undo.id in self.note.kept

    def heal(self, undo: Undo) -> None:
        self.clear(undo.id)

    def clear(self, name: str) -> None:
        self.note.stumble()
        self.note.broken = False
        self.note.kept.pop(name, None)
        self.note.stumble()

    def left(self) -> Left:
        return Left(place="one", armed=dict.fromkeys(self.note.kept, "no-op"))

    def fire(self) -> None:
        """The lease ends: whatever is kept runs by itself."""
        if self.note.kept:
            self.note.broken = False
            self.note.kept.clear()
