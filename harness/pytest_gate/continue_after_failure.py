"""A failing Then step does not stop the later Then steps.

pytest-bdd ends a scenario at its first step that raises, and has no setting for it. A check that
cannot tell would hide one that can: NOT PROVEN where FAIL is true. The later Thens judge what was
observed by then; nothing is looked at or touched for them. A Given or When that breaks, or comes
after a failed Then, still ends the scenario.
"""

from __future__ import annotations

from itertools import takewhile

import pytest
from pytest_bdd.parser import Scenario, Step

from harness.errors import NotProven
from harness.pytest_gate import bdd_internals

_JUDGED = (AssertionError, NotProven)


def worst_from(
    request: pytest.FixtureRequest, scenario: Scenario, step: Step, error: Exception
) -> Exception:
    """Ask what comes after a step that raised; the worst of it: a failure before any doubt."""
    if step.type != "then" or not isinstance(error, _JUDGED):
        return error
    try:
        _ask_after(request, scenario, step)
    except Exception as later:  # it has asked what comes after it
        if isinstance(later, AssertionError) and not isinstance(error, AssertionError):
            return later
    return error


def _ask_after(request: pytest.FixtureRequest, scenario: Scenario, step: Step) -> None:
    """Run the Thens that follow the step, up to the first that raises."""
    after = scenario.steps[scenario.steps.index(step) + 1 :]
    for later in takewhile(lambda it: it.type == "then", after):
        if not bdd_internals.run_step(request, scenario, later):
            return  # the verdict says how many steps are missing
