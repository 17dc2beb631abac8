"""Everything that a drill, or a part of a soak, does to the outside, as one object."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from itertools import count, takewhile
from pathlib import Path
from typing import Protocol

from harness.core.model import JSON, Numbers
from harness.drill.schedule import Turn
from harness.drill.steady import all_numbers, observe_bystanders, wait_steady
from harness.drill.traffic import (
    CLAIMS,
    BackgroundWrites,
    Books,
    Load,
    Marked,
    NoLoad,
    quarters,
    writing_in_background,
)
from harness.facts.drills import Bystanders
from harness.faults.disruption_lock import DisruptionLock
from harness.faults.fault import Fault
from harness.faults.preflight import affordable, survivable
from harness.faults.undo_store import UndoStore, undo_store_at
from harness.ledger import recorder as ledger_recorder
from harness.ledger.history import HistoryReader
from harness.ledger.result import observed
from harness.load.running import offering
from harness.load.spec import LoadSpec, load_spec, why_none
from harness.move.shift import Order
from harness.record.records import Data, Kind
from harness.settings import load_gates
from harness.settings.drills import AbortConditions, OwnLooks, Steady, load_steady
from harness.settings.loads import find_load
from harness.transport import Reach

# A drill takes at most this long; the load gets this time limit.
_DRILL_S = 7200.0
LEDGER_FOLDER, _LOAD_FOLDER = "ledger", "load"


class RunJournal(Protocol):
    """The run, to whose journal a drill writes."""

    @property
    def name(self) -> str:
        """The run's name, which is the holder of the Lease."""
        ...

    def write(self, kind: Kind, subject: str, data: Data) -> object: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of the command.

    ``allowed``: whether faults are allowed; ``seed``: the seed of every random choice;
    ``machines``: the machines, if not those of the drill; ``soak_s``: the duration of a soak;
    ``turns``: the turns of an earlier soak, to be repeated instead of drawn ones; ``customer``: the
    one whose backup is restored, if not the profile's first; ``shift``: how the traffic moves, if
    it is not rehearsed; ``drills_within_s``: the time for all drills of this session, or None.
    """

    allowed: bool
    seed: int
    machines: tuple[str, ...] = ()
    soak_s: float = 0.0
    turns: tuple[Turn, ...] | None = None
    customer: str | None = None
    shift: Order | None = None
    drills_within_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class DrillContext:
    """The context of the drill, or the part of a soak, of this name, under the disruption lock.

    ``folder`` is the run's. ``progress`` informs the operator, ``hide`` gets each new secret.
    ``looks`` are the drill's own, beside the steady state; ``load`` names the load on the ingress;
    with ``claims``, every machine writes to a claim.
    """

    name: str
    reach: Reach
    lock: DisruptionLock
    run: RunJournal
    folder: Path
    options: Options
    progress: Callable[[str], None]
    hide: Callable[[str], object]
    looks: OwnLooks | None = None
    load: str | None = None
    claims: bool = False

    def begin(self) -> None:
        """Journal the seed, and report the load; ConfigError when the load has no target."""
        order = self._order
        self.run.write(Kind.SEED, self.name, {"seed": self.seed})
        self.progress(f"every choice is drawn from --seed {self.seed}")
        if self.load is not None and order is None:
            self.progress(f"without the load {self.load}: {why_none(self.reach.profile)}")

    @property
    def seed(self) -> int:
        return self.options.seed

    @property
    def abort_conditions(self) -> AbortConditions:
        return self._steady.limits

    def preflight(self, fault: Fault) -> None:
        """Refused when the fault would leave too little, or the lock is lost."""
        affordable(self.reach, self.lock, fault)

    def preflight_all(self, faults: Sequence[Fault]) -> None:
        """Refused when a quorum cannot survive one of the faults; this runs first."""
        survivable(self.reach, faults)

    def wait_steady(self, within_s: float) -> tuple[float, Sequence[str]]:
        """Wait for the steady state: the seconds that took, and what is still wrong at the end."""
        looks = [self._steady, *([self.looks] if self.looks is not None else [])]
        return wait_steady(self.reach, looks, self._numbers, within_s)

    def observe_bystanders(self, machine: str, within_s: float) -> Bystanders | None:
        """The state of all other machines during the fault; None when the drill has none."""
        if self.looks is None or not self.looks.during:
            return None
        looks = self.looks.of_bystanders
        return observe_bystanders(self.reach, looks, self._numbers, machine, within_s)

    def on_lock_lost(self, tell: Callable[[str], object]) -> AbstractContextManager[None]:
        """Call ``tell`` with the reason if the disruption lock is lost during the body."""
        return self.lock.on_lost(tell)

    def undo_store_at(self, reach: Reach, place: str) -> UndoStore:
        """The store of a fault's undo: on a machine, or on this computer."""
        return undo_store_at(reach, place)

    def record(self, kind: Kind, subject: str, data: Data) -> None:
        """Write a record to the run's journal."""
        self.run.write(kind, subject, data)

    @contextmanager
    def ledger(self, names: Sequence[str], *, machine: str, writes_per_s: float) -> Iterator[Books]:
        """Keep a ledger with these writers during the body, which faults ``machine``."""
        place = f"{self.name}/{machine}"
        with (
            ledger_recorder.recording(
                self.reach,
                names=names,
                folder=self.fresh_folder(LEDGER_FOLDER, place),
                run=f"{self.run.name}/{place}",
                seed=self.seed,
                hide=self.hide,
                rate_per_s=writes_per_s,
            ) as books,
            writing_in_background(self.reach, self.seed)
            if self.claims
            else nullcontext() as claims,
        ):
            yield _Books(books, place, claims)

    @contextmanager
    def offered_load(self, machine: str) -> Iterator[Load]:
        """Offer the load, if there is one, during the body, which faults ``machine``."""
        order = self._order
        if order is None:
            yield NoLoad()
            return
        self.progress(f"offering the load: {order}")
        with offering(order, self.fresh_folder(_LOAD_FOLDER, f"{self.name}/{machine}")) as running:
            yield Marked(running)

    @cached_property
    def _steady(self) -> Steady:
        return load_steady()

    @cached_property
    def _numbers(self) -> Numbers:
        return all_numbers(load_gates(), self.reach.profile)

    @cached_property
    def _order(self) -> LoadSpec | None:
        if self.load is None:
            return None
        return load_spec(find_load(self.load), self.reach.profile, self.options.soak_s + _DRILL_S)

    def fresh_folder(self, kind: str, place: str) -> Path:
        """A new folder for a ledger or a load; the folders of earlier sessions stay."""
        return next(it for it in self._folders(kind, place) if not it.exists())

    def newest(self, kind: str, place: str) -> Path:
        """The folder of the newest session; the first folder when there was no session."""
        there = list(takewhile(Path.exists, self._folders(kind, place)))
        return there[-1] if there else self.fresh_folder(kind, place)

    def _folders(self, kind: str, place: str) -> Iterator[Path]:
        """The folders of a place, in the order of use."""
        first = self.folder / kind / place.replace(" ", "-")
        yield first
        yield from (first.with_name(f"{first.name}.{number}") for number in count(2))


@dataclass(frozen=True)
class _Books:
    """A ledger of this run; its observations are keyed by its place."""

    books: ledger_recorder.Recorder
    place: str
    claims: BackgroundWrites | None = None

    @property
    def space(self) -> str:
        return self.books.space

    @property
    def silent_s(self) -> Mapping[str, float]:
        return self.books.silent_s

    def mark(self, name: str) -> None:
        self.books.mark(name)

    def tally(self) -> Mapping[str, JSON]:
        claims = {} if self.claims is None else {CLAIMS: self.claims.tally()}
        return {**observed(self.books.tally(), self.place), **claims}

    def latency_ms(self) -> list[dict[str, float]]:
        return quarters(HistoryReader(self.books.folder / "book"))
