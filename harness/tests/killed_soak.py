"""A soak over fakes that is killed: ``python -m harness.tests.killed_soak FOLDER TURN``.

It ends itself with SIGKILL while the fault of that turn is held. Its journal, the ledger's book and
what the ledger wrote are in the folder.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from harness.core.waiting import until
from harness.drill.context import Options
from harness.drill.injection import Moment
from harness.drill.schedule import drawn
from harness.drill.soak import soak
from harness.drill.traffic import NoLoad, quarters
from harness.faults.disruption_lock import DisruptionLock
from harness.faults.kinds import FAULTS
from harness.ledger import recorder as ledger_recorder
from harness.ledger.history import HistoryReader
from harness.ledger.result import observed
from harness.record.journal import Journal
from harness.record.records import Data, Kind
from harness.settings.drills import Soak
from harness.tests.drill_world import FakeContext, World
from harness.tests.ledger_rig import ground
from harness.tests.noop_fault import NoOp, Note, NoteUndoStore
from harness.tests.stage import manifest, reach
from harness.transport import Reach

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

    def __init__(self, books: ledger_recorder.Recorder) -> None:
        self.books = books

    def mark(self, name: str) -> None:
        self.books.mark(name)

    def tally(self) -> Mapping[str, Any]:
        return observed(self.books.tally(), f"{PART}/everything")

    @property
    def silent_s(self) -> Mapping[str, float]:
        return {}

    def latency_ms(self) -> list[dict[str, float]]:
        return quarters(HistoryReader(self.books.folder / "book"))


class Visitors(NoLoad):
    """A load over fakes."""

    is_offered = True


@dataclass
class Doomed:
    """The run, and what its soak writes to; ``name`` holds the Lease."""

    journal: Journal
    name: str = "run"

    def write(self, kind: Kind, subject: str, data: Data) -> object:
        return self.journal.append(kind, subject, data)


def main(folder: Path, last: int) -> None:
    with pytest.MonkeyPatch.context() as patch, ground(folder, patch) as made:
        patch.setitem(FAULTS, "no-op", Quiet)

        @dataclass(frozen=True, kw_only=True)
        class Context(FakeContext):
            def undo_store_at(self, _reach: Reach, _place: str) -> NoteUndoStore:
                return NoteUndoStore(NOTE)

            @contextmanager
            def ledger(
                self, names: Sequence[str], *, machine: str, writes_per_s: float
            ) -> Iterator[Any]:
                at = folder / "ledger" / machine
                rate = writes_per_s
                with ledger_recorder.recorded(made.stage, names, folder=at, rate_per_s=rate) as it:
                    books.append(it)
                    yield Books(it)

            @contextmanager
            def offered_load(self, _machine: str) -> Iterator[Any]:
                yield Visitors()

        def tell(text: str) -> None:
            if not text.startswith(Moment.HOLDING):
                return
            number = books[0].acknowledged["http"] + 5
            until(lambda: books[0].acknowledged["http"] >= number, within_s=60, what="more writes")
            turns.append(text)
            if len(turns) == last:
                os.kill(os.getpid(), signal.SIGKILL)

        books: list[ledger_recorder.Recorder] = []
        turns: list[str] = []
        with Journal.create(folder / "run", PLAN.run) as journal:
            journal.append(Kind.MANIFEST, PLAN.run, PLAN.model_dump(mode="json", by_alias=True))
            journal.append(Kind.SESSION, PLAN.run, {})
            context = Context(
                name=PART,
                reach=reach(),
                lock=DisruptionLock(reach().kube, "run"),
                run=Doomed(journal),
                folder=folder,
                options=Options(allowed=True, seed=SEED),
                progress=tell,
                hide=len,
                world=World(),
            )
            soak(RULES, drawn(RULES, ("one", "two"), SEED), 600.0, context)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
