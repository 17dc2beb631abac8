"""Drills within a run: who may, with which seed, on which machines, and what is left to judge."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from harness import ledger
from harness.drill.conduct import Books, Stage, Write, carry_out
from harness.drill.steady import all_numbers, until_steady
from harness.faults.permit import affordable, permitted
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
        number = 0

        def keeping(names: Sequence[str], *, writes_per_s: float) -> AbstractContextManager[Books]:
            nonlocal number
            number += 1
            return ledger.keeping(
                self.reach,
                names=names,
                folder=self.folder / "ledger" / f"{name}-{number}",
                seed=self.options.seed + number,
                rate_per_s=writes_per_s,
            )

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


def _apart(value: dict[str, Any]) -> DrillOutcome:
    """The ledger's tallies are observations of their own: other checks judge them, too."""
    tallies = {
        f"{writer} while {run['machine']} was hit": tally
        for run in value["runs"]
        for writer, tally in run.pop("ledger", {}).items()
    }
    return DrillOutcome(drill=value, tallies=tallies)
