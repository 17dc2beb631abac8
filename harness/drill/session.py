"""Drills within a run: who may, with which seed, on which machines, and what is left to judge."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from harness.drill.conduct import Stage, Write, carry_out
from harness.drill.steady import all_numbers, until_steady
from harness.faults.permit import affordable, permitted
from harness.ledger import keeping as ledger_keeping
from harness.ledger.tally import observed
from harness.model import JSON
from harness.settings import load_gates
from harness.settings.drills import load_drill, load_steady
from harness.transport import Reach

DRILLS, LEDGER = "drills", "ledger"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What whoever called has decided: may anything be broken, what every choice is drawn from, and
    on which machines (none: those that the drill names)."""

    allowed: bool
    seed: int
    machines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillOutcome:
    """What a drill left: its own value, and the tally of each writer on each machine."""

    drill: JSON
    tallies: Mapping[str, JSON]


@dataclass(frozen=True, kw_only=True)
class Drilling:
    """Carries drills out for one run; ``folder`` is the run's."""

    reach: Reach
    folder: Path
    options: Options
    tell: Callable[[str], None]

    def carry_out(self, name: str, holder: str, write: Write) -> DrillOutcome:
        """One drill, under the Lease of ``holder``; Refused with nothing touched."""
        drill, steady = load_drill(name), load_steady()

        @contextmanager
        def keeping(names: Sequence[str], *, machine: str, writes_per_s: float) -> Iterator[_Books]:
            with ledger_keeping.keeping(
                self.reach,
                names=names,
                folder=self.folder / "ledger" / name / machine,
                run=f"{holder}/{name}/{machine}",
                seed=self.options.seed,
                rate_per_s=writes_per_s,
            ) as books:
                yield _Books(books, machine)

        stage = Stage(
            reach=self.reach,
            calm=partial(until_steady, self.reach, steady, all_numbers(load_gates())),
            afford=partial(affordable, self.reach),
            limits=steady.limits,
            write=write,
            keeping=keeping,
            tell=self.tell,
            seed=self.options.seed,
        )
        with permitted(self.reach, holder, allowed=self.options.allowed):
            value: Any = carry_out(drill, stage, self.options.machines)
        return _apart(value)


@dataclass(frozen=True)
class _Books:
    """The ledger of one run of a drill: what it observed is told apart by the machine."""

    books: ledger_keeping.Books
    machine: str

    def mark(self, name: str) -> None:
        self.books.mark(name)

    def tally(self) -> Mapping[str, JSON]:
        return observed(self.books.tally(), self.machine)


def _apart(value: dict[str, Any]) -> DrillOutcome:
    """The ledger's tallies are observations of their own: other checks judge them, too."""
    tallies: dict[str, JSON] = {}
    for run in value["runs"]:
        tallies |= run.pop("ledger", {})
    return DrillOutcome(drill=value, tallies=tallies)
