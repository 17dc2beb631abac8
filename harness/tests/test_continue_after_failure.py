"""A failing Then step does not stop the later Then steps."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.tests.project import Gate, Project, scenario_of

BROKEN = """
@then("this breaks")
def breaks():
    raise ZeroDivisionError("a mistake of ours")
"""


def steps(gate: Gate) -> list[tuple[str, str]]:
    """The steps that were run, in order, and how each went."""
    lines = (gate.folder / "journal.jsonl").read_text().splitlines()
    records: list[Any] = [json.loads(line) for line in lines]
    found = (it["data"] for it in records if it["kind"] == "step")
    return [(it["text"].removesuffix(" is required"), it["state"]) for it in found]


@pytest.mark.parametrize(
    ("first", "second"),
    [("nobody knows", "nothing is well"), ("nothing is well", "nobody knows")],
)
def test_a_doubt_hides_no_failure(project: Project, first: str, second: str) -> None:
    project.write(
        scenario_of("Given answers", f"Then {first} is required", f"And {second} is required")
    )
    gate = project.run()
    assert (gate.status, gate.outcome) == (1, "fail")
    assert gate.reason == "it is fail"
    assert steps(gate) == [("answers", "passed"), (first, "failed"), (second, "failed")]
    # Whoever reads pytest's own words is told of the failure, too.
    assert "AssertionError: W1-A “nothing is well”" in gate.printed


def test_what_holds_beside_what_does_not_is_told_and_once(project: Project) -> None:
    project.write(
        scenario_of(
            "Given answers",
            "Then nobody knows is required",
            "And all is well is required",
            "But answers are fast enough is required",
        )
    )
    project.answers["two"] = 42
    gate = project.run()
    assert gate.reason == "the slowest answer took 42 ms"
    assert steps(gate) == [
        ("answers", "passed"),
        ("nobody knows", "failed"),
        ("all is well", "passed"),
        ("answers are fast enough", "failed"),
    ]


def test_nothing_is_done_any_more_once_something_was_red(project: Project) -> None:
    project.write(
        scenario_of(
            "Given answers",
            "Then nobody knows is required",
            "When nothing happens",
            "Then nothing is well is required",
        )
    )
    gate = project.run()
    assert (gate.status, gate.outcome) == (3, "not_proven")
    assert steps(gate) == [("answers", "passed"), ("nobody knows", "failed")]


def test_a_step_that_breaks_judges_nothing_and_ends_the_scenario(project: Project) -> None:
    project.write(
        scenario_of("Given answers", "Then this breaks", "And nothing is well is required"),
        steps=BROKEN,
    )
    gate = project.run()
    assert (gate.status, gate.outcome) == (3, "not_proven")
    assert "a mistake of ours" in gate.reason
    assert steps(gate) == [("answers", "passed"), ("this breaks", "failed")]


def test_a_step_that_breaks_after_a_red_one_takes_nothing_back(project: Project) -> None:
    project.write(
        scenario_of("Given answers", "Then nothing is well is required", "And this breaks"),
        steps=BROKEN,
    )
    gate = project.run()
    assert (gate.status, gate.reason) == (1, "it is fail")
    assert steps(gate)[-1] == ("this breaks", "failed")


def test_a_sentence_that_nobody_knows_after_a_red_one_takes_nothing_back(project: Project) -> None:
    project.write(
        scenario_of("Given answers", "Then nothing is well is required", "And the moon is full")
    )
    gate = project.run()
    assert (gate.status, gate.reason) == (1, "it is fail")


def test_ctrl_c_after_a_red_one_is_heard(project: Project) -> None:
    project.write(
        scenario_of("Given answers", "Then nobody knows is required", "And it is late"),
        steps='@then("it is late")\ndef late():\n    raise KeyboardInterrupt\n',
    )
    gate = project.run()
    assert gate.status == 3
    assert "interrupted" in (gate.folder / "journal.jsonl").read_text()
