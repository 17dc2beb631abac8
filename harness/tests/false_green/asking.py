"""Checks, probes and steps that say or do what must not be believed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.checks import Check
from harness.core.model import Outcome, Verdict
from harness.tests.false_green.case import Case
from harness.tests.project import REQUIRED, scenario_of


def passes(**measured: float) -> Check:
    return lambda _: Verdict(outcome=Outcome.PASS, reason="fine", measured=measured)


def broken(_: object) -> Verdict:
    raise ZeroDivisionError("division by zero")


def exits(_: object) -> Verdict:
    raise SystemExit(0)


def answering(answer: Any) -> Mapping[str, Check]:
    return {"x": lambda _: answer}


X_REQUIRED = scenario_of("Given answers", "Then x is required")
OF_CHECKS = (
    Case("a check that raises", "ZeroDivisionError", X_REQUIRED, checks={"x": broken}),
    Case("a check that ends the process well", "SystemExit", X_REQUIRED, checks={"x": exits}),
    Case(
        "a check that says nothing", "None, which is no verdict", X_REQUIRED, checks=answering(None)
    ),
    Case("a check that says True", "True, which is no verdict", X_REQUIRED, checks=answering(True)),
    Case(
        "a check that waives by itself",
        "which is no verdict",
        X_REQUIRED,
        checks=answering(Verdict(outcome=Outcome.WAIVED, reason="never mind")),
    ),
    Case(
        "a check that passes what misses its target",
        "its own answer_ms 11 is not ≤ 10",
        X_REQUIRED,
        checks={"x": passes(answer_ms=11)},
    ),
    Case(
        "a check that measured no number",
        "and got no number",
        X_REQUIRED,
        checks={"x": passes(answer_ms=float("nan"))},
    ),
    Case(
        "a check that measured something else",
        "nothing measured answer_ms",
        X_REQUIRED,
        checks={"x": passes(other_ms=1)},
    ),
    Case(
        "a check that does not know",
        "it is not_proven",
        scenario_of("Given answers", "Then nobody knows is required"),
    ),
    Case(
        "a check that does not apply, and no other",
        "it is not_applicable",
        scenario_of("Given answers", "Then it does not apply is required"),
    ),
)
WELL = scenario_of("Given answers", "Then all is well is required")
OF_PROBES = (
    Case("a probe with nothing to look at", "there is nothing to look at", WELL, answers={}),
    Case(
        "a probe that errs everywhere",
        "could not look at",
        WELL,
        answers={"one": OSError("gone"), "two": OSError("gone")},
    ),
    Case("a probe whose answer is no JSON", "is not JSON", WELL, answers={"one": object()}),
    Case("a probe that saw no number", "is not JSON", WELL, answers={"one": float("nan")}),
    Case("a probe that saw nothing", "ValueError", answers={"one": None}),
    Case("a probe that saw words", "ValueError", answers={"one": "quick"}),
    Case(
        "a probe that nobody wrote",
        "there is no probe",
        scenario_of(*REQUIRED, "And tea leaves"),
        steps="""
        @then("tea leaves")
        def tea_leaves(run):
            run.observe("tea leaves")
    """,
    ),
    Case(
        "a failure beside a look that erred",
        "the slowest answer took 42 ms",
        answers={"one": 42, "two": OSError()},
    ),
)
OF_STEPS = (
    Case(
        "a Then step that returns an empty text",
        "a Then step returned ''",
        scenario_of(*REQUIRED, "And so"),
        steps="""
        @then("so")
        def so():
            return ""
    """,
    ),
    Case(
        "a Then step that is a generator",
        "it stopped: assert False",
        scenario_of(*REQUIRED, "And so"),
        steps="""
        @then("so")
        def so():
            assert False
            yield
    """,
    ),
    Case(
        "a step that is an asynchronous generator",
        "the step is a coroutine",
        scenario_of(*REQUIRED, "When so", "Then all is well is required"),
        steps="""
        @when("so")
        async def so():
            yield
    """,
    ),
    Case(
        "a step that ends the process well",
        "it stopped: 0",
        scenario_of(*REQUIRED, "And so"),
        steps="""
        import sys
        @then("so")
        def so():
            sys.exit(0)
    """,
    ),
    Case(
        "a step that ends pytest well",
        "interrupted before its end",
        scenario_of(*REQUIRED, "And so"),
        steps="""
        @then("so")
        def so():
            pytest.exit("enough", returncode=0)
    """,
    ),
    Case(
        "a step that asserts by itself",
        "it stopped: by hand",
        scenario_of(*REQUIRED, "And so"),
        steps="""
        @then("so")
        def so():
            assert False, "by hand"
    """,
    ),
    Case(
        "a step that swallows what nobody knows",
        "it is not_proven",
        scenario_of(*REQUIRED, "And so"),
        steps="""
        @then("so")
        def so(run):
            try:
                run.require("nobody knows")
            except Exception:
                pass
    """,
    ),
    Case(
        "a step that skips before anything is asked",
        "it was skipped: no",
        scenario_of("Given so", *REQUIRED),
        steps="""
        @given("so")
        def so():
            pytest.skip("no")
    """,
    ),
    Case(
        "a step that takes require away",
        "without requiring a check",
        scenario_of("Given so", *REQUIRED),
        steps="""
        @given("so")
        def so(monkeypatch):
            from harness.pytest_gate.engine import Run
            monkeypatch.setattr(Run, "require", lambda *_: None)
    """,
    ),
    Case(
        "a run that is not the run",
        "it stopped",
        steps="""
        @pytest.fixture
        def run(run):
            run.run_state.scenarios.clear()
            return type("Mild", (), {"observe": print, "require": print})()
    """,
    ),
)

CASES = (*OF_CHECKS, *OF_PROBES, *OF_STEPS)
