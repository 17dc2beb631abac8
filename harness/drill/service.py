"""Runs drills, soaks, restores, journeys and moves within a run, under its disruption lock."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import Literal, Self

from harness.core.errors import NotProven, Unhealed
from harness.core.model import JSON
from harness.core.names import Names
from harness.drill import dump, order
from harness.drill.context import LEDGER_FOLDER, DrillContext, Options, RunJournal
from harness.drill.recovery import RecoveryResult, recover_from_journal
from harness.drill.restore import customer_of, restore_elsewhere
from harness.drill.runner import run_drill
from harness.drill.schedule import Turn, drawn
from harness.drill.shift import declared_by, move_traffic
from harness.drill.soak import EVERYTHING, rebuilt, resource_usage, soak
from harness.drill.switch import rehearse
from harness.drill.traffic import CLAIMS, quarters
from harness.facts.drills import LEDGER, DrillFacts, EndReason, Footprint, SoakFacts
from harness.facts.dump import DUMP, Dumped
from harness.facts.journeys import Walk
from harness.facts.loads import Comparison, Loads, Offered
from harness.facts.parity import Sides, Writes
from harness.facts.restore import RoundTrip
from harness.facts.schema import attempt
from harness.facts.shift import Shift
from harness.facts.switch import SWITCH, Switched
from harness.faults.disruption_lock import DisruptionLock
from harness.faults.preflight import permitted, permitted_back
from harness.journeys.walk import walk
from harness.ledger.history import HistoryReader
from harness.ledger.read_back import recovered
from harness.ledger.result import observed
from harness.load.comparison import compare
from harness.load.running import offer
from harness.load.spec import staged_spec
from harness.move.shift import Order
from harness.probes.parity_writes import compare_writes
from harness.pytest_gate.catalogue import Scenario
from harness.record import records
from harness.record.records import DrillOutcome, FaultEvent, Kind, Made, SoakEvent
from harness.settings.drills import (
    SOAK_REQUIREMENT,
    Drill,
    OwnLooks,
    Soak,
    drill_names,
    load_drill,
    load_soak,
)
from harness.settings.loads import find_load
from harness.transport import Reach


@dataclass(frozen=True, kw_only=True)
class DrillService:
    """Runs all that disturbs for one run, each under the run's disruption lock.

    ``folder`` is the run's. ``hide`` gets each new secret, so that no record contains it.
    """

    reach: Reach
    folder: Path
    options: Options
    progress: Callable[[str], None]
    hide: Callable[[str], object]

    def place(self, scenario: Scenario) -> tuple[float, ...]:
        """Its place among all that break something: drills by their order, soaks last."""
        if scenario.drill in drill_names():
            drill = self._drill(scenario.drill)
            return (0, *order.place(drill, self._machine_count(drill)))
        return (2 if SOAK_REQUIREMENT in scenario.requirements else 1,)

    def require_time(self, name: str) -> None:
        """NotProven when the drill might not end in the time that the profile gives all drills."""
        if self._budget is not None:
            drill = self._drill(name)
            self._budget.require(drill, self._machine_count(drill))

    def carry_out(self, name: str, run: RunJournal) -> DrillOutcome[DrillFacts]:
        """Run one drill; Refused before anything is changed."""
        drill = self._drill(name)
        looks = drill.looks_on(self.reach.profile.cluster().parts)
        claims = drill.claims and self.reach.profile.storage is not None
        with self._permitted(run) as lock:
            context = self._begun(name, run, lock, looks=looks, load=drill.load, claims=claims)
            value = run_drill(drill, context, self.options.machines)
        tallies: dict[str, JSON] = {}
        for each in value["runs"]:
            told = each.pop("ledger", {})
            if CLAIMS in told:
                each["claims"] = told.pop(CLAIMS)
            tallies |= told
        return DrillOutcome(value=value, tallies=tallies)

    def soak(
        self, part: str, before: Sequence[DrillOutcome[SoakFacts]], run: RunJournal
    ) -> DrillOutcome[SoakFacts]:
        """Run the rest of a soak after its earlier parts; Refused before anything is changed."""
        rules = load_soak()
        with self._permitted(run) as lock:
            context = self._begun(part, run, lock, load=rules.load)
            turns, left_s = self._turns(rules, before), self._left_s(before)
            value, tallies = soak(rules, turns, left_s, context)
        return DrillOutcome(value=value, tallies=tallies)

    def recover(
        self,
        part: str,
        events: Sequence[SoakEvent],
        left: Mapping[str, FaultEvent],
        run: RunJournal,
    ) -> DrillOutcome[SoakFacts]:
        """Recover a part of a soak whose harness was killed, from its journal and its ledger.

        ``left`` are the faults that are not proved to be gone; Unhealed when one is still active.
        The ledger is read back in the steady state, so that every surviving write is readable.
        """
        rules = load_soak()
        with self._permitted(run) as lock:
            context = self._begun(part, run, lock)
            _see_gone(recover_from_journal(self.reach, left), run)
            context.progress(
                f"{part} was interrupted: waiting for the steady state, to read back its writes"
            )
            context.wait_steady(rules.calm_within_s)
            value = rebuilt(rules, events)
            if len(value["footprints"]) == 1:
                usage = resource_usage(self.reach)
                value["footprints"].append(Footprint(at_s=value["lasted_s"], seen=usage))
            place = f"{part}/{EVERYTHING}"
            folder = context.newest(LEDGER_FOLDER, place)
            tallies = recovered(
                self.reach,
                names=rules.ledger,
                folder=folder,
                space=events[0]["space"],
                run=f"{run.name}/{place}",
                seed=self.options.seed,
                hide=self.hide,
            )
        value["latency_ms"] = quarters(HistoryReader(folder / "book"))
        return DrillOutcome(value=value, tallies=observed(tallies, place))

    def restore(self, run: RunJournal) -> RoundTrip:
        """Restore a customer's backup elsewhere; Refused before anything is changed."""
        _, name = customer_of(self.reach.profile, self.options.customer)
        made = _Record(run, "restore", name)
        with self._permitted(run):
            trip = restore_elsewhere(self.reach, name, self.progress, self.hide, made.begun)
        if not trip.left:
            made.removed()
        return trip

    def rehearse_dump(self, run: RunJournal) -> Dumped:
        """Dump a database, restore it at the target, and compare both.

        Refused before anything is changed.
        """
        made = _Record(run, "rehearsal", DUMP.name)
        with self._permitted(run):
            dumped = dump.rehearse(self.reach, self.progress, self.hide, made.begun_at)
        if not dumped.left:
            made.removed()
        return dumped

    def rehearse(self, run: RunJournal) -> Switched:
        """Rehearse the switch of the databases, and observe its writers.

        Refused before anything is changed.
        """
        began = time.time()
        made = _Record(run, "rehearsal", SWITCH.name)
        with self._permitted(run):
            switched, results = rehearse(
                self.reach,
                folder=self.folder / LEDGER_FOLDER / SWITCH.name,
                run=f"{run.name}/{SWITCH.name}",
                seed=self.options.seed,
                tell=self.progress,
                hide=self.hide,
                on_begin=made.begun,
            )
        if not switched.left:
            made.removed()
        tallies = observed(results, SWITCH.name)
        run.write(Kind.LOOK, LEDGER.name, records.Look(targets=list(tallies)))
        for who, tally in tallies.items():
            told = records.observed(who, began, time.time() - began, tally)
            run.write(Kind.OBSERVATION, LEDGER.name, told)
        return switched

    def shift(self, run: RunJournal) -> Shift:
        """Move the traffic as ordered, or rehearse it; Refused before anything is changed.

        ConfigError if the profile does not say how.
        """
        declared = declared_by(self.reach.profile)
        order = self.options.shift or Order(shares=declared.steps, rehearsal=True)
        leave = permitted_back if order.is_back else permitted
        allowed = self.options.allowed
        with leave(self.reach, run.name, allowed=allowed, progress=self.progress) as lock:
            return move_traffic(declared, order, self._begun("shift", run, lock))

    def walk(self, name: str, run: RunJournal) -> Walk:
        """Walk a journey as a new customer; Refused before anything is changed."""
        with self._permitted(run) as lock, _Customers(run, name) as customers:
            note = customers.note
            return walk(self.reach, name, self.progress, self.hide, lock.confirm, note)

    def compare_writes(self, run: RunJournal) -> Writes:
        """Send the requests that write to both platforms; Refused before one is sent."""
        with self._permitted(run), _Customers(run) as customers:
            return compare_writes(self.reach, self.progress, self.hide, customers.note_sent)

    def loads_write(self) -> bool:
        """True if a declared load changes something on the platforms that get it."""
        return any(find_load(name).changes_something for name in self.reach.profile.loads)

    def offer_loads(self, run: RunJournal) -> Loads:
        """Offer each load to the ingress; Refused before one that writes begins."""
        profile = self.reach.profile
        if not profile.loads:
            raise NotProven("the profile declares no load", remedy="declare `loads:`")
        with self._permitted(run) if self.loads_write() else nullcontext():
            return {name: attempt(partial(self._offer, name)) for name in profile.loads}

    def _offer(self, name: str) -> Offered:
        self.progress(f"the load {name}")
        return offer(staged_spec(find_load(name), self.reach.profile))

    def comparison_disturbs(self) -> bool:
        """True if the comparison of loads writes, or gets its runs from the live old platform."""
        profile = self.reach.profile
        baseline = profile.load_baseline
        live = baseline is not None and not set(profile.loads) <= set(baseline.recorded)
        return live or self.loads_write()

    def compare_loads(self, run: RunJournal) -> Comparison:
        """Offer each load to both platforms in turn; Refused before the old one gets a request."""
        profile = self.reach.profile
        with ExitStack() as stack:
            disturbs = self.comparison_disturbs()
            lock = stack.enter_context(self._permitted(run)) if disturbs else None
            confirm = lock.confirm if lock is not None else _nothing
            compared = partial(compare, profile=profile, tell=self.progress, confirm=confirm)
            return {name: attempt(partial(compared, name)) for name in profile.loads}

    def is_soaked(self, parts: Sequence[DrillOutcome[SoakFacts]]) -> bool:
        """True if the soak is complete; a part that ended early by itself is not resumed."""
        if parts:
            ended = parts[-1].value["ended"]
            if ended is None or not EndReason.of(ended).is_resumable:
                return True
        return self._left_s(parts) <= 0

    @cached_property
    def _budget(self) -> order.TimeBudget | None:
        within_s = self.options.drills_within_s
        return order.TimeBudget(within_s) if within_s is not None else None

    def _drill(self, name: str) -> Drill:
        return load_drill(name).changed(self.reach.profile.drills.get(name))

    def _machine_count(self, drill: Drill) -> int:
        return len(self.options.machines) or order.machine_count(drill, self.reach.profile)

    def _permitted(self, run: RunJournal) -> AbstractContextManager[DisruptionLock]:
        allowed = self.options.allowed
        return permitted(self.reach, run.name, allowed=allowed, progress=self.progress)

    def _begun(
        self,
        name: str,
        run: RunJournal,
        lock: DisruptionLock,
        *,
        looks: OwnLooks | None = None,
        load: str | None = None,
        claims: bool = False,
    ) -> DrillContext:
        """The context of a drill or part; ConfigError when its load has no target."""
        context = DrillContext(
            name=name,
            reach=self.reach,
            lock=lock,
            run=run,
            folder=self.folder,
            options=self.options,
            progress=self.progress,
            hide=self.hide,
            looks=looks,
            load=load,
            claims=claims,
        )
        context.begin()
        return context

    def _left_s(self, parts: Sequence[DrillOutcome[SoakFacts]]) -> float:
        return self.options.soak_s - sum(it.value["lasted_s"] for it in parts)

    def _turns(self, rules: Soak, parts: Sequence[DrillOutcome[SoakFacts]]) -> Iterator[Turn]:
        """The turns that earlier parts have not run."""
        taken = sum(len(it.value["turns"]) for it in parts)
        machines = self.options.machines or [it.name for it in self.reach.profile.machines]
        drawn_or_given = self.options.turns or drawn(rules, machines, self.options.seed)
        return islice(iter(drawn_or_given), taken, None)


def _nothing() -> None:
    """Confirm that the old platform may get a load, when it gets none."""


@dataclass(frozen=True)
class _Record:
    """Journals that a run has made something, and that this is removed."""

    run: RunJournal
    kind: Literal["restore", "rehearsal"]
    name: str

    def begun(self) -> None:
        self._write(Made(event="begun", kind=self.kind, name=self.name))

    def begun_at(self, place: str, folder: str) -> None:
        """The same for work in a folder of a machine or a pod."""
        made = Made(event="begun", kind=self.kind, name=self.name, place=place, folder=folder)
        self._write(made)

    def removed(self) -> None:
        self._write(Made(event="removed", kind=self.kind, name=self.name))

    def _write(self, made: Made) -> None:
        self.run.write(Kind.MADE, f"{self.kind} of {self.name}", made)


@dataclass
class _Customers:
    """Journals the new customer of a journey, or else of W7-PARITY, until the work has ended.

    Work that ends by itself has removed its customer, or names what is left in its own result. Work
    that breaks off leaves the record for `heal`.
    """

    run: RunJournal
    journey: str | None = None
    _newest: Made | None = field(default=None, init=False)

    def note(self, names: Names) -> None:
        """Journal the customer, by the names that are known so far."""
        assert self.journey is not None  # whose names they are
        name, known = names.customer, names.recorded
        made = Made(event="begun", kind="journey", name=name, journey=self.journey, names=known)
        self._write(made)

    def note_sent(self, sides: Sides) -> None:
        """Journal the customer of W7-PARITY, by what both platforms were sent so far."""
        name = str(sides["old"]["names"]["customer"])
        self._write(Made(event="begun", kind="parity", name=name, sides=sides))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if self._newest is not None and error is None:
            self._write({**self._newest, "event": "removed"})

    def _write(self, made: Made) -> None:
        self._newest = made
        self.run.write(Kind.MADE, f"{made['kind']} of {made['name']}", made)


def _see_gone(recovered: Iterable[RecoveryResult], run: RunJournal) -> None:
    """Journal each fault that is gone; Unhealed for a fault that is still active."""
    for it in recovered:
        if it.trouble is not None:
            raise Unhealed(f"{it.what}: {it.trouble}", remedy="./cutover heal")
        run.write(Kind.FAULT, it.fault, FaultEvent(event="healed", by="resume"))
        run.write(Kind.FAULT, it.fault, FaultEvent(event="heal-proved", by="resume"))
