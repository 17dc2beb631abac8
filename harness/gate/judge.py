"""The verdict, from manifest and run state: a pure function that fails closed.

A requirement is PASS only when every scenario that proves it ran to its end in one session, step by
step as the feature file says, required a check, and every check passed on something that was seen.
Anything less is NOT PROVEN; only a check that judged the system can say FAIL.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from harness.core.model import Decision, Exit, Numbers, Outcome, merge
from harness.gate.evaluation import Evaluation
from harness.gate.manifest import Manifest
from harness.gate.run_state import RunState
from harness.gate.seen import ScenarioSeen
from harness.pytest_gate.catalogue import Scenario
from harness.record.records import (
    ClusterDocument,
    FaultDocument,
    RequirementDocument,
    VerdictDocument,
)
from harness.settings import Requirement, Waiver


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """One known fact about a requirement: an evaluation, or why there is none."""

    outcome: Outcome
    reason: str
    scenario: str | None = None
    evaluation: Evaluation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A requirement and everything known about it.

    ``waivers`` are those for the checks that block it, sorted by their end. If the waivers in force
    cover all of it, only these are listed.
    """

    requirement: Requirement
    outcome: Outcome
    reason: str
    grounds: tuple[Ground, ...] = ()
    measured: Numbers
    target: Numbers
    waivers: tuple[Waiver, ...] = ()

    @property
    def evaluations(self) -> tuple[Evaluation, ...]:
        return tuple(ground.evaluation for ground in self.grounds if ground.evaluation is not None)

    @property
    def evidence(self) -> tuple[str, ...]:
        """Journal lines and evidence files that were judged."""
        lines = sorted({line for evaluation in self.evaluations for line in evaluation.lines})
        files = sorted({file for evaluation in self.evaluations for file in evaluation.files})
        return (*(f"journal.jsonl#{span}" for span in _spans(lines)), *files)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A run's conclusion; ``document`` is its verdict.json."""

    run_state: RunState
    decision: Decision
    judged: tuple[Judged, ...]
    warnings: tuple[str, ...]

    @property
    def exit(self) -> Exit:
        return self.decision.exit

    def count(self, outcome: Outcome) -> int:
        return sum(judged.outcome is outcome for judged in self.judged)

    def document(self) -> VerdictDocument:
        """The verdict as JSON, schema 1."""
        manifest, run_state = self.run_state.manifest, self.run_state
        return VerdictDocument(
            schema=1,
            run=manifest.run,
            cluster=ClusterDocument(name=manifest.cluster.name, uid=run_state.uid),
            week=manifest.week,
            commit=manifest.commit,
            started=run_state.first.at,
            ended=run_state.last.at,
            decision=self.decision.value,
            requirements=[self._requirement(it) for it in self.judged],
            faults=[
                FaultDocument(
                    id=fault.id,
                    fault=fault.fault,
                    target=fault.target,
                    injected=fault.injected,
                    active_proved=fault.active_proved,
                    healed=fault.healed,
                    heal_proved=fault.heal_proved,
                )
                for fault in run_state.faults.values()
            ],
        )

    def _requirement(self, judged: Judged) -> RequirementDocument:
        requirement = judged.requirement
        return RequirementDocument(
            id=requirement.id,
            week=requirement.week,
            title=requirement.title,
            severity=requirement.severity.value,
            verdict=judged.outcome.value,
            reason=judged.reason,
            measured=dict(judged.measured),
            target=dict(judged.target),
            scenarios=[it.id for it in self.run_state.manifest.proving(requirement.id)],
            evidence=list(judged.evidence),
            remedy=requirement.remedy,
        )


def judge(run_state: RunState) -> Judgement:
    """The judgement of a run."""
    judged = tuple(
        _with_waiver(_judge(it, run_state), run_state) for it in run_state.manifest.requirements
    )
    return Judgement(
        run_state=run_state,
        decision=decide(run_state, [requirement.outcome for requirement in judged]),
        judged=judged,
        warnings=tuple(_warnings(run_state, judged)),
    )


def decide(run_state: RunState, outcomes: Sequence[Outcome]) -> Decision:
    """One decision: an unhealed fault first, then a refusal, then the worst outcome.

    A refusal says that nothing was touched. If another drill of the run broke something, or a
    requirement failed, the refused drill is not proven, and no more is said of it. A gate without
    an applicable requirement proves nothing. A gate that did not end proves nothing either: the
    missing part of a killed run is unknown.
    """
    if any(not (fault.healed and fault.heal_proved) for fault in run_state.faults.values()):
        return Decision.UNHEALED
    worst = merge(outcomes)
    is_refused = run_state.refused is not None
    if is_refused and not run_state.faults and worst is not Outcome.FAIL:
        return Decision.REFUSED
    if (is_refused or not run_state.ended) and worst is not Outcome.FAIL:
        return Decision.NOT_PROVEN
    return {
        Outcome.FAIL: Decision.NO_GO,
        Outcome.NOT_PROVEN: Decision.NOT_PROVEN,
        Outcome.WAIVED: Decision.GO_WITH_WAIVERS,
        Outcome.PASS: Decision.GO,
        Outcome.NOT_APPLICABLE: Decision.NOT_PROVEN,
    }[worst]


def _judge(requirement: Requirement, run_state: RunState) -> Judged:
    grounds = tuple(_grounds(requirement, run_state))
    outcome = merge(ground.outcome for ground in grounds)
    worst = sorted(grounds, key=lambda ground: ground.outcome is not outcome)
    measured: dict[str, float] = {}
    target = dict(requirement.numbers())
    for ground in reversed(worst):
        if ground.evaluation is not None:
            measured |= ground.evaluation.verdict.measured
            target |= ground.evaluation.verdict.target
    reasons = list(dict.fromkeys(f.reason for f in worst if f.outcome is outcome))
    unmeasured = [key for key in requirement.targets if key not in measured]
    if outcome is Outcome.PASS and unmeasured:
        outcome = Outcome.NOT_PROVEN
        reasons = [f"every check passed, but nothing measured {', '.join(unmeasured)}"]
    return Judged(
        requirement=requirement,
        outcome=outcome,
        reason="; ".join(reasons),
        grounds=grounds,
        measured=measured,
        target=target,
    )


def _grounds(requirement: Requirement, run_state: RunState) -> Iterator[Ground]:
    manifest = run_state.manifest
    absent = manifest.why_absent(requirement.needs)
    if absent is not None:
        outcome = _of_absent(manifest, requirement.needs)
        yield Ground(outcome=outcome, reason=absent)
        return
    scenarios = manifest.proving(requirement.id)
    if not scenarios:
        yield _not_proven("no scenario proves it yet")
    for part in requirement.missing:
        yield _not_proven(f"no scenario proves yet: {part}")
    count = Counter(scenario.id for scenario in scenarios)
    for scenario in dict.fromkeys(scenarios):
        if count[scenario.id] > 1:
            yield _not_proven("two scenarios have the same name", scenario.id)
        yield from _of_scenario(requirement.id, scenario, run_state)


def _of_absent(manifest: Manifest, needs: tuple[str, ...]) -> Outcome:
    """What an absent part means: silence about it is no reason why it does not apply."""
    return Outcome.NOT_PROVEN if manifest.is_undeclared(needs) else Outcome.NOT_APPLICABLE


def _of_scenario(requirement: str, scenario: Scenario, run_state: RunState) -> Iterator[Ground]:
    absent = run_state.manifest.why_absent(scenario.needs)
    if absent is not None:
        outcome = _of_absent(run_state.manifest, scenario.needs)
        yield Ground(outcome=outcome, reason=absent, scenario=scenario.id)
        return
    seen = run_state.scenarios.get(scenario.id)
    if seen is None:
        yield _not_proven(_why_not_run(run_state) if scenario.steps else _NO_STEPS, scenario.id)
        return
    evaluations = [
        evaluation for evaluation in seen.evaluations if evaluation.requirement == requirement
    ]
    for evaluation in evaluations:
        yield Ground(
            outcome=evaluation.verdict.outcome,
            reason=evaluation.verdict.reason,
            scenario=scenario.id,
            evaluation=evaluation,
        )
    if (
        merge(evaluation.verdict.outcome for evaluation in evaluations) in _NO_OBJECTION
        or not evaluations
    ):
        for doubt in _doubts(scenario, seen, was_evaluated=bool(evaluations)):
            yield _not_proven(doubt, scenario.id)


def _doubts(scenario: Scenario, seen: ScenarioSeen, *, was_evaluated: bool) -> Iterator[str]:
    """Why a scenario without a failed check still proves nothing."""
    if seen.starts > 1:
        yield f"it ran {seen.starts} times in one session: a retry hides a failure"
    if seen.state is None:
        yield "it was interrupted before its end"
    elif seen.state != "passed":
        yield f"it {_STATES.get(seen.state, seen.state)}: {seen.reason}"
    elif not scenario.steps:
        yield _NO_STEPS
    elif [(s.text, "passed") for s in scenario.steps] != [(s.text, s.state) for s in seen.steps]:
        yield f"{len(seen.steps)} of its {len(scenario.steps)} steps are recorded as passed"
    elif not was_evaluated:
        yield "it ended without requiring a check"


_NO_STEPS = "it has no steps"
_BLOCKING = (Outcome.FAIL, Outcome.NOT_PROVEN, Outcome.WAIVED)
_NO_OBJECTION = (Outcome.PASS, Outcome.NOT_APPLICABLE)
_STATES = {"failed": "stopped", "skipped": "was skipped", "xfailed": "was expected to fail"}


def _why_not_run(run_state: RunState) -> str:
    if run_state.refused is not None:
        return f"it was not run, because the run was refused: {run_state.refused}"
    if run_state.problems:
        return f"it was not run: {run_state.problems[0]}"
    if run_state.interrupted is not None:
        return f"it was not run, because the run was interrupted: {run_state.interrupted}"
    return "it was not run: not collected, not bound to a test, or not selected"


def _with_waiver(judged: Judged, run_state: RunState) -> Judged:
    """Waivers in force at the run's end cover a requirement that blocks, and nothing else.

    A waiver for a clause covers that check alone; all other checks still block. If a waiver does
    not cover, the reason begins with why.
    """
    waivers = sorted(
        (it for it in run_state.manifest.waivers if _is_needed(it, judged, run_state)),
        key=lambda it: it.expires,
    )
    if not waivers:
        return judged
    moment = run_state.last.moment
    in_force = tuple(it for it in waivers if it.covers(moment))
    if all(
        any(it.clause in (None, by) for it in in_force) for by in _blocked_by(judged, run_state)
    ):
        state = "failed" if judged.outcome is Outcome.FAIL else "not proven"
        each = " and ".join(
            f"{_its_clause(it)}until {it.expires:%d %B %Y} by {it.approver}: {it.reason}"
            for it in in_force
        )
        reason = f"{state}, and waived {each} ({judged.reason})"
        return replace(judged, outcome=Outcome.WAIVED, reason=reason, waivers=in_force)
    states = ", and ".join(_why_uncovered(it, moment) for it in waivers)
    return replace(judged, reason=f"{states}: {judged.reason}", waivers=tuple(waivers))


def _why_uncovered(waiver: Waiver, moment: datetime) -> str:
    """Why a waiver does not cover everything that blocks."""
    if waiver.covers(moment):
        return f"its waiver covers only “{waiver.clause}”"
    if moment < waiver.created:
        return f"its waiver {_its_clause(waiver)}begins on {waiver.created:%d %B %Y}"
    since = f"{waiver.expires:%d %B %Y}, {ago(moment - waiver.expires)}"
    return f"its waiver {_its_clause(waiver)}expired on {since}"


def _its_clause(waiver: Waiver) -> str:
    return f"for “{waiver.clause}” " if waiver.clause is not None else ""


def ago(time: timedelta) -> str:
    """An age in whole days: ``3 days ago``."""
    if time.days < 1:
        return "today"
    return "1 day ago" if time.days == 1 else f"{time.days} days ago"


def _is_needed(waiver: Waiver, judged: Judged, run_state: RunState) -> bool:
    """True if something blocks that the waiver names, in force or not."""
    if waiver.requirement != judged.requirement.id or judged.outcome not in _BLOCKING:
        return False
    return waiver.clause is None or waiver.clause in _blocked_by(judged, run_state)


def _blocked_by(judged: Judged, run_state: RunState) -> frozenset[str | None]:
    """The names of the checks that block; None stands for anything that no check judged.

    Checks that a scenario did not reach do not count.
    """
    found: set[str | None] = set()
    wanted = {scenario.id: len(scenario.steps) for scenario in run_state.manifest.scenarios}
    for ground in judged.grounds:
        if ground.outcome not in _BLOCKING:
            continue
        found.add(ground.evaluation.check if ground.evaluation is not None else None)
        seen = run_state.scenarios.get(ground.scenario or "")
        if seen is not None and len(seen.steps) < wanted[seen.began.subject]:
            found.add(None)
    return frozenset(found or {None})


def _warnings(run_state: RunState, judged: Sequence[Judged]) -> Iterator[str]:
    if run_state.torn_bytes:
        yield f"the journal's last line was torn and dropped ({run_state.torn_bytes} bytes)"
    if not run_state.ended:
        yield "the run did not come to its end"
    if run_state.manifest.commit == "unknown":
        yield "the commit is unknown: this is no git checkout"
    if run_state.manifest.uncommitted:
        yield "the working tree held changes that are in no commit"
    yield from run_state.problems
    yield from run_state.notices
    yield from _healed_later(run_state)
    for requirement in judged:
        for key, target in requirement.requirement.targets.items():
            number = requirement.measured.get(key)
            if target.warns and number is not None and not target.met_by(number):
                yield (
                    f"{requirement.requirement.id}: {target.words} is {number:g}, "
                    f"better would be {target.sign} {target.number:g}"
                )
    by_id = {it.requirement.id: it for it in judged}
    for waiver in run_state.manifest.waivers:
        asked = by_id.get(waiver.requirement)
        if asked is not None and not _is_needed(waiver, asked, run_state):
            yield f"the waiver for {waiver.what} is not needed: remove it"


def _healed_later(run_state: RunState) -> Iterator[str]:
    for name, events in run_state.healed_later.items():
        fault = run_state.faults.get(name)
        if fault is not None and "heal-proved" in events:
            yield (
                f"{fault.fault} of {fault.target} was taken back by `heal` at "
                f"{events['heal-proved']}, after this run had ended: its verdict stays"
            )


def _not_proven(reason: str, scenario: str | None = None) -> Ground:
    return Ground(outcome=Outcome.NOT_PROVEN, reason=reason, scenario=scenario)


def _spans(lines: Sequence[int]) -> Iterator[str]:
    """L3-L5, L9 for 3, 4, 5, 9."""
    start = previous = None
    for line in (*lines, None):
        if start is not None and previous is not None and line != previous + 1:
            yield f"L{start}" if start == previous else f"L{start}-L{previous}"
            start = None
        start = line if start is None else start
        previous = line
