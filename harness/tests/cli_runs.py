"""The command line in this process, over a small project in place of this one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from harness import checks, probes, transport
from harness.commands import cli, past_runs, pytest_run, runs
from harness.tests.stage import CHECKS, REQUIREMENT, FakeProbe, reach, write_project

CONFTEST = """
from pytest_bdd import given, parsers, then

pytest_plugins = ("harness.pytest_gate.plugin", "harness.pytest_gate.allure_bridge")

@given("answers")
def answers(run):
    run.observe("answers")

@then(parsers.parse("{check} is required"))
def required(run, check):
    run.require(check)
"""
FEATURE = """
@week1 @req:W1-A
Feature: Answers
  Scenario: All answer in time
    Given answers
    Then answers are fast enough is required
"""


@dataclass
class Ended:
    """How a command ended, and what it said."""

    status: int
    out: str
    err: str


@pytest.fixture
def cutover(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Ended]:
    """Run the command in this process."""

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["cutover", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capfd.readouterr()
        return Ended(int(end.value.code or 0), said.out, said.err)

    return run


@pytest.fixture
def answers(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A small project in place of this one; what its probe will see."""
    table: dict[str, Any] = {"one": 3}
    write_project(pytester.path, feature=FEATURE, requirements=[REQUIREMENT])
    pytester.makeconftest(CONFTEST)

    @contextmanager
    def connect(_: object) -> Iterator[Any]:
        yield reach()

    monkeypatch.setattr(transport, "connect", connect)
    monkeypatch.setattr(probes, "PROBES", {"answers": FakeProbe(table)})
    for module in (checks, past_runs):
        monkeypatch.setattr(module, "CHECKS", CHECKS)
    for command in (pytest_run, runs, past_runs):
        monkeypatch.setattr(command, "ROOT", pytester.path)
    return table
