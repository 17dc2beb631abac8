"""What a journal proves: every way to be not proven, waived, or not applicable."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import NotProven
from harness.core.model import Decision, Outcome, merge
from harness.gate import FaultSeen, Judged, Judgement, Manifest, RunState, decide
from harness.record.journal import JournalReader
from harness.record.records import Kind
from harness.tests.stage import (
    CHECKS,
    FakeProbe,
    manifest,
    play,
    require,
    requirement,
    running,
    says,
    scenario,
)

OUTCOMES = st.sampled_from(Outcome)


@given(st.lists(OUTCOMES, min_size=1), st.lists(OUTCOMES, min_size=1))
def test_merging_in_any_grouping_and_order_gives_the_same(
    some: list[Outcome], others: list[Outcome]
) -> None:
    together = merge([*some, *others])
    assert together == merge([merge(some), merge(others)])
    assert together == merge([*others, *some])
    assert merge([together, together]) == together


@given(st.lists(OUTCOMES))
def test_a_merge_passes_only_when_something_passed_and_nothing_objects(
    outcomes: list[Outcome],
) -> None:
    passed = merge(outcomes) is Outcome.PASS
    assert passed == (
        Outcome.PASS in outcomes and set(outcomes) <= {Outcome.PASS, Outcome.NOT_APPLICABLE}
    )


def test_merging_nothing_is_not_proven() -> None:
    assert merge([]) is Outcome.NOT_PROVEN


@pytest.mark.parametrize(
    ("outcomes", "decision", "status"),
    [
        ((), Decision.NOT_PROVEN, 3),
        ((Outcome.PASS,), Decision.GO, 0),
        ((Outcome.PASS, Outcome.NOT_APPLICABLE), Decision.GO, 0),
        ((Outcome.NOT_APPLICABLE,), Decision.NOT_PROVEN, 3),
        ((Outcome.PASS, Outcome.WAIVED), Decision.GO_WITH_WAIVERS, 0),
        ((Outcome.WAIVED, Outcome.NOT_PROVEN), Decision.NOT_PROVEN, 3),
        ((Outcome.PASS, Outcome.NOT_PROVEN), Decision.NOT_PROVEN, 3),
        ((Outcome.NOT_PROVEN, Outcome.FAIL), Decision.NO_GO, 1),
    ],
)
def test_the_decision_follows_the_worst_requirement(
    outcomes: tuple[Outcome, ...], decision: Decision, status: int
) -> None:
    run_state = RunState(CHECKS)
    run_state.ended = True
    assert decide(run_state, outcomes) is decision
    assert Judgement(run_state=run_state, decision=decision, judged=(), warnings=()).exit == status


@given(st.lists(OUTCOMES), st.booleans(), st.sampled_from([None, False, True]))
def test_an_unhealed_fault_outranks_a_refusal_and_that_is_said_only_of_a_run_that_touched_nothing(
    outcomes: list[Outcome], refused: bool, healed: bool | None
) -> None:
    """``healed``: the fault of the run; None: it has broken nothing."""
    run_state = RunState(CHECKS)
    run_state.ended = True
    run_state.refused = "one manager" if refused else None
    if healed is not None:
        run_state.faults["1"] = FaultSeen(id="1", fault="f", target="t", injected="", healed="z")
        run_state.faults["1"].heal_proved = healed
    decision, worst = decide(run_state, outcomes), merge(outcomes)
    if healed is False:
        assert decision is Decision.UNHEALED
    elif worst is Outcome.FAIL:
        assert decision is Decision.NO_GO
    elif refused:
        assert decision is (Decision.REFUSED if healed is None else Decision.NOT_PROVEN)
    else:
        assert decision not in (Decision.REFUSED, Decision.UNHEALED)
        assert (decision is Decision.GO) == (worst is Outcome.PASS)


@pytest.mark.parametrize("healed", [None, True])
def test_a_fault_without_an_undo_seen_is_unhealed(healed: bool | None) -> None:
    run_state = RunState(CHECKS)
    run_state.ended = True
    fault = FaultSeen(id="1", fault="f", target="t", injected="", healed=None)
    fault.heal_proved = bool(healed)
    run_state.faults["1"] = fault
    assert decide(run_state, (Outcome.PASS,)) is Decision.UNHEALED


def _judged(folder: Path, plan: Manifest | None = None, *checks: str) -> Judged:
    """The only requirement of a run that asked these checks, one after another."""
    with running(folder, plan) as recorded:

        def act(run: Any) -> None:
            run.observe("answers")
            for check in checks:
                run.require(check)

        play(recorded.run, act)
    return recorded.judged().judged[0]


def test_a_scenario_that_saw_something_and_whose_checks_agree_proves_its_requirement(
    tmp_path: Path,
) -> None:
    judged = _judged(tmp_path / "run", None, "answers are fast enough")
    assert judged.outcome is Outcome.PASS
    assert judged.measured == {"answer_ms": 4}
    assert judged.target == {"answer_ms": 10}
    assert judged.evidence == ("journal.jsonl#L7-L8",)


def test_one_failing_check_fails_the_requirement(tmp_path: Path) -> None:
    judged = _judged(tmp_path / "run", None, "all is well", "nothing is well")
    assert judged.outcome is Outcome.FAIL
    assert judged.reason == "it is fail"
    assert judged.measured == {"answer_ms": 99}


def test_a_check_that_nobody_wrote_proves_nothing(tmp_path: Path) -> None:
    judged = _judged(tmp_path / "run", None, "all is perfect")
    assert judged.outcome is Outcome.NOT_PROVEN
    assert "no check named “all is perfect”" in judged.reason


@pytest.mark.parametrize(
    ("check", "why"),
    [
        (lambda _: 1 / 0, "broke: ZeroDivisionError"),
        (lambda _: True, "which is no verdict"),
        (lambda _: None, "which is no verdict"),
        (says(Outcome.WAIVED), "which is no verdict"),
        (says(Outcome.PASS, answer_ms=11), "its own answer_ms 11 is not ≤ 10"),
        (says(Outcome.PASS), "nothing measured answer_ms"),
    ],
)
def test_a_check_that_cannot_be_believed_proves_nothing(
    tmp_path: Path, check: Any, why: str
) -> None:
    with running(tmp_path / "run", checks={"odd": check}) as recorded:
        play(recorded.run, require("odd"))
    judged = recorded.judged().judged[0]
    assert judged.outcome is Outcome.NOT_PROVEN
    assert why in judged.reason


def test_a_pass_beside_a_target_that_could_not_be_looked_at_is_not_proven(tmp_path: Path) -> None:
    probe = FakeProbe({"one": 3, "two": NotProven("it hides")})
    with running(tmp_path / "run", probes=[probe]) as recorded:
        play(recorded.run, require("all is well"))
    judged = recorded.judged().judged[0]
    assert judged.outcome is Outcome.NOT_PROVEN
    assert judged.reason == "answers could not look at two: it hides"


def test_a_failure_is_still_a_failure_beside_one(tmp_path: Path) -> None:
    probe = FakeProbe({"one": 30, "two": NotProven("it hides")})
    with running(tmp_path / "run", probes=[probe]) as recorded:
        play(recorded.run, require("answers are fast enough"))
    assert recorded.judged().judged[0].outcome is Outcome.FAIL


def test_a_look_that_was_begun_and_never_came_back_proves_nothing(tmp_path: Path) -> None:
    with running(tmp_path / "run") as recorded:

        def act(run: Any) -> None:
            run.observe("answers")
            run.write(Kind.LOOK, "answers", {"targets": ["one", "two"]})
            run.write(
                Kind.OBSERVATION, "answers", {"target": "one", "at": 0, "took_s": 0, "value": 1}
            )
            run.require("all is well")

        play(recorded.run, act)
    assert "answers on two was begun" in recorded.judged().judged[0].reason


def test_a_check_asked_before_anything_was_observed_proves_nothing(tmp_path: Path) -> None:
    with running(tmp_path / "run") as recorded:
        play(recorded.run, lambda run: run.require("all is well"))
    assert "nothing was observed" in recorded.judged().judged[0].reason


def test_what_another_scenario_observed_does_not_count(tmp_path: Path) -> None:
    other = scenario("Another")
    with running(tmp_path / "run", manifest(scenarios=(other, scenario()))) as recorded:
        play(recorded.run, require("all is well"), which=other)
        play(recorded.run, lambda run: run.require("all is well"))
    assert "nothing was observed" in recorded.judged().judged[0].reason


def test_a_scenario_that_requires_no_check_proves_nothing(tmp_path: Path) -> None:
    judged = _judged(tmp_path / "run")
    assert (judged.outcome, judged.reason) == (
        Outcome.NOT_PROVEN,
        "it ended without requiring a check",
    )


def test_a_requirement_without_a_scenario_is_not_proven(tmp_path: Path) -> None:
    with running(tmp_path / "run", manifest(scenarios=())) as recorded:
        pass
    judged = recorded.judged().judged[0]
    assert (judged.outcome, judged.reason) == (Outcome.NOT_PROVEN, "no scenario proves it yet")


@pytest.mark.parametrize(
    ("check", "outcome", "reason"),
    [
        ("answers are fast enough", Outcome.NOT_PROVEN, "no scenario proves yet: the rest of it"),
        ("nothing is well", Outcome.FAIL, "it is fail"),
    ],
)
def test_a_requirement_that_scenarios_prove_in_part_can_fail_and_not_pass(
    tmp_path: Path, check: str, outcome: Outcome, reason: str
) -> None:
    (whole,) = manifest().requirements
    part = whole.model_copy(update={"missing": ("the rest of it",)})
    judged = _judged(tmp_path / "run", manifest(requirements=(part,)), check)
    assert (judged.outcome, judged.reason) == (outcome, reason)


def test_a_scenario_that_never_ran_is_missed(tmp_path: Path) -> None:
    with running(tmp_path / "run", manifest(scenarios=(scenario(), scenario("Two")))) as recorded:
        play(recorded.run, require("all is well"))
    judged = recorded.judged().judged[0]
    assert judged.outcome is Outcome.NOT_PROVEN
    assert "it was not run" in judged.reason


def test_two_scenarios_of_one_name_prove_nothing(tmp_path: Path) -> None:
    judged = _judged(tmp_path / "run", manifest(scenarios=(scenario(), scenario())), "all is well")
    assert judged.outcome is Outcome.NOT_PROVEN
    assert "two scenarios have the same name" in judged.reason


def test_a_scenario_run_twice_in_one_session_is_a_retry_and_proves_nothing(tmp_path: Path) -> None:
    with running(tmp_path / "run") as recorded:
        play(recorded.run, require("nothing is well"))
        play(recorded.run, require("all is well"))
    assert "a retry hides a failure" in recorded.judged().judged[0].reason


@pytest.mark.parametrize("state", ["skipped", "xfailed", "xpassed", "failed"])
def test_a_scenario_that_did_not_simply_pass_proves_nothing(tmp_path: Path, state: str) -> None:
    with running(tmp_path / "run") as recorded:
        recorded.run.begin(scenario())
        recorded.run.step("Given", "answers", 0.1)
        require("all is well")(recorded.run)
        recorded.run.step("Then", "all is well", 0.1)
        recorded.run.end(state, "because", 0.1)
    judged = recorded.judged().judged[0]
    assert judged.outcome is Outcome.NOT_PROVEN
    assert "because" in judged.reason


def test_a_scenario_cut_short_is_not_proven(tmp_path: Path) -> None:
    with running(tmp_path / "run") as recorded:
        recorded.run.begin(scenario())
        require("all is well")(recorded.run)
    assert "interrupted before its end" in recorded.judged().judged[0].reason


def test_steps_that_are_not_the_ones_of_the_feature_file_prove_nothing(tmp_path: Path) -> None:
    with running(tmp_path / "run") as recorded:
        recorded.run.begin(scenario())
        recorded.run.step("Given", "answers", 0.1)
        require("all is well")(recorded.run)
        recorded.run.end("passed", "", 0.1)
    assert "1 of its 2 steps" in recorded.judged().judged[0].reason


def test_a_failure_that_a_step_swallowed_is_still_a_failure(tmp_path: Path) -> None:
    def swallow(run: Any) -> None:
        with pytest.raises(AssertionError):
            require("nothing is well")(run)

    with running(tmp_path / "run") as recorded:
        play(recorded.run, swallow)
    assert recorded.judged().judged[0].outcome is Outcome.FAIL


def test_a_requirement_of_an_absent_part_does_not_apply_and_says_why(tmp_path: Path) -> None:
    plan = manifest(requirements=(requirement(needs=["ingress"]), requirement("W1-B")))
    with running(tmp_path / "run", plan) as recorded:
        pass
    first, second = recorded.judged().judged
    assert (first.outcome, first.reason) == (Outcome.NOT_APPLICABLE, "there is no ingress here")
    assert second.outcome is Outcome.NOT_PROVEN


def test_a_scenario_of_an_absent_part_does_not_count_as_passed(tmp_path: Path) -> None:
    plan = manifest(scenarios=(scenario(needs=["ingress"]),))
    with running(tmp_path / "run", plan) as recorded:
        pass
    judgement = recorded.judged()
    assert judgement.judged[0].outcome is Outcome.NOT_APPLICABLE
    assert judgement.decision is Decision.NOT_PROVEN


def test_a_check_may_find_that_a_clause_does_not_apply(tmp_path: Path) -> None:
    judged = _judged(tmp_path / "run", None, "it does not apply", "all is well")
    assert judged.outcome is Outcome.PASS


def test_a_target_that_only_warns_warns_and_fails_nothing(tmp_path: Path) -> None:
    wanted = {"at_most": 0.5, "words": "Answer, wanted", "warns": True}
    plan = manifest(requirements=(requirement(targets={"answer_ms": wanted}),))
    with running(tmp_path / "run", plan) as recorded:
        play(recorded.run, require("all is well"))
    judgement = recorded.judged()
    assert judgement.decision is Decision.GO
    assert "W1-A: Answer, wanted is 1, better would be ≤ 0.5" in judgement.warnings


def test_the_verdict_document_has_the_keys_of_its_contract(tmp_path: Path) -> None:
    with running(tmp_path / "run") as recorded:
        play(recorded.run, require("all is well"))
    document = recorded.judged().document()
    assert list(document) == [
        *("schema", "run", "cluster", "week", "commit", "started", "ended", "decision"),
        *("requirements", "faults"),
    ]
    assert list(document["requirements"][0]) == [
        *("id", "week", "title", "severity", "verdict", "reason", "measured", "target"),
        *("scenarios", "evidence", "remedy"),
    ]


def test_every_prefix_of_a_journal_gives_a_verdict_and_none_is_green_too_early(
    tmp_path: Path,
) -> None:
    """Killed at any point, a run proves what it had finished and no more."""
    with running(tmp_path / "run", manifest(scenarios=(scenario(), scenario("Two")))) as recorded:
        play(recorded.run, require("all is well"))
        play(recorded.run, require("all is well"), which=scenario("Two"))
    lines = (tmp_path / "run/journal.jsonl").read_bytes().splitlines(keepends=True)
    cut = tmp_path / "cut"
    cut.mkdir()
    decisions = []
    for count in range(1, len(lines) + 1):
        (cut / "journal.jsonl").write_bytes(b"".join(lines[:count]))
        recorded.folder = cut
        decisions.append(recorded.judged().decision)
    assert decisions[-1] is Decision.GO
    assert set(decisions[:-1]) == {Decision.NOT_PROVEN}


def test_the_life_of_a_fault_is_read_from_its_records(tmp_path: Path) -> None:
    with running(tmp_path / "run") as recorded:
        write = recorded.run.write
        write(Kind.FAULT, "1", {"event": "injected", "fault": "lose-osd", "target": "osd.1"})
        for event in ("active", "healed"):
            write(Kind.FAULT, "1", {"event": event})
    assert recorded.judged().decision is Decision.UNHEALED
    (fault,) = recorded.judged().document()["faults"]
    assert (fault["active_proved"], fault["heal_proved"]) == (True, False)
    assert (fault["healed"] or "").endswith("Z")


def test_evidence_names_spans_of_journal_lines() -> None:
    from harness.gate.judge import _spans

    assert list(_spans([3, 4, 5, 9])) == ["L3-L5", "L9"]
    for lines in itertools.chain([[]], [[1]]):
        assert len(list(_spans(lines))) == len(lines)


def test_a_torn_journal_is_judged_and_says_so(tmp_path: Path) -> None:
    with running(tmp_path / "run") as recorded:
        play(recorded.run, require("all is well"))
    with (tmp_path / "run/journal.jsonl").open("ab") as file:
        file.write(b"{torn")
    reader = JournalReader(tmp_path / "run")
    run_state = RunState.of(reader, CHECKS)
    assert run_state.ended
    assert reader.torn_bytes == 5
