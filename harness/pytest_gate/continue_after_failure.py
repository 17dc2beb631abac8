"""A failing Then step does not stop the later Then steps.

pytest-bdd ends a scenario at its first step that raises, and has no setting for it. A check that is
NOT PROVEN would then hide a later check that is FAIL. The later Then steps judge the observations
so far; no probe runs and no fault is injected for them. A Given or When step that fails, or that
follows a failed Then step, still ends the scenario.
"""

from __future__ import annotations

from itertools import takewhile

import pytest
from pytest_bdd.parser import Scenario, Step

from harness.core.errors import NotProven
from harness.pytest_gate import bdd_internals

_JUDGED = (AssertionError, NotProven)


def worst_from(
    request: pytest.FixtureRequest, scenario: Scenario, step: Step, error: Exception
) -> Exception:
    """Run the later Then steps after a failed one; the worst error: FAIL before NOT PROVEN."""
    if step.type != "then" or not isinstance(error, _JUDGED):
        return error
    try:
        _ask_after(request, scenario, step)
    except Exception as later:  # it has run the steps after it
        if isinstance(later, AssertionError) and not isinstance(error, AssertionError):
            return later
    return error


def _ask_after(request: pytest.FixtureRequest, scenario: Scenario, step: Step) -> None:
    """Run the Then steps that follow, up to the first that raises."""
    after = scenario.steps[scenario.steps.index(step) + 1 :]
    for later in takewhile(lambda it: it.type == "then", after):
        if not bdd_internals.run_step(request, scenario, later):
            return  # the verdict says how many steps are missing
