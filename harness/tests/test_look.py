"""Looks begin with the run where they may, and none is beside one that must be alone."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from harness import probes
from harness.core.errors import TransportError
from harness.facts.drills import DRILLS
from harness.probes import PROBES, Timing
from harness.probes.probe import NOWHERE, LookScheduler
from harness.tests.project import Project
from harness.tests.stage import FakeProbe, reach, running, scenario, table


def probe(name: str, timing: Timing = Timing.AT_START, **answers: Any) -> FakeProbe:
    return FakeProbe(answers or {"one": 1}, name=name, sentence=f"{name} is seen", timing=timing)


def looks(*all_of_them: FakeProbe) -> LookScheduler:
    return LookScheduler(table(*all_of_them), reach())


def test_a_look_that_has_begun_is_the_one_that_is_asked_for_later() -> None:
    seen = Event()
    early = probe("early", one=seen.set)
    run = looks(early)
    run.begin(["early is seen"])
    assert seen.wait(5)
    assert [it.key for it in run.look("early").answers()] == ["one"]
    assert early.looks == 1


@pytest.mark.parametrize("timing", [Timing.WHEN_ASKED, Timing.ALONE])
def test_what_changes_something_does_not_begin_before_it_is_asked_for(timing: Timing) -> None:
    late = probe("late", timing)
    run = looks(late)
    run.begin(["late is seen"])
    run.settle()
    assert late.looks == 0
    assert [it.value for it in run.look("late").answers()] == [1]


def test_nothing_begins_that_no_sentence_asks_for() -> None:
    other = probe("other")
    run = looks(other)
    run.begin(["something else is seen"])
    run.settle()
    assert other.looks == 0


def test_a_look_that_must_be_alone_waits_for_all_others() -> None:
    gate, order = Event(), list[str]()

    def slow() -> None:
        gate.wait(5)
        order.append("slow")

    run = looks(
        probe("slow", one=slow), probe("alone", Timing.ALONE, one=lambda: order.append("alone"))
    )
    run.begin(["slow is seen"])
    threading.Timer(0.2, gate.set).start()
    list(run.look("alone").answers())
    assert order == ["slow", "alone"]


def test_a_look_that_only_makes_objects_of_its_own_is_beside_those_that_have_begun() -> None:
    gate = Event()
    run = looks(
        probe("slow", one=lambda: gate.wait(5)), probe("own", Timing.WHEN_ASKED, one=gate.set)
    )
    run.begin(["slow is seen"])
    list(run.look("own").answers())
    assert [it.value for it in run.look("slow").answers()] == [True]


def test_no_more_than_four_looks_are_at_one_target_at_a_time() -> None:
    lock, at_once, full = threading.Lock(), [0, 0], threading.Barrier(4)

    def count() -> None:
        with lock:
            at_once[0] += 1
            at_once[1] = max(at_once)
        full.wait(5)  # four at a time, twice; fewer would break it
        with lock:
            at_once[0] -= 1

    crowd = [probe(f"n{number}", one=count) for number in range(8)]
    run = looks(*crowd)
    run.begin(it.sentence for it in crowd)
    found = [answer for it in crowd for answer in run.look(it.name).answers()]
    assert [it.error for it in found] == [None] * 8
    assert at_once == [0, 4]


def test_targets_that_cannot_be_listed_are_an_answer_of_no_place() -> None:
    class Blind(FakeProbe):
        def targets(self, reach: Any) -> Any:
            raise TransportError("no way")

    run = looks(Blind({}, name="blind"))
    look = run.look("blind")
    assert look.targets == (NOWHERE,)
    assert [(it.key, it.error) for it in look.answers()] == [(NOWHERE, "no way")]
    look.wait()


def test_scenarios_are_in_the_order_in_which_their_looks_come() -> None:
    run = looks(probe("own", Timing.WHEN_ASKED), probe("early"), probe("alone", Timing.ALONE))
    assert [run.turn([f"{name} is seen"]) for name in ("own", "early", "alone")] == [0, 1, 2]
    assert run.turn(["own is seen", "alone is seen"]) == 2


def test_every_probe_that_writes_or_measures_speed_does_not_begin_with_the_gate() -> None:
    begin = {name for name, it in PROBES.items() if it.timing is Timing.AT_START}
    assert begin.isdisjoint(
        {"etcd-writes", "disk-bench", "claims", "backup-claims", "load-balancer", "ingress"}
        | {"pod-network", "network-policy"}
    )
    # What is measured, what reads every row, and what opens a port to the world must have the
    # cluster to itself.
    alone = {name for name, it in PROBES.items() if it.timing is Timing.ALONE}
    assert alone == {"etcd-writes", "disk-bench", "claims", "load-balancer", "databases"}


def records(folder: Path) -> list[Any]:
    return [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]


def test_what_was_seen_early_is_written_when_its_step_asks_and_says_when_it_was_seen(
    tmp_path: Path,
) -> None:
    early = FakeProbe({"one": 3})
    with running(tmp_path / "run", probes=[early]) as recorded:
        recorded.run.look_ahead([scenario()])
        recorded.run._looks.settle()
        assert {it["kind"] for it in records(tmp_path / "run")} == {"manifest", "session"}
        recorded.run.begin(scenario())
        recorded.run.observe("answers")
        recorded.run.observe("answers")
    assert early.looks == 1
    kinds = [it["kind"] for it in records(tmp_path / "run")]
    assert kinds == [
        *("manifest", "session", "scenario"),
        *("ask", "look", "observation", "ask", "end"),
    ]
    (look,) = recorded.judged().run_state.looked
    observation = records(tmp_path / "run")[5]
    assert look.began == observation["data"]["at"]
    began = next(iter(recorded.judged().run_state.scenarios.values())).began
    assert look.ended < began.moment.timestamp()


def test_nothing_is_broken_while_a_look_is_under_way(tmp_path: Path) -> None:
    gate = Event()
    with running(tmp_path / "run", probes=[FakeProbe({"one": lambda: gate.wait(5)})]) as recorded:
        run = recorded.run
        run.look_ahead([scenario()])
        run.begin(scenario())
        seen = list[bool]()
        threading.Timer(0.2, gate.set).start()
        run._carried_out(DRILLS.name, "x", lambda: seen.append(gate.is_set()))
    assert seen == [True]


TWO = """
    Feature: Answers
      @week1 @req:W1-A
      Scenario: All answer in time
        Given answers
        Then answers are fast enough is required

      @week1 @req:W1-A {tag}
      Scenario: Others answer
        Given others
        Then all is well is required
"""
OTHERS = '@given("others")\ndef others(run):\n    run.observe("others")\n'


@pytest.fixture
def others(monkeypatch: pytest.MonkeyPatch, project: Project) -> FakeProbe:
    """A second probe of a project in which one scenario asks for each."""
    it = FakeProbe({"one": 1}, name="others", sentence="others")
    monkeypatch.setattr(probes, "PROBES", {**probes.PROBES, "others": it})
    project.write(TWO.format(tag=""), steps=OTHERS)
    return it


def own_looks() -> Mapping[str, FakeProbe]:
    return probes.PROBES  # type: ignore[return-value]


def test_a_gate_begins_the_looks_of_all_its_scenarios(project: Project, others: FakeProbe) -> None:
    both = threading.Barrier(2)
    project.answers.update(one=lambda: both.wait(5) * 0, two=3)
    others.answers = {"one": lambda: both.wait(5) * 0}
    gate = project.run()
    assert (gate.status, gate.outcome) == (0, "pass"), gate.reason


@pytest.mark.parametrize(("tag", "options"), [("", ("-k", "not others")), ("@needs:ingress", ())])
def test_a_scenario_that_does_not_run_begins_no_look(
    project: Project, others: FakeProbe, tag: str, options: tuple[str, ...]
) -> None:
    project.write(TWO.format(tag=tag), steps=OTHERS)
    project.run(*options)
    assert (own_looks()["answers"].looks, others.looks) == (1, 0)


def test_another_cluster_than_the_declared_one_is_not_looked_at(
    project: Project, others: FakeProbe
) -> None:
    profile = project.pytester.path / "scenarios/clusters/small.yaml"
    profile.write_text(profile.read_text().replace("0d9f6c1e-uid", "another-uid"))
    assert project.run().status == 4
    assert (own_looks()["answers"].looks, others.looks) == (0, 0)


@pytest.mark.usefixtures("others")
def test_what_must_be_alone_comes_last(project: Project) -> None:
    own_looks()["answers"].timing = Timing.ALONE
    gate = project.run()
    assert gate.status == 0
    asked = [it["subject"] for it in records(gate.folder) if it["kind"] == "look"]
    assert asked == ["others", "answers"]
