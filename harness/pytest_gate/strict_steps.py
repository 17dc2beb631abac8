"""Refuses, at run time, steps that would pass without proving anything.

pytest-bdd calls a coroutine step without awaiting it, and drops the return value of a Then step:
both look like success.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from pytest_bdd.parser import Step

from harness.core.errors import NotProven
from harness.pytest_gate import bdd_internals

# The source of a sentence's definition, unless it is written by hand.
_SOURCES = {"given": "probe has the sentence", "then": "check is named"}


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
