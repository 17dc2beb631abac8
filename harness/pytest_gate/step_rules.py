"""Rules for steps that pytest-bdd has no setting for.

No step passes without proving anything: pytest-bdd calls a coroutine step without awaiting it, and
drops the return value of a Then step; both look like success.

A failing Then step does not stop the later Then steps: pytest-bdd ends a scenario at its first step
that raises, and a check that is NOT PROVEN would then hide a later check that is FAIL. The later
Then steps judge the observations so far; no probe runs and no fault is injected for them. A Given
or When step that fails, or that follows a failed Then step, still ends the scenario.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import takewhile

import pytest

from harness.core.errors import NotProven
from harness.pytest_gate import bdd_internals
from harness.pytest_gate.bdd_internals import Scenario, Step

# The source of a sentence's definition, unless it is written by hand.
_SOURCES = {"given": "probe has the sentence", "then": "check is named"}

_JUDGED = (AssertionError, NotProven)


class StepGuard:
    """Checks what steps return; ``step`` is the current one."""

    def __init__(self) -> None:
        self.step: Step | None = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """While the body runs, every step of pytest-bdd is checked."""
        with bdd_internals.calls_watched(self._inspect):
            yield

    def refuse_ambiguous(self, request: pytest.FixtureRequest) -> None:
        """NotProven when the current step has several definitions: pytest-bdd picks one of them."""
        if self.step is None:
            return
        found = bdd_internals.matching(request, self.step)
        if len(found) > 1:
            names = ", ".join(sorted(it.step_func.__module__ for it in found))
            raise NotProven(f"{len(found)} step definitions match “{self.step.name}”, in {names}")

    def _inspect(self, answer: object) -> object:
        if inspect.isawaitable(answer) or inspect.isasyncgen(answer):
            _close(answer)
            raise NotProven("the step is a coroutine, which nothing awaits: it did not run")
        if self.step is not None and self.step.type == "then" and answer is not None:
            raise NotProven(
                f"a Then step returned {answer!r}, which nothing looks at",
                remedy="call run.require(…) or raise; return nothing",
            )
        return answer


def undefined(kind: str, sentence: str) -> str:
    """The message that no step definition matches a sentence, with the closest one.

    ``kind`` is given, when or then: a probe's sentence is a Given, a check's name is a Then.
    """
    known = [it.parser.name for it in bdd_internals.definitions() if it.type in (None, kind)]
    near = difflib.get_close_matches(sentence, known, n=1, cutoff=0.8)
    hint = f"; did you mean “{near[0]}”?" if near else ""
    return f"no {_SOURCES.get(kind, 'step definition')} “{sentence}”{hint}"


def _close(answer: object) -> None:
    """Close a dropped coroutine, since Python warns about it otherwise."""
    close: Callable[[], None] | None = getattr(answer, "close", None)
    if close is not None:
        close()


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
