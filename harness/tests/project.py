"""A whole small project, run by pytest in this process as ``pytest features -m week1`` would."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness import checks, probes, transport
from harness.tests.stage import CHECKS, REQUIREMENT, FakeProbe, reach, write_project

# Named, because finding what else is installed takes longer than the gate itself; test_cli and
# test_interrupt run gates with everything that is installed.
PLUGINS = tuple(
    word
    for plugin in (
        "pytest_bdd.plugin",
        "allure_pytest.plugin",
        "harness.pytest_gate.plugin",
        "harness.pytest_gate.allure_bridge",
    )
    for word in ("-p", plugin)
)
ARGUMENTS = (
    *(*PLUGINS, "--strict-markers"),
    *("--cluster", "scenarios/clusters/small.yaml", "features", "-m", "week1"),
)
STEPS = """
import pytest
from pytest_bdd import given, parsers, then, when

@given("answers")
def answers(run):
    run.observe("answers")

@when("nothing happens")
def nothing():
    pass

@then(parsers.parse("{check} is required"))
def required(run, check):
    run.require(check)
"""
GOOD = """
    @week1 @req:W1-A @severity:blocker
    Feature: Answers
      Scenario: All answer in time
        Given answers
        Then answers are fast enough is required
"""


def scenario_of(*steps: str, tags: str = "", name: str = "All answer in time") -> str:
    lines = "".join(f"\n        {step}" for step in steps)
    return f"""
    @week1 @req:W1-A
    Feature: Answers
      {tags}
      Scenario: {name}{lines}
"""


REQUIRED = ("Given answers", "Then answers are fast enough is required")


@dataclass
class Gate:
    """What a small project came to: pytest's exit status, the verdict, and what was printed."""

    status: int
    verdict: Mapping[str, Any]
    printed: str
    folder: Path

    @property
    def reason(self) -> str:
        (requirement,) = self.verdict["requirements"]
        return str(requirement["reason"])

    @property
    def outcome(self) -> str:
        (requirement,) = self.verdict["requirements"]
        return str(requirement["verdict"])


class Project:
    """A small project that can be written and run."""

    def __init__(self, pytester: pytest.Pytester, answers: dict[str, Any]) -> None:
        self.pytester = pytester
        self.answers = answers

    @property
    def reports(self) -> Path:
        return self.pytester.path / "reports"

    def write(
        self,
        feature: str = GOOD,
        *,
        steps: str = "",
        requirements: Sequence[Mapping[str, Any]] = (REQUIREMENT,),
    ) -> None:
        write_project(
            self.pytester.path, feature=textwrap.dedent(feature), requirements=requirements
        )
        self.pytester.makeconftest(STEPS + textwrap.dedent(steps))

    def run(self, *options: str) -> Gate:
        result = self.pytester.runpytest_inprocess(*ARGUMENTS, *options)
        folder = self.reports / "latest"
        verdict = folder / "verdict.json"
        return Gate(
            status=int(result.ret),
            verdict=json.loads(verdict.read_text()) if verdict.exists() else {},
            printed=result.stdout.str() + result.stderr.str(),
            folder=folder,
        )

    def refuse(self, *options: str) -> int:
        """The status of a run that ends before it begins, which pytester cannot look into."""
        return int(pytest.main([*ARGUMENTS, *options]))


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose probe answers from a table that the test may change."""
    answers: dict[str, Any] = {"one": 3, "two": 4}

    @contextmanager
    def connect(_: object) -> Any:
        yield reach()

    monkeypatch.setattr(transport, "connect", connect)
    monkeypatch.setattr(probes, "PROBES", {"answers": FakeProbe(answers)})
    monkeypatch.setattr(checks, "CHECKS", CHECKS)
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    return Project(pytester, answers)
