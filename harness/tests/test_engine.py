"""The engine looks once, side by side, within its deadline, and writes before it judges."""

from __future__ import annotations

import time
from pathlib import Path
from threading import Event

import pytest

from harness.core.errors import NotProven, Refused, Unreachable
from harness.core.model import Decision, Outcome
from harness.core.notices import removed_afterwards
from harness.record.journal import JournalReader
from harness.tests.stage import (
    FakeProbe,
    manifest,
    play,
    require,
    requirement,
    running,
    scenario,
)


def test_a_probe_looks_once_in_a_run(tmp_path: Path) -> None:
    probe = FakeProbe({"one": 1})
    with running(tmp_path / "run", probes=[probe]) as recorded:
        recorded.run.begin(scenario())
        for _ in range(3):
            recorded.run.observe("answers")
        assert probe.looks == 1


def test_an_observation_is_a_value_or_an_error_for_each_target(tmp_path: Path) -> None:
    probe = FakeProbe({"one": {"n": 1}, "two": Unreachable("no route"), "three": KeyError("x")})
    with running(tmp_path / "run", probes=[probe]) as recorded:
        recorded.run.begin(scenario())
        seen = recorded.run.observe("answers")
    assert seen["one"].value == {"n": 1}
    assert seen["two"].error == "no route"
    assert seen["three"].error == "KeyError: 'x'"


def test_a_look_that_overruns_its_deadline_is_abandoned_and_is_an_error(tmp_path: Path) -> None:
    never = Event()
    probe = FakeProbe({"one": 1, "two": never.wait}, within_s=1.0)
    began = time.monotonic()
    with running(tmp_path / "run", probes=[probe]) as recorded:
        recorded.run.begin(scenario())
        seen = recorded.run.observe("answers")
    assert time.monotonic() - began < 30
    assert seen["one"].value == 1
    assert seen["two"].error == "no answer within 1 s"
    never.set()


@pytest.mark.parametrize("value", [{1, 2}, float("inf"), object()])
def test_an_answer_that_is_not_json_is_an_error(tmp_path: Path, value: object) -> None:
    with running(tmp_path / "run", probes=[FakeProbe({"one": value})]) as recorded:
        recorded.run.begin(scenario())
        seen = recorded.run.observe("answers")
    assert "not JSON" in str(seen["one"].error)


def test_a_probe_without_targets_says_that_there_is_nothing_to_look_at(tmp_path: Path) -> None:
    with running(tmp_path / "run", probes=[FakeProbe({})]) as recorded:
        play(recorded.run, require("all is well"))
    judged = recorded.judged().judged[0]
    assert judged.outcome is Outcome.NOT_PROVEN
    assert "there is nothing to look at" in judged.reason


def test_an_unknown_probe_is_not_proven(tmp_path: Path) -> None:
    with running(tmp_path / "run") as recorded:
        recorded.run.begin(scenario())
        with pytest.raises(NotProven, match="no probe named “crystal-ball”"):
            recorded.run.observe("crystal-ball")


def test_a_failure_says_what_was_expected_and_seen_and_where_and_what_to_do(
    tmp_path: Path,
) -> None:
    with running(tmp_path / "run", probes=[FakeProbe({"one": 3, "two": 42})]) as recorded:
        recorded.run.begin(scenario())
        recorded.run.observe("answers")
        with pytest.raises(AssertionError) as caught:
            recorded.run.require("answers are fast enough")
    assert str(caught.value).splitlines() == [
        "W1-A “answers are fast enough”: the slowest answer took 42 ms",
        "  expected   answer_ms ≤ 10",
        "  seen       answer_ms 42",
        "  where      two",
        "  what to do Make it faster.",
    ]


def test_what_cannot_be_told_raises_not_proven(tmp_path: Path) -> None:
    with running(tmp_path / "run") as recorded:
        recorded.run.begin(scenario())
        recorded.run.observe("answers")
        with pytest.raises(NotProven, match="W1-A “nobody knows”"):
            recorded.run.require("nobody knows")


def test_each_requirement_of_a_scenario_is_judged_with_its_own_targets(tmp_path: Path) -> None:
    strict = {"answer_ms": {"at_most": 1, "words": "Slowest answer"}}
    both = scenario().model_copy(update={"tags": ("req:W1-A", "req:W1-B")})
    plan = manifest(
        requirements=(requirement(), requirement("W1-B", targets=strict)), scenarios=(both,)
    )
    with running(tmp_path / "run", plan) as recorded:
        play(recorded.run, require("answers are fast enough"), which=both)
    first, second = recorded.judged().judged
    assert first.evaluations[0].verdict.outcome is Outcome.PASS
    assert second.outcome is Outcome.FAIL
    assert first.outcome is Outcome.NOT_PROVEN, "its scenario was stopped by the other's failure"


def test_every_record_is_on_the_disk_before_it_counts(tmp_path: Path) -> None:
    with running(tmp_path / "run") as recorded:
        recorded.run.begin(scenario())
        recorded.run.observe("answers")
        kinds = [record.kind for record in JournalReader(tmp_path / "run")]
    assert kinds[2:] == ["scenario", "ask", "look", "observation", "observation"]


def test_what_a_look_could_not_remove_is_a_warning_and_the_look_counts(tmp_path: Path) -> None:
    def untidy() -> int:
        def fails() -> None:
            raise Unreachable("no route")

        with removed_afterwards("the namespace x", fails):
            return 3

    with running(tmp_path / "run", probes=[FakeProbe({"one": untidy})]) as recorded:
        play(recorded.run, require("answers are fast enough"))
    judgement = recorded.judged()
    assert judgement.judged[0].outcome is Outcome.PASS
    text = "answers: the namespace x could not be removed, and may be left: no route"
    assert text in judgement.warnings


def test_another_cluster_than_the_declared_one_is_refused(tmp_path: Path) -> None:
    with running(tmp_path / "run") as recorded, pytest.raises(Refused, match="UID another"):
        recorded.run.identify("another")
    judgement = recorded.judged()
    assert judgement.decision is Decision.REFUSED
    assert judgement.judged[0].outcome is Outcome.NOT_PROVEN


SYSTEM = "/api/v1/namespaces/kube-system"


def test_a_run_goes_on_at_the_cluster_where_it_began_and_nowhere_else(tmp_path: Path) -> None:
    with running(tmp_path / "run") as recorded:
        objects = recorded.run.reach.kube.objects  # type: ignore[attr-defined]
        recorded.run.identify(None)
        recorded.run.identify(None)
        was = recorded.judged().document()["cluster"]
        objects.clear()
        recorded.run.identify(None)
        objects[SYSTEM] = {"metadata": {"uid": "rebuilt"}}
        for _ in range(2):  # the refusal does not make the other cluster this run's
            with pytest.raises(Refused, match=r"\(this run so far\), seen rebuilt"):
                recorded.run.identify(None)
    assert recorded.judged().decision is Decision.REFUSED
    assert recorded.judged().document()["cluster"] == was


def test_a_cluster_that_does_not_say_who_it_is_stays_nameless(tmp_path: Path) -> None:
    with running(tmp_path / "run") as recorded:
        recorded.run.reach.kube.objects.clear()  # type: ignore[attr-defined]
        recorded.run.identify("0d9f")
    assert recorded.judged().document()["cluster"] == {"name": "small", "uid": None}
