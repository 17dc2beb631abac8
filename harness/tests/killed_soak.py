"""A soak over fakes that is killed: ``python -m harness.tests.killed_soak FOLDER TURN``.

It ends itself with SIGKILL while the fault of that turn is held. Its journal, the ledger's book and
what the ledger wrote are in the folder.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from harness.drill.latency import quarters
from harness.drill.loads import Load, NoLoad
from harness.drill.runner import Stage
from harness.drill.schedule import drawn
from harness.drill.soak import soak
from harness.faults.kinds import FAULTS
from harness.ledger import keeping as ledger_keeping
from harness.ledger.book import Reader
from harness.ledger.tally import observed
from harness.record.journal import Journal
from harness.settings.drills import Limits
from harness.settings.soaks import Soak
from harness.tests.ledger_rig import ground
from harness.tests.noop_fault import NoOp, Note, NoteUndoStore
from harness.tests.stage import manifest, reach
from harness.waiting import until

PLAN = manifest()
PART, SPACE, SEED = "part 1", "cutover-ledger-1", 7
NOTE = Note()
RULES = Soak.model_validate(
    {
        "schema": 1,
        "faults": [{"fault": "no-op", "weight": 1, "hold_s": [0, 0]}],
        "pause_s": [0, 0],
        "calm_within_s": 1,
        "look_every_s": 60,
        "grows_percent": 25,
        "refused_percent": 20,
        "slower_ratio": 1.5,
        "ledger": ["http"],
        "writes_per_s": 50,
    }
)


class Quiet(NoOp):
    """Breaks a note that everybody here has."""

    note: Note = Field(default_factory=lambda: NOTE, exclude=True)


class Books:
    """A ledger over fakes."""

    space = SPACE

    def __init__(self, books: ledger_keeping.Books) -> None:
        self.books = books

    def mark(self, name: str) -> None:
        self.books.mark(name)

    def tally(self) -> Mapping[str, Any]:
        return observed(self.books.tally(), f"{PART}/everything")

    @property
    def silent_s(self) -> Mapping[str, float]:
        return {}

    def latency_ms(self) -> Sequence[Mapping[str, float]]:
        return quarters(Reader(self.books.folder / "book"))


class Visitors(NoLoad):
    """A load over fakes."""

    is_offered = True


@contextmanager
def loading(_machine: str) -> Iterator[Load]:
    yield Visitors()


def main(folder: Path, last: int) -> None:
    with pytest.MonkeyPatch.context() as patch, ground(folder, patch) as made:
        patch.setitem(FAULTS, "no-op", Quiet)

        @contextmanager
        def keeping(names: Sequence[str], *, machine: str, writes_per_s: float) -> Iterator[Books]:
            at = folder / "ledger" / machine
            with ledger_keeping.kept(made.stage, names, folder=at, rate_per_s=writes_per_s) as it:
                books.append(it)
                yield Books(it)

        def tell(text: str) -> None:
            if not text.startswith("holding"):
                return
            number = books[0].acknowledged["http"] + 5
            until(lambda: books[0].acknowledged["http"] >= number, within_s=20, what="more writes")
            turns.append(text)
            if len(turns) == last:
                os.kill(os.getpid(), signal.SIGKILL)

        books: list[ledger_keeping.Books] = []
        turns: list[str] = []
        with Journal.create(folder / "run", PLAN.run) as journal:
            journal.append("manifest", PLAN.run, PLAN.model_dump(mode="json", by_alias=True))
            journal.append("session", PLAN.run, {})
            stage = Stage(
                reach=reach(),
                survivable=lambda _: None,
                calm=lambda _: (0.1, ()),
                afford=lambda _: None,
                warning=lambda _alarm: nullcontext(),
                limits=Limits(electing_s=30, inactive_s=60, silent_s=90),
                write=journal.append,
                keeping=keeping,
                loading=loading,
                tell=tell,
                seed=SEED,
                undo_store_at=lambda _reach, _place: NoteUndoStore(NOTE),
            )
            soak(RULES, drawn(RULES, ("one", "two"), SEED), 600.0, stage, part=PART)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
