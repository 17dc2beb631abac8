"""The result of each phase of a test (setup, call, teardown), in the words of a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from harness.core.errors import NotProven

_WORST_FIRST = ("failed", "xpassed", "xfailed", "skipped", "passed")


@dataclass(frozen=True, slots=True, kw_only=True)
class TestPhase:
    """One phase: its state, the reason if it is not passed, and the state in a verdict's words.

    ``told`` separates "not proven" from "failed" for progress displays.
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
    doubted = call.excinfo is not None and call.excinfo.errisinstance(NotProven)
    told = "not proven" if report.failed and doubted else state
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
