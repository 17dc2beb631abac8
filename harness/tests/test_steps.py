"""Every probe is a Given and every check a Then; a sentence that is neither is told apart."""

from __future__ import annotations

import json
from importlib import import_module
from typing import cast

import pytest

from harness.checks import CHECKS
from harness.probes import PROBES
from harness.pytest_gate import bdd_internals, step_rules
from harness.pytest_gate.engine import Run
from harness.tests.project import Project, scenario_of
from steps import sentences


class Asked:
    """Stands for a run: what it was asked to observe and to require."""

    def __init__(self) -> None:
        self.observed: list[str] = []
        self.required: list[str] = []

    def observe(self, probe: str) -> None:
        self.observed.append(probe)

    def require(self, check: str) -> None:
        self.required.append(check)


def ours(kind: str) -> list[bdd_internals.Definition]:
    return [
        it
        for it in bdd_internals.definitions()
        if it.step_func.__module__ == sentences.__name__ and it.type == kind
    ]


def test_the_sentence_of_every_probe_is_a_given_that_observes_with_it() -> None:
    asked = Asked()
    for definition in ours("given"):
        assert definition.parser.is_matching(PROBES[list(PROBES)[len(asked.observed)]].sentence)
        definition.step_func(cast(Run, asked))
    assert asked.observed == list(PROBES)
    assert len({probe.sentence for probe in PROBES.values()}) == len(PROBES)


def test_the_name_of_every_check_is_a_then_that_requires_it() -> None:
    asked = Asked()
    for definition in ours("then"):
        definition.step_func(cast(Run, asked))
    assert asked.required == [it.parser.name for it in ours("then")] == list(CHECKS)


def test_what_is_done_to_the_cluster_is_a_when() -> None:
    acts = ["carry_out", "soak", "restore", "shift", "walk", "compare_writes"]
    acts += ["offer_loads", "compare_loads", "rehearse"]
    assert [it.step_func.__name__ for it in ours("when")] == acts


@pytest.mark.parametrize(
    ("kind", "sentence", "says"),
    [
        (
            "then",
            "every clock follows its sources",
            "no check is named “every clock follows its sources”; "
            "did you mean “every clock follows its source”?",
        ),
        ("then", "the moon is full", "no check is named “the moon is full”"),
        # The sentence of a Given is no Then, however near it comes.
        ("then", "the cluster's node list", "no check is named “the cluster's node list”"),
        (
            "given",
            "the cluster's nodes list",
            "no probe has the sentence “the cluster's nodes list”; "
            "did you mean “the cluster's node list”?",
        ),
        ("when", "the moon falls", "no step definition “the moon falls”"),
    ],
)
def test_a_sentence_that_nothing_defines_is_told_with_the_nearest(
    kind: str, sentence: str, says: str
) -> None:
    assert step_rules.undefined(kind, sentence) == says


def test_a_sentence_that_nothing_defines_leaves_the_requirement_not_proven(
    project: Project,
) -> None:
    project.write(scenario_of("Given answers", "Then all is swell", "And all is well is required"))
    gate = project.run()
    assert (gate.status, gate.outcome) == (3, "not_proven")
    says = "no check is named “all is swell”"
    assert says in gate.reason
    records = map(json.loads, (gate.folder / "journal.jsonl").read_text().splitlines())
    steps = [it["data"] for it in records if it["kind"] == "step"]
    assert [(it["text"], it["error"]) for it in steps] == [
        ("answers", None),
        ("all is swell", says),
    ]


def test_calls_of_steps_are_watched_no_longer_than_asked() -> None:
    module = import_module("pytest_bdd.scenario")
    call = module.call_fixture_func
    with bdd_internals.calls_watched(lambda answer: answer):
        assert module.call_fixture_func is not call
    assert module.call_fixture_func is call


def test_two_definitions_of_a_sentence_are_named_by_their_modules(project: Project) -> None:
    project.write(
        scenario_of("Given answers", "Then a cat is required"),
        steps="""
        @then(parsers.parse("a {animal} is required"))
        def animal():
            pass
        """,
    )
    assert "2 step definitions match “a cat is required”, in conftest, conftest" in (
        project.run().reason
    )
