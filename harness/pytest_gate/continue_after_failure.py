"""All that is wrong is told: a Then that is red keeps none of those after it from being asked.

pytest-bdd ends a scenario at its first step that raises, and has no setting for it: the later ones
are run here as it does itself, by a function of its own that is not public. A check
that cannot tell would else hide one that can: NOT PROVEN where FAIL is true. All of them judge
what was seen by then, so nothing is looked at or touched for it. A Given or When that breaks, or
comes after a red Then, ends the scenario as ever.
"""

from __future__ import annotations

from itertools import takewhile

import pytest
from pytest_bdd.parser import Scenario, Step
from pytest_bdd.scenario import _execute_step_function, get_step_function

from harness.errors import NotProven

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
        found = get_step_function(request=request, step=later)
        if found is None:  # the verdict says how many steps are missing
            return
        _execute_step_function(request, scenario, later, found)
