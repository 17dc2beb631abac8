"""What the gate tells other pytest plugins: its hooks, and how each phase of a test ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from harness.core.errors import HarnessError, NotProven, Refused
from harness.gate import Judgement, Manifest
from harness.pytest_gate.catalogue import Scenario

_NOT_FAILED = {NotProven: "not proven", Refused: "refused"}
_WORST_FIRST = ("failed", "xpassed", "xfailed", "skipped", "passed")


class GateHooks:
    """Hook specifications."""

    def pytest_gate_opened(self, manifest: Manifest, folder: Path) -> None:
        """The run has a folder and a journal; nothing has been looked at."""

    def pytest_gate_not_opened(self, error: HarnessError) -> None:
        """No run was opened: its options or files are wrong, or a guard refused it."""

    def pytest_gate_scenario_began(self, scenario: Scenario) -> None:
        """A scenario is about to run."""

    def pytest_gate_scenario_ended(self, scenario: Scenario, state: str, said: str) -> None:
        """A scenario is over: passed, failed, skipped …; ``said`` is one line on why."""

    def pytest_gate_told(self, text: str) -> None:
        """Progress within a scenario that takes a while."""

    def pytest_gate_collecting(self, why: Scenario) -> None:
        """Evidence collection starts because of that scenario, and takes a while."""

    def pytest_gate_kept(self, target: str, what: str, file: Path) -> None:
        """That file of the run has a piece of evidence, without its secrets."""

    def pytest_gate_judged(self, judgement: Judgement, folder: Path) -> None:
        """The run is judged and its reports are drawn."""


class GateCaller(Protocol):
    """The hooks in the form of ``config.hook``."""

    def pytest_gate_opened(self, *, manifest: Manifest, folder: Path) -> None: ...

    def pytest_gate_not_opened(self, *, error: HarnessError) -> None: ...

    def pytest_gate_scenario_began(self, *, scenario: Scenario) -> None: ...

    def pytest_gate_scenario_ended(self, *, scenario: Scenario, state: str, said: str) -> None: ...

    def pytest_gate_told(self, *, text: str) -> None: ...

    def pytest_gate_collecting(self, *, why: Scenario) -> None: ...

    def pytest_gate_kept(self, *, target: str, what: str, file: Path) -> None: ...

    def pytest_gate_judged(self, *, judgement: Judgement, folder: Path) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TestPhase:
    """One phase: its state, the reason if it is not passed, and the state in a verdict's words.

    ``told`` separates "not proven" and "refused" from "failed" for progress displays.
    """

    state: str
    reason: str
    told: str

    @property
    def said(self) -> str:
        """The reason's first line."""
        return self.reason.partition("\n")[0]


def phase(report: pytest.TestReport, call: pytest.CallInfo[None]) -> TestPhase:
    """A phase as pytest reports it."""
    state = _state(report)
    told = state
    if report.failed and call.excinfo is not None:
        words = (it for kind, it in _NOT_FAILED.items() if call.excinfo.errisinstance(kind))
        told = next(words, state)
    return TestPhase(state=state, reason=_reason(report, call), told=told)


def worst(phases: Sequence[TestPhase]) -> TestPhase:
    """The phase that decides a test's result: the first of the worst."""
    return min(phases, key=lambda it: _WORST_FIRST.index(it.state))


def _state(report: pytest.TestReport) -> str:
    if hasattr(report, "wasxfail"):
        return "xfailed" if report.skipped else "xpassed"
    return str(report.outcome)


def _reason(report: pytest.TestReport, call: pytest.CallInfo[None]) -> str:
    if report.passed:
        return ""
    if call.excinfo is None:
        return str(report.longrepr)
    return str(call.excinfo.value) or call.excinfo.typename
