"""The engine: runs probes, journals what they see, and runs checks on the journal's records.

``Run`` is the interface for steps: ``run.observe("probe")`` and ``run.require("check")``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

from harness.core.errors import HarnessError, NotProven, Refused, Unhealed, in_words
from harness.core.interrupts import BY_HAND
from harness.core.model import JSON, Observation, Outcome
from harness.core.notices import collecting
from harness.core.parallel import CallResult
from harness.drill.service import DrillService
from harness.facts.drills import DRILLS, LEDGER, SOAK
from harness.facts.dump import DUMP, Dumped
from harness.facts.journeys import JOURNEYS, Walk
from harness.facts.loads import COMPARISON, LOADS
from harness.facts.parity import WRITES
from harness.facts.restore import RESTORE, RoundTrip
from harness.facts.schema import Fact, dump
from harness.facts.shift import SHIFT
from harness.facts.switch import SWITCH, Switched
from harness.gate import RunState
from harness.gate.evaluation import explained
from harness.probes import Probe, owned
from harness.probes.probe import LookScheduler
from harness.pytest_gate.catalogue import Scenario
from harness.record import records
from harness.record.journal import Journal, Record
from harness.record.records import Data, DrillOutcome, F, Finished, Kind, observed
from harness.transport import Reach
from harness.transport.objects import must

T = TypeVar("T")


class Run:
    """One run: its journal, its state so far, and the current scenario.

    Each record is written to the disk first and added to the run state second. A verdict during the
    run and a later report therefore use the same records.
    """

    def __init__(
        self,
        journal: Journal,
        run_state: RunState,
        *,
        reach: Reach,
        probes: Mapping[str, Probe],
        drilling: DrillService | None = None,
    ) -> None:
        self.run_state = run_state
        self.reach = reach
        self._journal = journal
        self._looks = LookScheduler(probes, reach)
        self._drilling = drilling
        self._scenario: Scenario | None = None

    @property
    def name(self) -> str:
        """The run's name."""
        return self.run_state.manifest.run

    def write(self, kind: Kind, subject: str, data: Data) -> Record:
        """Journal a record and add it to the run state."""
        record = self._journal.append(kind, subject, data)
        self.run_state.feed(record)
        return record

    def identify(self, declared: str | None) -> None:
        """Compare the cluster's UID with the declared one, and with that of the run so far.

        The UID of the namespace kube-system identifies a cluster. If the cluster does not answer,
        its UID stays unknown, and each probe reports what it cannot see. Refused if UIDs differ.
        """
        cluster, before = self.run_state.manifest.cluster.name, self.run_state.uid
        try:
            found = must(self.reach.kube.get("/api/v1/namespaces/kube-system"), "metadata", "uid")
        except HarnessError as error:
            self.write(Kind.CLUSTER, cluster, records.Cluster(uid=None, error=str(error)))
            return
        if before in (None, found):
            self.write(Kind.CLUSTER, cluster, records.Cluster(uid=found, error=None))
        so_far = (before, "this run so far", "start a new run: two clusters have no common verdict")
        profile = (declared, "profile", "pick the right profile, or correct its uid")
        for expected, whose, remedy in (so_far, profile):
            if expected not in (None, found):
                reason = f"expected the cluster with UID {expected} ({whose}), seen {found}"
                self.write(Kind.REFUSED, "cluster", records.Reason(reason=reason))
                raise Refused(reason, remedy=remedy)
        owned.sweep_beside(self.reach.kube, keep=self.name)

    def turn(self, scenario: Scenario) -> tuple[float, ...]:
        """A scenario's place in the order of a run: lower numbers run first.

        The order: scenarios whose looks run beside those begun with the run, scenarios that need
        what these saw, scenarios whose looks must run alone, scenarios that break something.
        """
        if any(step.keyword == "When" for step in scenario.steps):
            return (3, *(self._drilling.place(scenario) if self._drilling else ()))
        return (self._looks.turn(step.text for step in scenario.steps),)

    def look_ahead(self, scenarios: Iterable[Scenario]) -> None:
        """Begin the looks of these scenarios early, as far as a look may begin before its step.

        Each result is journalled when a step asks for it.
        """
        self._looks.begin(step.text for scenario in scenarios for step in scenario.steps)

    def begin(self, scenario: Scenario) -> None:
        """A scenario starts; later records belong to it."""
        self._scenario = scenario
        self.write(Kind.SCENARIO, scenario.id, records.Nothing())

    def end(self, state: str, reason: str, took_s: float) -> None:
        """The scenario ended: ``state`` is passed, failed, skipped or xfailed."""
        scenario = self._current()
        end = records.ScenarioEnd(state=state, reason=reason, took_s=round(took_s, 3))
        self.write(Kind.SCENARIO_END, scenario.id, end)
        self._scenario = None

    def step(self, keyword: str, text: str, took_s: float, error: str | None = None) -> None:
        """A step of the scenario ended; without an error it passed."""
        state = "passed" if error is None else "failed"
        step = records.StepRecord(
            keyword=keyword, text=text, state=state, took_s=round(took_s, 3), error=error
        )
        self.write(Kind.STEP, self._current().id, step)

    def observe(self, probe: str) -> Mapping[str, Observation]:
        """What a probe sees on all its targets, looked at side by side, by target.

        A run looks once: later calls return the same look. If a target cannot be looked at, its
        observation has an error. NotProven for an unknown probe.
        """
        self._looks.require(probe)
        self.write(Kind.ASK, probe, records.Ask(scenario=self._current().id))
        if not self.run_state.has_looked(probe):
            look = self._looks.look(probe)
            self.write(Kind.LOOK, probe, records.Look(targets=list(look.targets)))
            for answer in look.answers():
                self._record(probe, answer)
        return self.run_state.observations(probe)

    def drill(self, name: str) -> None:
        """Run a drill and observe its result; one that this run completed does not run again.

        Each ending leaves an observation of what is known by then. After Ctrl-C, or when a fault
        cannot be undone, the checks judge it at once, and KeyboardInterrupt or Unhealed is raised.

        Refused before anything is touched. Unhealed when a fault cannot be undone. NotProven when
        disruption is not allowed, when the time for all drills is up, or when the drill has broken
        something in this run and did not complete: a run breaks nothing twice.
        """
        self._ask_for(DRILLS.name, LEDGER.name)
        before = self.run_state.drilled(name)
        if before is None:
            drilling = self._allowed(f"{name} injects faults")
            self._refuse_twice(name)
            drilling.require_time(name)
            before = self._carried_out(DRILLS.name, name, lambda: drilling.carry_out(name, self))
            if before is not None:
                self._observe_results(DRILLS, {name: before})
                self._end_early(by_hand=before.outcome.by_hand, unhealed=before.outcome.unhealed)
            return
        self._observe_results(DRILLS, {name: before})

    def soak(self) -> None:
        """Soak for the requested time, less the time that earlier sessions of this run soaked.

        If the harness is killed during a part, the part counts up to then: its journalled events
        and its ledger.

        Errors as of ``drill``.
        """
        self._ask_for(SOAK.name, LEDGER.name)
        parts = dict(self.run_state.soaks)
        drilling = self._allowed("soak injects faults")
        for name, events in self.run_state.broken_off.items():
            if name in parts:
                continue
            recover = partial(drilling.recover, name, events, self.run_state.left, self)
            done = self._carried_out(SOAK.name, name, recover)
            if done is None:
                return
            parts[name] = done
            self._observe_results(SOAK, parts)  # at once: the targets it wrote to are gone now
        if not drilling.is_soaked([done.outcome for done in parts.values()]):
            name = f"part {len(parts) + 1}"
            before = [done.outcome for done in parts.values()]
            done = self._carried_out(SOAK.name, name, lambda: drilling.soak(name, before, self))
            if done is None:
                return
            parts[name] = done
        self._observe_results(SOAK, parts)
        last = list(parts.values())[-1].outcome
        self._end_early(by_hand=last.by_hand, unhealed=last.unhealed)

    def restore(self) -> None:
        """Restore a customer's backup elsewhere, and observe how that went; see ``_once``."""
        why = "the restore of a backup injects faults"
        self._once(RESTORE, why, lambda it: it.restore(self), _is_stopped)

    def walk(self, journey: str) -> None:
        """Walk a journey as a new customer, and observe how that went; see ``_once``."""
        if journey not in JOURNEYS:
            raise NotProven(f"there is no journey named “{journey}”")
        why = f"the journey {journey} makes a customer"
        self._once(JOURNEYS[journey], why, lambda it: it.walk(journey, self), _is_stopped)

    def shift(self) -> None:
        """Move the traffic, or rehearse it, and observe how that went; see ``_once``."""
        self._once(SHIFT, "the move of traffic", lambda it: it.shift(self), lambda it: it.by_hand)

    def compare_writes(self) -> None:
        """Send the requests that write to both platforms, and observe both; see ``_once``."""
        why = "the old platform is live, and requests would write there"
        self._once(WRITES, why, lambda it: it.compare_writes(self), lambda it: it.by_hand)

    def offer_loads(self) -> None:
        """Offer each declared load to the ingress, and observe the answers; see ``_once``."""
        writes = self._drilling is None or self._drilling.loads_write()
        why = "a declared load changes something" if writes else ""
        self._once(LOADS, why, lambda it: it.offer_loads(self))

    def compare_loads(self) -> None:
        """Offer each load to both platforms in turn, and observe the runs; see ``_once``."""
        disturbs = self._drilling is None or self._drilling.comparison_disturbs()
        why = "the comparison of loads disturbs a live platform" if disturbs else ""
        self._once(COMPARISON, why, lambda it: it.compare_loads(self))

    def rehearse(self, move: str) -> None:
        """Rehearse a move of the databases, and observe it; see ``_once``."""
        why = f"the {move} makes a database on live servers"
        if move == DUMP.name:
            return self._once(DUMP, why, lambda it: it.rehearse_dump(self), _is_stopped)
        self._ask_for(LEDGER.name)
        return self._once(SWITCH, why, lambda it: it.rehearse(self), _is_stopped)

    def _once(
        self,
        fact: Fact[T],
        why: str,
        work: Callable[[DrillService], T],
        by_hand: Callable[[T], bool] = lambda _: False,
    ) -> None:
        """Do this work once a session, and observe its result; errors as of ``drill``.

        ``why`` it needs --allow-disruption; empty if it does not. If it was stopped by hand, the
        scenario's checks judge what is known, and KeyboardInterrupt is raised.
        """
        self._ask_for(fact.name)
        if self.run_state.has_looked(fact.name):
            return
        drilling, place = self._allowed(why), self.run_state.manifest.cluster.name
        done = self._carried_out(fact.name, place, lambda: work(drilling))
        if done is None:
            return
        data = observed(place, done.at, done.took_s, dump(done.outcome))
        self.write(Kind.OBSERVATION, fact.name, data)
        self._end_early(by_hand=by_hand(done.outcome))

    def _ask_for(self, *probes: str) -> None:
        for probe in probes:
            self.write(Kind.ASK, probe, records.Ask(scenario=self._current().id))

    def _allowed(self, what: str) -> DrillService:
        if self._drilling is None or (what and not self._drilling.options.allowed):
            raise NotProven(
                f"{what}: it needs --allow-disruption",
                remedy="./cutover plan shows what it would do; then add --allow-disruption",
            )
        return self._drilling

    def _refuse_twice(self, drill: str) -> None:
        for fault in self.run_state.faults.values():
            if fault.drill == drill:
                raise NotProven(
                    f"{drill} broke off before: {fault.fault} of {fault.target} was injected at "
                    f"{fault.injected}, and a run breaks nothing twice",
                    remedy="./cutover heal if anything is left of it; then start a new run",
                )

    def _carried_out(self, probe: str, name: str, work: Callable[[], T]) -> Finished[T] | None:
        """The result of the work; None when it broke off, which is observed.

        The work starts after all looks have ended.
        """
        self._looks.settle()
        self.write(Kind.LOOK, probe, records.Look(targets=[name]))
        at, began = time.time(), time.monotonic()
        try:
            with collecting() as notices:
                outcome = work()
        except Refused as no:
            self.write(Kind.REFUSED, name, records.Reason(reason=str(no)))
            raise
        except Exception as error:  # a defect of the harness too
            took_s = time.monotonic() - began
            broke_off = observed(name, at, took_s, error=in_words(error))
            self.write(Kind.OBSERVATION, probe, broke_off)
            if isinstance(error, Unhealed):
                raise
            return None
        finally:
            self._notice(probe, notices)
        return Finished(outcome=outcome, at=at, took_s=time.monotonic() - began)

    def _end_early(self, *, by_hand: bool, unhealed: str | None = None) -> None:
        """After a manual stop or an unhealed fault: judge what is known, then end the scenario."""
        if by_hand or unhealed:
            self._judge_now()
            raise Unhealed(unhealed) if unhealed else KeyboardInterrupt

    def _judge_now(self) -> None:
        """Run the scenario's checks on what is known; their verdicts are in the journal."""
        for step in self._current().steps:
            if self.run_state.is_check(step.text):
                with suppress(AssertionError, NotProven):
                    self.require(step.text)

    def _observe_results(
        self, fact: Fact[F], done: Mapping[str, Finished[DrillOutcome[F]]]
    ) -> None:
        """Observe the results and those of their ledgers."""
        self.write(Kind.LOOK, fact.name, records.Look(targets=list(done)))
        for name, it in done.items():
            data = observed(name, it.at, it.took_s, it.outcome.value)
            self.write(Kind.OBSERVATION, fact.name, data)
        tallies = [(who, it) for it in done.values() for who in it.outcome.tallies]
        self.write(Kind.LOOK, LEDGER.name, records.Look(targets=[who for who, _ in tallies]))
        for who, it in tallies:
            data = observed(who, it.at, it.took_s, it.outcome.tallies[who])
            self.write(Kind.OBSERVATION, LEDGER.name, data)

    def require(self, check: str) -> None:
        """Judge the scenario's observations so far, for each of its requirements.

        AssertionError when the system misbehaved, NotProven when that cannot be told. Both say what
        was expected, what was seen, where, and what to do.
        """
        scenario = self._current()
        manifest = self.run_state.manifest
        proving = {it.id for it in manifest.requirements} & set(scenario.requirements)
        if not proving:
            raise NotProven(f"“{check}” was asked, and no requirement of this run depends on it")
        for requirement in sorted(proving):
            data = records.Require(scenario=scenario.id, requirement=requirement)
            self.write(Kind.REQUIRE, check, data)
        manifest = self.run_state.manifest
        evaluations = self.run_state.scenarios[scenario.id].evaluations[-len(proving) :]
        for outcome, error in ((Outcome.FAIL, AssertionError), (Outcome.NOT_PROVEN, NotProven)):
            red = [it for it in evaluations if it.verdict.outcome is outcome]
            texts = [explained(it, manifest.requirement(it.requirement)) for it in red]
            if texts:
                raise error("\n".join(texts))

    def collecting(self, why: str) -> None:
        """Record that evidence collection starts, and why."""
        self.write(Kind.COLLECT, why, records.Nothing())

    def keep(self, target: str, what: str, text: str, error: str | None) -> str | None:
        """Store a piece of evidence, or why it is missing; evidence is never judged.

        Returns the name of its file in the run, if there is one.
        """
        file = self._journal.keep(text) if text else None
        data = records.Collected(what=what, file=file, bytes=len(text.encode()), error=error)
        self.write(Kind.COLLECTED, target, data)
        return file

    def _current(self) -> Scenario:
        if self._scenario is None:
            raise NotProven("there is no scenario under way")
        return self._scenario

    def _record(self, probe: str, answer: CallResult[JSON]) -> None:
        seen = partial(observed, answer.key, answer.at, answer.took_s)
        try:
            self.write(Kind.OBSERVATION, probe, seen(answer.value, answer.error))
        except (TypeError, ValueError) as error:
            text = f"the probe's answer is not JSON: {error}"
            self.write(Kind.OBSERVATION, probe, seen(error=text))
        self._notice(probe, answer.notices)

    def _notice(self, probe: str, texts: Sequence[str]) -> None:
        for text in texts:
            self.write(Kind.NOTICE, probe, records.Text(text=text))


def _is_stopped(ended: RoundTrip | Walk | Switched | Dumped) -> bool:
    """True if Ctrl-C ended it."""
    return ended.stopped is not None and ended.stopped.says == BY_HAND
