"""The state of a run: its journal, folded record by record into the state of each scenario.

The engine feeds the records that it writes; a report feeds the records that it reads. The same code
judges the same records both times. ``harness.record.records`` lists the kinds of records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import ClassVar

from harness.checks import Check
from harness.core.errors import Garbled, NotProven
from harness.core.model import Case, Observation
from harness.facts import schema
from harness.facts.drills import DRILLS, LEDGER, SOAK, DrillFacts, SoakFacts
from harness.gate.evaluation import Evaluation, evaluate
from harness.gate.manifest import Manifest
from harness.gate.seen import Collected, FaultSeen, LookSeen, LookState, ScenarioSeen, StepSeen
from harness.record import records
from harness.record.journal import Record, hand_on
from harness.record.records import DrillOutcome, F, FaultEvent, Finished, Kind, SoakEvent, read

_HEAL_PROVED = "heal-proved"


class RunState:
    """The content of a journal so far."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = checks
        self._manifest: Manifest | None = None
        self._looks: dict[str, LookState] = {}
        self._first: Record | None = None
        self._last: Record | None = None
        self.sessions = 0
        self.looked: list[LookSeen] = []
        self.scenarios: dict[str, ScenarioSeen] = {}
        self.faults: dict[str, FaultSeen] = {}
        # Drills and soak parts that were observed, by name.
        self.drills: dict[str, Finished[DrillOutcome[DrillFacts]]] = {}
        self.soaks: dict[str, Finished[DrillOutcome[SoakFacts]]] = {}
        # Soak parts that did not end, and the journalled events of each.
        self.broken_off: dict[str, Sequence[SoakEvent]] = {}
        self._soaked: dict[str, list[SoakEvent]] = {}
        self.undo: dict[str, FaultEvent] = {}  # fault → what was armed, and for what
        # Fault events that `heal` wrote after the run's end, with their times.
        self.healed_later: dict[str, dict[str, str]] = {}
        # What was made and is not known to be removed, by its record's subject.
        self.made: dict[str, records.Made] = {}
        self.redacted = records.Redacted(places={}, tokens={})
        self.collected: list[Collected] = []
        self.collections: list[str] = []
        self.uid: str | None = None
        self.signer: str | None = None
        self.refused: str | None = None
        self.interrupted: str | None = None
        self.problems: list[str] = []
        self.notices: list[str] = []
        self.torn_bytes = 0
        self.ended = False

    @classmethod
    def of(cls, records: Iterable[Record], checks: Mapping[str, Check]) -> RunState:
        """The state that a whole journal leads to; NotProven for a record that cannot be read."""
        run_state = cls(checks)
        hand_on(records, run_state.feed)
        return run_state

    def is_check(self, text: str) -> bool:
        """True if a check has this name."""
        return text in self._checks

    @property
    def manifest(self) -> Manifest:
        if self._manifest is None:
            raise NotProven("the journal does not begin with a manifest")
        return self._manifest

    @property
    def first(self) -> Record:
        if self._first is None:
            raise NotProven("the journal is empty")
        return self._first

    @property
    def last(self) -> Record:
        """The run's end, or its last record without one; records of `heal` do not count."""
        if self._last is None:
            raise NotProven("the journal is empty")
        return self._last

    @property
    def left(self) -> Mapping[str, FaultEvent]:
        """The armed undo of each fault that is not known to be gone."""
        there = {
            name
            for name, it in self.faults.items()
            if not it.heal_proved and _HEAL_PROVED not in self.healed_later.get(name, {})
        }
        return {name: data for name, data in self.undo.items() if name in there}

    def feed(self, record: Record) -> None:
        """Add the next record; kinds that carry no judgement are skipped."""
        if self._first is None:
            self._first = record
        if self.ended and record.kind != Kind.SESSION:
            self._feed_later(record)
            return
        by_heal = isinstance(record.data, dict) and record.data.get("by") == "heal"
        if record.kind != Kind.TORN and not by_heal:
            self._last = record
        handler = self._HANDLERS.get(record.kind)
        if handler is not None:
            handler(self, record)

    def _feed_later(self, record: Record) -> None:
        """Records that `heal` writes after the end do not change the run's result."""
        if record.kind == Kind.FAULT:
            events = self.healed_later.setdefault(record.subject, {})
            events[read(FaultEvent, record.data)["event"]] = record.at
        elif record.kind == Kind.MADE:
            self._on_made(record)

    def observations(self, probe: str) -> Mapping[str, Observation]:
        """A probe's newest look in this session, by target."""
        look = self._looks.get(probe)
        return {target: seen for target, (seen, _) in look.seen.items()} if look else {}

    def has_looked(self, probe: str) -> bool:
        """True if this session has used the probe."""
        return probe in self._looks

    def _on_manifest(self, record: Record) -> None:
        self._manifest = Manifest.model_validate(record.data)

    def _on_session(self, record: Record) -> None:
        """Observations of an earlier session do not count in this one.

        A drill that it completed is over: its fault is not injected again.
        """
        self._remember()
        self.broken_off = {
            part: events for part, events in self._soaked.items() if part not in self.soaks
        }
        self.signer = read(records.Session, record.data).get("signer")
        self.sessions += 1
        self._looks.clear()
        for name, events in self.healed_later.items():
            for event, at in events.items():
                self._see_fault(name, event, at)
        self.healed_later.clear()
        self.refused = self.interrupted = None
        self.problems.clear()
        self.ended = False

    def _on_cluster(self, record: Record) -> None:
        # A resumed run may not reach the cluster: it stays the one that answered before.
        self.uid = read(records.Cluster, record.data)["uid"] or self.uid

    def _on_refused(self, record: Record) -> None:
        self.refused = read(records.Reason, record.data)["reason"]

    def _on_scenario(self, record: Record) -> None:
        before = self.scenarios.get(record.subject)
        again = before is not None and before.session == self.sessions
        self.scenarios[record.subject] = ScenarioSeen(
            began=record,
            session=self.sessions,
            starts=before.starts + 1 if before is not None and again else 1,
        )

    def _on_ask(self, record: Record) -> None:
        self.scenarios[read(records.Ask, record.data)["scenario"]].asked[record.subject] = None

    def _on_look(self, record: Record) -> None:
        if record.subject in (DRILLS.name, SOAK.name):
            self._remember()  # keep the previous look's results: this look replaces it
        self._looks[record.subject] = LookState(tuple(read(records.Look, record.data)["targets"]))
        now = record.moment.timestamp()
        self.looked.append(LookSeen(record.subject, began=now, ended=now))

    def _on_observation(self, record: Record) -> None:
        probe = record.subject
        seen = Observation(probe, **read(records.Observed, record.data))
        self._looks[probe].seen[seen.target] = (seen, record)
        newest = self.looked[-1]
        if newest.probe == probe:
            is_first = len(self._looks[probe].seen) == 1
            newest.began = seen.at if is_first else min(newest.began, seen.at)
            until = seen.at + seen.took_s
            newest.ended = until if is_first else max(newest.ended, until)

    def _on_require(self, record: Record) -> None:
        asked = read(records.Require, record.data)
        scenario = self.scenarios[asked["scenario"]]
        requirement = self.manifest.requirement(asked["requirement"])
        looks = {probe: self._looks[probe] for probe in scenario.asked if probe in self._looks}
        case = Case(
            cluster=self.manifest.cluster,
            targets=requirement.numbers(),
            observations=[seen for look in looks.values() for seen, _ in look.seen.values()],
        )
        unseen = [
            f"{probe} on {target}"
            for probe, look in looks.items()
            for target in look.targets
            if target not in look.seen
        ]
        verdict = evaluate(record.subject, self._checks, case, requirement.targets, unseen)
        evidence = [kept for look in looks.values() for _, kept in look.seen.values()]
        looked = [it.at + it.took_s for it in case.observations]
        scenario.evaluations.append(
            Evaluation(
                check=record.subject,
                requirement=requirement.id,
                verdict=verdict,
                looked=max(looked, default=None),
                lines=tuple(sorted(kept.seq for kept in evidence)),
                files=tuple(sorted({kept.file for kept in evidence if kept.file})),
            )
        )

    def _on_made(self, record: Record) -> None:
        made = read(records.Made, record.data)
        if made["event"] == "begun":
            self.made[record.subject] = made
        else:
            self.made.pop(record.subject, None)

    def _on_step(self, record: Record) -> None:
        self.scenarios[record.subject].steps.append(
            StepSeen(**read(records.StepRecord, record.data))
        )

    def _on_scenario_end(self, record: Record) -> None:
        scenario = self.scenarios[record.subject]
        end = read(records.ScenarioEnd, record.data)
        scenario.state, scenario.reason, scenario.took_s = (
            end["state"],
            end["reason"],
            end["took_s"],
        )

    def _on_problem(self, record: Record) -> None:
        self.problems.append(read(records.Text, record.data)["text"])

    def _on_notice(self, record: Record) -> None:
        self.notices.append(f"{record.subject}: {read(records.Text, record.data)['text']}")

    def observed(self, fact: schema.Fact[F]) -> Iterator[tuple[str, Finished[DrillOutcome[F]]]]:
        """The drills, or soak parts, of the newest look, each with its ledger.

        Facts that this version cannot read are left out; checks report them.
        """
        tallies = self.observations(LEDGER.name)
        for name, seen in self.observations(fact.name).items():
            if seen.error is not None:
                continue
            own = {who: it.value for who, it in tallies.items() if who.startswith(f"{name}/")}
            try:
                outcome = DrillOutcome(value=schema.read(fact.kind, seen.value), tallies=own)
            except Garbled:
                continue
            yield name, Finished(outcome=outcome, at=seen.at, took_s=seen.took_s)

    def drilled(self, name: str) -> Finished[DrillOutcome[DrillFacts]] | None:
        """A drill that this run completed, in this session or an earlier one."""
        self._remember()
        done = self.drills.get(name)
        # One that broke nothing, for want of a steady state or of time, may still run.
        broke = done is not None and any(run["faults"] for run in done.outcome.value["runs"])
        return done if broke else None

    def _remember(self) -> None:
        """Keep the drills and the soak parts that were observed: the next look replaces them."""
        self.soaks |= self.observed(SOAK)
        self.drills |= self.observed(DRILLS)

    def _on_soaked(self, record: Record) -> None:
        events = self._soaked.setdefault(record.subject, [])
        events.append(read(SoakEvent, record.data))

    def _on_fault(self, record: Record) -> None:
        data = read(FaultEvent, record.data)
        if data["event"] == "armed":
            self.undo[record.subject] = data
        elif data["event"] == "injected":
            self.faults[record.subject] = FaultSeen(
                id=record.subject,
                fault=data["fault"],
                target=data["target"],
                injected=record.at,
                drill=self._drill_under_way(),
            )
        else:
            self._see_fault(record.subject, data["event"], record.at)

    def _see_fault(self, name: str, event: str, at: str) -> None:
        fault = self.faults.get(name)
        if fault is None:
            return  # arming failed: it was undone, and never injected
        if event == "active":
            fault.active_proved = True
        elif event == "healed":
            fault.healed = at
        elif event == _HEAL_PROVED:
            fault.heal_proved = True

    def _drill_under_way(self) -> str | None:
        look = self._looks.get(DRILLS.name)
        return next((it for it in look.targets if it not in look.seen), None) if look else None

    def _on_collect(self, record: Record) -> None:
        self.collections.append(record.subject)

    def _on_collected(self, record: Record) -> None:
        self.collected.append(
            Collected(target=record.subject, **read(records.Collected, record.data))
        )

    def _on_redacted(self, record: Record) -> None:
        self.redacted = read(records.Redacted, record.data)

    def _on_interrupted(self, record: Record) -> None:
        self.interrupted = read(records.Reason, record.data)["reason"]

    def _on_torn(self, record: Record) -> None:
        self.torn_bytes += read(records.Torn, record.data)["bytes"]

    def _on_end(self, _record: Record) -> None:
        self.ended = True

    _HANDLERS: ClassVar[Mapping[str, Callable[[RunState, Record], None]]] = {
        Kind.MANIFEST: _on_manifest,
        Kind.SESSION: _on_session,
        Kind.CLUSTER: _on_cluster,
        Kind.REFUSED: _on_refused,
        Kind.SCENARIO: _on_scenario,
        Kind.ASK: _on_ask,
        Kind.LOOK: _on_look,
        Kind.OBSERVATION: _on_observation,
        Kind.REQUIRE: _on_require,
        Kind.STEP: _on_step,
        Kind.SCENARIO_END: _on_scenario_end,
        Kind.PROBLEM: _on_problem,
        Kind.NOTICE: _on_notice,
        Kind.FAULT: _on_fault,
        Kind.MADE: _on_made,
        Kind.SOAKED: _on_soaked,
        Kind.COLLECT: _on_collect,
        Kind.COLLECTED: _on_collected,
        Kind.REDACTED: _on_redacted,
        Kind.INTERRUPTED: _on_interrupted,
        Kind.TORN: _on_torn,
        Kind.END: _on_end,
    }
