"""Steps that would pass without having proven anything are refused while they run.

pytest-bdd calls a coroutine step without awaiting it, and drops what a Then step returns: both
look like success. It offers no hook around the call, so its call is wrapped here.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest
from pytest_bdd.parser import Step
from pytest_bdd.scenario import find_fixturedefs_for_step

from harness.errors import NotProven


class StepGuard:
    """Watches what steps return; ``step`` is the one under way."""

    def __init__(self) -> None:
        self.step: Step | None = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """While this is open, every step of pytest-bdd is watched."""
        # By its name: the package's attribute "scenario" is the function.
        module = importlib.import_module("pytest_bdd.scenario")
        call = module.call_fixture_func

        def watched(**arguments: Any) -> Any:
            return self._inspect(call(**arguments))

        with mock.patch.object(module, "call_fixture_func", watched):
            yield

    def refuse_ambiguous(self, request: pytest.FixtureRequest) -> None:
        """NotProven when the step under way has several definitions: one would win silently."""
        if self.step is None:
            return
        manager = request._fixturemanager
        found = list(find_fixturedefs_for_step(self.step, manager, request.node))
        if len(found) > 1:
            names = ", ".join(sorted(it.func.__module__ for it in found))
            raise NotProven(f"{len(found)} step definitions match “{self.step.name}”, in {names}")

    def _inspect(self, answer: Any) -> Any:
        if inspect.isawaitable(answer) or inspect.isasyncgen(answer):
            _close(answer)
            raise NotProven("the step is a coroutine, which nothing awaits: it did not run")
        if self.step is not None and self.step.type == "then" and answer is not None:
            raise NotProven(
                f"a Then step returned {answer!r}, which nothing looks at",
                remedy="call run.require(…) or raise; return nothing",
            )
        return answer


def _close(answer: Any) -> None:
    """A coroutine that is dropped without being closed would warn."""
    close: Callable[[], None] | None = getattr(answer, "close", None)
    if close is not None:
        close()
