"""Drills and soaks within a run: who may, with which seed, where, and what is left to judge."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import count, islice, takewhile
from pathlib import Path
from typing import Any, Protocol

from harness.drill.background_writes import CLAIMS, Churn, churning
from harness.drill.ending import BY_HAND
from harness.drill.latency import quarters
from harness.drill.loads import Load, Marked, without_load
from harness.drill.recovery import Mended, mend_journal
from harness.drill.resource_usage import footprint
from harness.drill.runner import Keeping, Loading, Stage, carry_out
from harness.drill.schedule import Turn, drawn
from harness.drill.soak import EVERYTHING, RESUMABLE, rebuilt, soak
from harness.drill.steady import all_numbers, meanwhile, until_steady
from harness.errors import Unhealed
from harness.faults.disruption_lock import DisruptionLock
from harness.faults.preflight import affordable, permitted, survivable
from harness.ledger import keeping as ledger_keeping
from harness.ledger import recovering as ledger_recovering
from harness.ledger.book import Reader
from harness.ledger.tally import observed
from harness.load.aim import aimed, why_none
from harness.load.running import offering
from harness.model import JSON
from harness.settings import load_gates
from harness.settings.drills import OwnLooks, load_drill, load_steady
from harness.settings.load import find_load
from harness.settings.soaks import Soak, load_soak
from harness.transport import Reach

# So long a drill takes at most; what its ledger left after that was left by one that was killed.
_DRILL_S = 7200.0
DRILLS, SOAK, LEDGER = "drills", "soak", "ledger"
_LOAD = "load"  # its folder


class Recorder(Protocol):
    """The run: where everything is written down."""

    @property
    def name(self) -> str:
        """The run's name: it holds the Lease."""
        ...

    def write(self, kind: str, subject: str, data: Any) -> object: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What whoever called has decided.

    ``allowed``: may anything be broken; ``seed``: what every choice is drawn from; ``machines``:
    where, if not where the drill says; ``soak_s``: for how long to soak; ``turns``: the turns of
    an earlier soak, to be taken again instead of drawn ones.
    """

    allowed: bool
    seed: int
    machines: tuple[str, ...] = ()
    soak_s: float = 0.0
    turns: tuple[Turn, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillOutcome:
    """What a drill or a part of a soak left: its own value, and the tallies of its ledger."""

    value: JSON
    tallies: Mapping[str, JSON]

    @property
    def by_hand(self) -> bool:
        """Was it stopped by hand?"""
        return isinstance(self.value, Mapping) and self.value.get("ended") == BY_HAND

    @property
    def unhealed(self) -> str:
        """Why a fault could not be taken back; empty when none stayed."""
        return str(self.value.get("unhealed", "")) if isinstance(self.value, Mapping) else ""

    @property
    def touched_nothing(self) -> bool:
        """Was a drill stopped by hand before it broke anything?"""
        runs: Any = self.value.get("runs", ()) if isinstance(self.value, Mapping) else ()
        return self.by_hand and not any(run["faults"] for run in runs)


@dataclass(frozen=True, kw_only=True)
class Drilling:
    """Carries drills out for one run; ``folder`` is the run's.

    ``hide`` is told each secret that is made on the way, so that nothing of it is written down.
    """

    reach: Reach
    folder: Path
    options: Options
    tell: Callable[[str], None]
    hide: Callable[[str], object]

    def carry_out(self, name: str, run: Recorder) -> DrillOutcome:
        """One drill, under the Lease of the run; Refused with nothing touched."""
        drill = load_drill(name).changed(self.reach.profile.drills.get(name))
        own = drill.looks_on(self.reach.profile.cluster().parts)
        claims = drill.claims and self.reach.profile.storage is not None
        with self._permitted(run) as lock:
            stage = self._stage(name, drill.load, run, lock, own, claims=claims)
            value: Any = carry_out(drill, stage, self.options.machines)
        tallies: dict[str, JSON] = {}
        for each in value["runs"]:
            told = each.pop("ledger", {})
            if CLAIMS in told:
                each[CLAIMS] = told.pop(CLAIMS)
            tallies |= told
        return DrillOutcome(value=value, tallies=tallies)

    def soak(self, part: str, before: Sequence[DrillOutcome], run: Recorder) -> DrillOutcome:
        """What is left of a soak, after earlier parts of it; Refused with nothing touched."""
        rules = load_soak()
        with self._permitted(run) as lock:
            stage = self._stage(part, rules.load, run, lock)
            turns, left_s = self._turns(rules, before), self._left_s(before)
            value = soak(rules, turns, left_s, stage, part=part)
        value |= _limits(rules)
        tallies = value.pop("ledger")
        return DrillOutcome(value=value, tallies=tallies)

    def recover(
        self,
        part: str,
        events: Sequence[Mapping[str, Any]],
        left: Mapping[str, Mapping[str, Any]],
        run: Recorder,
    ) -> DrillOutcome:
        """A part of a soak whose harness was killed: from what was journalled, and its book.

        ``left`` are the faults that are not known to be gone; Unhealed when one is still there.
        What was written is read back in the steady state, so that what can be there is.
        """
        rules = load_soak()
        with self._permitted(run) as lock:
            stage = self._stage(part, None, run, lock)
            _see_gone(mend_journal(self.reach, left), run)
            self.tell(f"{part} broke off: waiting for the steady state, to read back what it wrote")
            stage.calm(rules.calm_within_s)
            value = rebuilt(events)
            if len(value["footprints"]) == 1:
                seen = {"at_s": value["lasted_s"], "seen": footprint(self.reach)}
                value["footprints"].append(seen)
            place = f"{part}/{EVERYTHING}"
            folder = self._newest(LEDGER, place)
            tallies = ledger_recovering.recovered(
                self.reach,
                names=rules.ledger,
                folder=folder,
                space=events[0]["space"],
                run=f"{run.name}/{place}",
                seed=self.options.seed,
                hide=self.hide,
            )
        value |= {**_limits(rules), "latency_ms": quarters(Reader(folder / "book"))}
        return DrillOutcome(value=value, tallies=observed(tallies, place))

    def _permitted(self, run: Recorder) -> AbstractContextManager[DisruptionLock]:
        return permitted(self.reach, run.name, allowed=self.options.allowed, tell=self.tell)

    def is_soaked(self, parts: Sequence[DrillOutcome]) -> bool:
        """Is nothing left to soak? What ended early by itself is not taken up again."""
        if parts and _value(parts[-1])["ended"] not in RESUMABLE:
            return True
        return self._left_s(parts) <= 0

    def _left_s(self, parts: Sequence[DrillOutcome]) -> float:
        return self.options.soak_s - sum(float(_value(it)["lasted_s"]) for it in parts)

    def _turns(self, rules: Soak, parts: Sequence[DrillOutcome]) -> Iterator[Turn]:
        """The turns that earlier parts have not taken."""
        taken = sum(len(_value(it)["turns"]) for it in parts)
        machines = self.options.machines or [it.name for it in self.reach.profile.machines]
        drawn_or_given = self.options.turns or drawn(rules, machines, self.options.seed)
        return islice(iter(drawn_or_given), taken, None)

    def _fresh(self, kind: str, place: str) -> Path:
        """Where to keep a ledger or a load of a place: what an earlier session, which broke off,
        has left of its own stays as it is."""
        return next(it for it in self._folders(kind, place) if not it.exists())

    def _newest(self, kind: str, place: str) -> Path:
        """Where whoever was last at a place kept his; the first folder when nobody was."""
        there = list(takewhile(Path.exists, self._folders(kind, place)))
        return there[-1] if there else self._fresh(kind, place)

    def _folders(self, kind: str, place: str) -> Iterator[Path]:
        """Those of a place, in the order in which they are taken."""
        first = self.folder / kind / place.replace(" ", "-")
        yield first
        yield from (first.with_name(f"{first.name}.{number}") for number in count(2))

    def _stage(
        self,
        what: str,
        load: str | None,
        run: Recorder,
        lock: DisruptionLock,
        own: OwnLooks | None = None,
        *,
        claims: bool = False,
    ) -> Stage:
        """All that ``what`` is carried out with; ConfigError when its load has nobody to ask."""
        steady, numbers = load_steady(), all_numbers(load_gates())
        loading = self._loading(what, load)
        run.write("seed", what, {"seed": self.options.seed})
        self.tell(f"every choice is drawn from --seed {self.options.seed}")
        return Stage(
            reach=self.reach,
            survivable=partial(survivable, self.reach),
            calm=partial(until_steady, self.reach, [steady, *([own] if own else [])], numbers),
            afford=partial(affordable, self.reach, lock),
            warning=lock.on_lost,
            limits=steady.limits,
            write=run.write,
            keeping=self._keeping(what, run, claims=claims),
            loading=loading,
            tell=self.tell,
            seed=self.options.seed,
            meanwhile=partial(meanwhile, self.reach, own.meanwhile, numbers) if own else None,
        )

    @property
    def _lasts_s(self) -> float:
        """How long a ledger or a load is there at most."""
        return self.options.soak_s + _DRILL_S

    def _keeping(self, what: str, run: Recorder, *, claims: bool) -> Keeping:
        @contextmanager
        def keeping(names: Sequence[str], *, machine: str, writes_per_s: float) -> Iterator[_Books]:
            place = f"{what}/{machine}"
            with (
                ledger_keeping.keeping(
                    self.reach,
                    names=names,
                    folder=self._fresh(LEDGER, place),
                    run=f"{run.name}/{place}",
                    seed=self.options.seed,
                    hide=self.hide,
                    rate_per_s=writes_per_s,
                ) as books,
                churning(self.reach, self.options.seed) if claims else nullcontext() as churn,
            ):
                yield _Books(books, place, churn)

        return keeping

    def _loading(self, what: str, load: str | None) -> Loading:
        """As ``_stage`` needs it, and errors as of that."""
        order = aimed(find_load(load), self.reach.profile, self._lasts_s) if load else None
        if load and order is None:
            self.tell(f"without the load {load}: {why_none(self.reach.profile)}")
        if order is None:
            return without_load

        @contextmanager
        def loading(machine: str) -> Iterator[Load]:
            self.tell(f"offering the load: {order}")
            with offering(order, self._fresh(_LOAD, f"{what}/{machine}")) as running:
                yield Marked(running)

        return loading


def _see_gone(mended: Iterable[Mended], run: Recorder) -> None:
    """Journal of each fault that it is gone; Unhealed for one that is not."""
    for it in mended:
        if it.trouble is not None:
            raise Unhealed(f"{it.what}: {it.trouble}", remedy="./cutover heal")
        for event in ("healed", "heal-proved"):
            run.write("fault", it.fault, {"event": event, "by": "resume"})


def _limits(rules: Soak) -> Mapping[str, float]:
    """What a check of a soak judges it by: it comes with what was observed."""
    return {
        "grows_percent": rules.grows_percent,
        "refused_percent": rules.refused_percent,
        "slower_ratio": rules.slower_ratio,
    }


def _value(part: DrillOutcome) -> Mapping[str, Any]:
    assert isinstance(part.value, Mapping)
    return part.value


@dataclass(frozen=True)
class _Books:
    """A ledger of this run: what it observed is told apart by its place."""

    books: ledger_keeping.Books
    place: str
    churn: Churn | None = None

    @property
    def space(self) -> str:
        return self.books.space

    @property
    def silent_s(self) -> Mapping[str, float]:
        return self.books.silent_s

    def mark(self, name: str) -> None:
        self.books.mark(name)

    def tally(self) -> Mapping[str, JSON]:
        claims = {} if self.churn is None else {CLAIMS: self.churn.tally()}
        return {**observed(self.books.tally(), self.place), **claims}

    def latency_ms(self) -> Sequence[Mapping[str, float]]:
        return quarters(Reader(self.books.folder / "book"))
