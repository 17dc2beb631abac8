"""The harness's only use of pytest-bdd and pytest beyond their public names.

The names below are the same in pytest-bdd 8.1.0, 9.0.0 and 9.0.1; the last is the first that works
with pytest 9.2. ``pyproject.toml`` allows no newer minor version: read its ``scenario.py`` and
``steps.py`` before you raise it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest
from pytest_bdd.parser import Feature, Scenario, Step
from pytest_bdd.scenario import (
    _execute_step_function,
    find_fixturedefs_for_step,
    get_step_function,
    scenario_wrapper_template_registry,
)
from pytest_bdd.steps import StepFunctionContext as Definition
from pytest_bdd.steps import step_function_context_registry

from harness.pytest_gate.catalogue import scenario_id

__all__ = [
    "Definition",
    "Feature",
    "Scenario",
    "Step",
    "calls_watched",
    "definitions",
    "matching",
    "run_step",
    "scenario_of",
]

_CALL = "call_fixture_func"


def definitions() -> Sequence[Definition]:
    """Every step definition that has been imported."""
    return tuple(step_function_context_registry.values())


def matching(request: pytest.FixtureRequest, step: Step) -> Sequence[Definition]:
    """The step definitions that match a step, as seen from the test that runs it."""
    found = find_fixturedefs_for_step(step, request._fixturemanager, request.node)
    return [step_function_context_registry[it.func] for it in found]


def run_step(request: pytest.FixtureRequest, scenario: Scenario, step: Step) -> bool:
    """Run one step as pytest-bdd does, hooks included; False when no definition matches it."""
    found = get_step_function(request=request, step=step)
    if found is None:
        return False
    _execute_step_function(request, scenario, step, found)
    return True


@contextmanager
def calls_watched(watch: Callable[[object], object]) -> Iterator[None]:
    """While the body runs, each return value of a step function goes through ``watch``.

    pytest-bdd has no hook around the call.
    """
    # Imported by name: the package's attribute "scenario" is the function.
    module = importlib.import_module("pytest_bdd.scenario")
    call = getattr(module, _CALL)

    def watched(**arguments: object) -> object:
        return watch(call(**arguments))

    setattr(module, _CALL, watched)
    try:
        yield
    finally:
        setattr(module, _CALL, call)


def scenario_of(item: pytest.Item) -> str | None:
    """The catalogue's id of a test's scenario; None for a test without one."""
    if not isinstance(item, pytest.Function):
        return None
    template = scenario_wrapper_template_registry.get(item.obj)
    if template is None:
        return None
    features = item.config.rootpath / "features"
    file = template.feature.filename.removeprefix(f"{features}/")
    callspec = getattr(item, "callspec", None)
    row = callspec.params.get("_pytest_bdd_example", {}) if callspec else {}
    return scenario_id(file, template.name, row)
