"""Drills and soaks as a run observes them: never twice, and never without leave."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from harness.checks import CHECKS
from harness.core.errors import NotProven, Refused, TransportError, Unhealed
from harness.core.model import Decision, Outcome
from harness.drill.context import Options
from harness.drill.service import DrillService
from harness.facts.drills import DrillFacts, EndReason, SoakFacts
from harness.gate import RunState, judge
from harness.pytest_gate.catalogue import Scenario, Step
from harness.pytest_gate.engine import Run
from harness.record.journal import Journal, JournalReader
from harness.record.records import DrillOutcome, Kind
from harness.tests import clean_drills
from harness.tests.stage import manifest, reach, requirement, scenario

DRILL = clean_drills.DRILL
REAL = "every fault was seen by somebody else, and seen to be gone"


@dataclass
class FakeDrilling:
    """Carries nothing out, and says what a drill would have left; or raises."""

    allowed: bool = True
    raises: Exception | None = None
    ended: str | None = None
    unhealed: str = ""
    without_time: tuple[str, ...] = ()
    carried_out: list[str] = field(default_factory=list)
    options: Options = field(init=False)

    def __post_init__(self) -> None:
        self.options = Options(allowed=self.allowed, seed=7)

    def require_time(self, name: str) -> None:
        if name in self.without_time:
            raise NotProven(f"{name} was not started")

    def carry_out(self, name: str, run: Run) -> DrillOutcome[DrillFacts]:
        self.carried_out.append(name)
        run.write(Kind.FAULT, "f00d", {"event": "armed", "fault": "power-off", "undo": {}})
        run.write(Kind.FAULT, "f00d", {"event": "injected", "fault": "power-off", "target": "one"})
        if self.raises is not None:
            raise self.raises
        for event in ("active", "healed", "heal-proved"):
            run.write(Kind.FAULT, "f00d", {"event": event})
        value: Any = {**clean_drills.seen()["drills"][DRILL], **self._early()}
        return DrillOutcome(value=value, tallies={f"{name}/one/postgres": {"ok": 3}})

    def soak(
        self, part: str, before: Sequence[DrillOutcome[SoakFacts]], run: Run
    ) -> DrillOutcome[SoakFacts]:
        assert run.name
        self.carried_out.append(f"{part} after {len(before)}")
        value: Any = {**clean_drills.soak(), "ended": None, **self._early()}
        return DrillOutcome(value=value, tallies={f"{part}/everything/postgres": {"ok": 3}})

    def _early(self) -> Mapping[str, str]:
        told = {"ended": self.ended, "unhealed": self.unhealed}
        return {key: words for key, words in told.items() if words}

    def recover(
        self,
        part: str,
        events: Sequence[Mapping[str, Any]],
        left: Mapping[str, Any],
        run: Run,
    ) -> DrillOutcome[SoakFacts]:
        assert run.name
        self.carried_out.append(f"{part} recovered, {len(events)} records, {len(left)} faults")
        if self.raises is not None:
            raise self.raises
        value: Any = {**clean_drills.soak(), "ended": EndReason.HARNESS_KILLED}
        return DrillOutcome(value=value, tallies={f"{part}/everything/postgres": {"ok": 3}})

    def is_soaked(self, parts: Sequence[DrillOutcome[SoakFacts]]) -> bool:
        ended = parts[-1].value["ended"] if parts else EndReason.BY_HAND
        return ended is None or not EndReason.of(ended).is_resumable


PLAN = manifest(requirements=(requirement(targets={}),), scenarios=(scenario(),))


def session(
    folder: Path,
    drilling: FakeDrilling,
    act: Callable[[Run], object],
    *,
    of: Scenario | None = None,
) -> RunState:
    """One session of a run: begun or gone on with, and ended whatever happened in it."""
    fresh = not folder.exists()
    run_state = RunState(CHECKS) if fresh else RunState.of(JournalReader(folder), CHECKS)
    journal = Journal.create(folder, PLAN.run) if fresh else Journal.reopen(folder)
    with journal:
        run = Run(
            journal, run_state, reach=reach(), probes={}, drilling=cast("DrillService", drilling)
        )
        if fresh:
            plan = PLAN.model_copy(update={"scenarios": (of or scenario(),)})
            run.write(Kind.MANIFEST, PLAN.run, plan.model_dump(mode="json", by_alias=True))
        run.write(Kind.SESSION, PLAN.run, {})
        run.begin(of or scenario())
        try:
            act(run)
            run.end("passed", "", 0.1)
        finally:
            run.write(Kind.END, "session", {})
    return RunState.of(JournalReader(folder), CHECKS)


def drill(run: Run) -> None:
    run.drill(DRILL)
    run.require(REAL)


def test_a_drill_is_observed_with_its_faults_and_its_ledger(tmp_path: Path) -> None:
    run_state = session(tmp_path / "run", FakeDrilling(), drill)
    assert run_state.faults["f00d"].heal_proved
    assert list(run_state.observations("drills")) == [DRILL]
    assert list(run_state.observations("ledger")) == [f"{DRILL}/one/postgres"]


def test_a_resumed_run_never_injects_again_what_was_completed(tmp_path: Path) -> None:
    drilling = FakeDrilling()
    session(tmp_path / "run", drilling, lambda run: run.drill(DRILL))
    run_state = session(tmp_path / "run", drilling, drill)
    assert drilling.carried_out == [DRILL]
    (evaluation,) = run_state.scenarios[scenario().id].evaluations
    assert evaluation.verdict.outcome == "pass", evaluation.verdict.reason


def test_a_drill_that_found_no_steady_state_runs_when_the_run_goes_on(tmp_path: Path) -> None:
    class Unsteady(FakeDrilling):
        def carry_out(self, name: str, run: Run) -> DrillOutcome[DrillFacts]:
            assert run.name
            self.carried_out.append(name)
            value: Any = dict(clean_drills.seen()["drills"][DRILL])
            value["runs"] = [{"machine": "one", "before": ["an OSD is down"], "faults": []}]
            return DrillOutcome(value=value, tallies={})

    with pytest.raises(NotProven, match="an OSD is down"):
        session(tmp_path / "run", Unsteady(), drill)
    again = FakeDrilling()
    run_state = session(tmp_path / "run", again, drill)
    assert again.carried_out == [DRILL]
    (evaluation,) = run_state.scenarios[scenario().id].evaluations
    assert evaluation.verdict.outcome is Outcome.PASS


def test_two_scenarios_of_one_drill_break_it_once(tmp_path: Path) -> None:
    def twice(run: Run) -> None:
        drill(run)
        drill(run)

    drilling = FakeDrilling()
    run_state = session(tmp_path / "run", drilling, twice)
    assert drilling.carried_out == [DRILL]
    outcomes = [it.verdict.outcome for it in run_state.scenarios[scenario().id].evaluations]
    assert outcomes == [Outcome.PASS, Outcome.PASS]


def test_a_drill_without_time_breaks_nothing_and_runs_when_the_run_goes_on(tmp_path: Path) -> None:
    late = FakeDrilling(without_time=(DRILL,))
    with pytest.raises(NotProven, match="was not started"):
        session(tmp_path / "run", late, drill)
    judged = judge(RunState.of(JournalReader(tmp_path / "run"), CHECKS))
    assert (late.carried_out, judged.decision) == ([], Decision.NOT_PROVEN)
    again = FakeDrilling()
    session(tmp_path / "run", again, drill)
    assert again.carried_out == [DRILL]


def test_a_drill_that_broke_off_before_it_broke_anything_is_carried_out_again(
    tmp_path: Path,
) -> None:
    class Early(FakeDrilling):
        def carry_out(self, name: str, run: Run) -> DrillOutcome[DrillFacts]:
            run.write(Kind.FAULT, "f00d", {"event": "armed", "fault": "power-off", "undo": {}})
            raise TransportError(f"{name}: the API was silent")

    with pytest.raises(NotProven, match="the API was silent"):
        session(tmp_path / "run", Early(), drill)
    whole = FakeDrilling()
    session(tmp_path / "run", whole, drill)
    assert whole.carried_out == [DRILL]


@dataclass
class Killed(FakeDrilling):
    """Of several faults, the first is there, or was and is proved gone; then nothing is heard."""

    events: Sequence[str] = ("active", "healed", "heal-proved")

    def carry_out(self, name: str, run: Run) -> DrillOutcome[DrillFacts]:
        self.carried_out.append(name)
        run.write(Kind.FAULT, "f00d", {"event": "injected", "fault": "reboot", "target": "two"})
        for event in self.events:
            run.write(Kind.FAULT, "f00d", {"event": event})
        raise SystemExit("killed")


@pytest.mark.parametrize("events", [(), ("active", "healed", "heal-proved")])
def test_what_a_drill_broke_before_it_was_killed_is_not_broken_again(
    tmp_path: Path, events: Sequence[str]
) -> None:
    with pytest.raises(SystemExit):
        session(tmp_path / "run", Killed(events=events), drill)
    again = FakeDrilling()
    with pytest.raises(NotProven, match=r"(?s)reboot of two was injected .*start a new run"):
        session(tmp_path / "run", again, drill)
    assert again.carried_out == []


def test_another_drill_and_a_soak_are_carried_out_all_the_same(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        session(tmp_path / "run", Killed(), drill)
    others = FakeDrilling()
    session(tmp_path / "run", others, lambda run: run.drill("another"))
    session(tmp_path / "run", others, Run.soak)
    assert others.carried_out == ["another", "part 1 after 0"]


def test_without_leave_nothing_is_carried_out(tmp_path: Path) -> None:
    drilling = FakeDrilling(allowed=False)
    with pytest.raises(NotProven, match="it needs --allow-disruption"):
        session(tmp_path / "run", drilling, drill)
    assert drilling.carried_out == []


def test_a_refusal_is_the_decision_of_the_run(tmp_path: Path) -> None:
    class Refusing(FakeDrilling):
        def carry_out(self, name: str, run: Run) -> DrillOutcome[DrillFacts]:
            raise Refused("etcd: 2 − 1 = 1, 2 needed")

    with pytest.raises(Refused):
        session(tmp_path / "run", Refusing(), drill)
    judged = judge(RunState.of(JournalReader(tmp_path / "run"), CHECKS))
    assert judged.decision is Decision.REFUSED


def test_a_fault_that_stays_is_the_decision_of_the_run(tmp_path: Path) -> None:
    with pytest.raises(Unhealed):
        session(tmp_path / "run", FakeDrilling(raises=Unhealed("it is still there")), drill)
    judged = judge(RunState.of(JournalReader(tmp_path / "run"), CHECKS))
    assert judged.decision is Decision.UNHEALED


DRILL_CHECKS = (REAL, "what was not hit went on", "the drill lost no acknowledged write")
SOAK_CHECKS = ("the soak lasted as long as it should", "nothing leaked")
ENDED_EARLY: Mapping[str, tuple[Mapping[str, Any], type[BaseException]]] = {
    "stopped by hand": ({"ended": EndReason.BY_HAND}, KeyboardInterrupt),
    "a fault stayed": ({"unhealed": "two is still off"}, Unhealed),
}


@pytest.mark.parametrize("how", ENDED_EARLY)
@pytest.mark.parametrize(
    ("act", "checks"), [(drill, DRILL_CHECKS), (Run.soak, SOAK_CHECKS)], ids=["drill", "soak"]
)
def test_every_check_of_the_scenario_judges_at_once_what_ended_early(
    tmp_path: Path, act: Callable[[Run], object], checks: Sequence[str], how: str
) -> None:
    """Also those that follow one that is red; a step that is no check is passed over."""
    ending, raised = ENDED_EARLY[how]
    texts = ("everything is up", *checks)
    steps = tuple(Step(keyword="Then", text=text) for text in texts)
    whole = scenario().model_copy(update={"steps": steps})
    with pytest.raises(raised):
        session(tmp_path / "run", FakeDrilling(**ending), act, of=whole)
    judged = RunState.of(JournalReader(tmp_path / "run"), CHECKS).scenarios[whole.id].evaluations
    assert [it.check for it in judged] == list(checks)
    assert not {it.verdict.outcome for it in judged} <= {Outcome.PASS}


def test_checks_are_not_asked_by_a_drill_that_came_to_its_end(tmp_path: Path) -> None:
    steps = tuple(Step(keyword="Then", text=text) for text in DRILL_CHECKS)
    whole = scenario().model_copy(update={"steps": steps})
    state = session(tmp_path / "run", FakeDrilling(), lambda run: run.drill(DRILL), of=whole)
    assert state.scenarios[whole.id].evaluations == []


def test_a_soak_that_was_stopped_by_hand_is_observed_and_then_gone_on_with(
    tmp_path: Path,
) -> None:
    stopped = FakeDrilling(ended=EndReason.BY_HAND)
    with pytest.raises(KeyboardInterrupt):
        session(tmp_path / "run", stopped, lambda run: run.soak())
    going_on = FakeDrilling()
    run_state = session(tmp_path / "run", going_on, lambda run: run.soak())
    assert going_on.carried_out == ["part 2 after 1"]
    assert list(run_state.observations("soak")) == ["part 1", "part 2"]
    assert len(run_state.observations("ledger")) == 2


def test_a_soak_that_is_over_is_not_soaked_again(tmp_path: Path) -> None:
    first: Any = FakeDrilling()
    session(tmp_path / "run", first, lambda run: run.soak())
    again = FakeDrilling()
    session(tmp_path / "run", again, lambda run: run.soak())
    assert (first.carried_out, again.carried_out) == (["part 1 after 0"], [])


def killed(run: Run) -> None:
    """What a soak leaves of which nothing is heard again."""
    for event in ("begun", "turn begun"):
        run.write(Kind.SOAKED, "part 1", {"event": event})
    raise SystemExit("killed")


def test_a_part_of_a_soak_that_was_killed_counts_and_the_next_part_follows(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        session(tmp_path / "run", FakeDrilling(), killed)
    going_on = FakeDrilling()
    run_state = session(tmp_path / "run", going_on, lambda run: run.soak())
    assert going_on.carried_out == ["part 1 recovered, 2 records, 0 faults", "part 2 after 1"]
    assert list(run_state.observations("soak")) == ["part 1", "part 2"]
    assert len(run_state.observations("ledger")) == 2


def test_what_was_recovered_once_is_known_even_if_the_next_part_is_killed(tmp_path: Path) -> None:
    class Dying(FakeDrilling):
        def soak(
            self, part: str, before: Sequence[DrillOutcome[SoakFacts]], run: Run
        ) -> DrillOutcome[SoakFacts]:
            assert before
            run.write(Kind.SOAKED, part, {"event": "begun"})
            raise SystemExit("killed")

    for drilling, act in ((FakeDrilling(), killed), (Dying(), Run.soak)):
        with pytest.raises(SystemExit):
            session(tmp_path / "run", drilling, act)
    going_on = FakeDrilling()
    session(tmp_path / "run", going_on, Run.soak)
    assert going_on.carried_out == ["part 2 recovered, 1 records, 0 faults", "part 3 after 2"]


def test_a_part_that_cannot_be_recovered_is_not_proven_and_tried_again(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        session(tmp_path / "run", FakeDrilling(), killed)
    lost = FakeDrilling(raises=TransportError("the API was silent"))
    run_state = session(tmp_path / "run", lost, Run.soak)
    assert run_state.observations("soak")["part 1"].error == "the API was silent"
    again = FakeDrilling()
    session(tmp_path / "run", again, Run.soak)
    assert again.carried_out[0].startswith("part 1 recovered")
