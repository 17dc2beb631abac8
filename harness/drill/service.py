"""Runs drills, soaks and restores within a run, under its options and its disruption lock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from harness.core.errors import Unhealed
from harness.core.model import JSON
from harness.drill.context import LEDGER_FOLDER, DrillContext, Options, Recorder
from harness.drill.recovery import RecoveryResult, recover_from_journal
from harness.drill.restore import restore_elsewhere
from harness.drill.runner import carry_out
from harness.drill.schedule import Turn, drawn
from harness.drill.soak import EVERYTHING, rebuilt, resource_usage, soak
from harness.drill.traffic import CLAIMS, quarters
from harness.facts.drills import DrillFacts, EndReason, Footprint, SoakFacts
from harness.facts.restore import RoundTrip
from harness.faults.disruption_lock import DisruptionLock
from harness.faults.preflight import permitted
from harness.ledger.history import HistoryReader
from harness.ledger.read_back import recovered
from harness.ledger.result import observed
from harness.record.records import DrillOutcome, FaultEvent, Kind, SoakEvent
from harness.settings.drills import OwnLooks, Soak, load_drill, load_soak
from harness.transport import Reach


@dataclass(frozen=True, kw_only=True)
class DrillService:
    """Runs drills, soaks and restores for one run, each under the run's disruption lock.

    ``folder`` is the run's. ``hide`` gets each new secret, so that no record contains it.
    """

    reach: Reach
    folder: Path
    options: Options
    progress: Callable[[str], None]
    hide: Callable[[str], object]

    def carry_out(self, name: str, run: Recorder) -> DrillOutcome[DrillFacts]:
        """Run one drill; Refused before anything is changed."""
        drill = load_drill(name).changed(self.reach.profile.drills.get(name))
        looks = drill.looks_on(self.reach.profile.cluster().parts)
        claims = drill.claims and self.reach.profile.storage is not None
        with self._permitted(run) as lock:
            context = self._begun(name, run, lock, looks=looks, load=drill.load, claims=claims)
            value = carry_out(drill, context, self.options.machines)
        tallies: dict[str, JSON] = {}
        for each in value["runs"]:
            told = each.pop("ledger", {})
            if CLAIMS in told:
                each["claims"] = told.pop(CLAIMS)
            tallies |= told
        return DrillOutcome(value=value, tallies=tallies)

    def soak(
        self, part: str, before: Sequence[DrillOutcome[SoakFacts]], run: Recorder
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
        run: Recorder,
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

    def restore(self, run: Recorder) -> RoundTrip:
        """Restore a customer's backup elsewhere; Refused before anything is changed."""
        with self._permitted(run):
            customer = self.options.customer
            return restore_elsewhere(self.reach, customer, self.progress, self.hide)

    def is_soaked(self, parts: Sequence[DrillOutcome[SoakFacts]]) -> bool:
        """True if the soak is complete; a part that ended early by itself is not resumed."""
        if parts:
            ended = parts[-1].value["ended"]
            if ended is None or not EndReason.of(ended).is_resumable:
                return True
        return self._left_s(parts) <= 0

    def _permitted(self, run: Recorder) -> AbstractContextManager[DisruptionLock]:
        allowed = self.options.allowed
        return permitted(self.reach, run.name, allowed=allowed, progress=self.progress)

    def _begun(
        self,
        name: str,
        run: Recorder,
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


def _see_gone(recovered: Iterable[RecoveryResult], run: Recorder) -> None:
    """Journal each fault that is gone; Unhealed for a fault that is still active."""
    for it in recovered:
        if it.trouble is not None:
            raise Unhealed(f"{it.what}: {it.trouble}", remedy="./cutover heal")
        run.write(Kind.FAULT, it.fault, FaultEvent(event="healed", by="resume"))
        run.write(Kind.FAULT, it.fault, FaultEvent(event="heal-proved", by="resume"))
