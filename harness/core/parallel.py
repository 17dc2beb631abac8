"""Calls side by side, each on a thread that the end of the process does not wait for.

``begin`` makes one call. ``in_each`` makes one call per key, each with its own deadline.
``side_by_side`` makes one call per key within a deadline. ``answer_of`` makes one call that can be
abandoned.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias, TypeVar

from harness.core.errors import HarnessError, TimedOut
from harness.core.notices import collecting

T = TypeVar("T")
# Limits how many calls run at a time: a call enters it, by its key, before it begins.
Turn: TypeAlias = Callable[[str], AbstractContextManager[object]]

_UNLESS_S = 0.1


def begin(call: Callable[[], T], *, name: str | None = None) -> Future[T]:
    """Make a call on its own thread; the Future has its result or its error.

    The thread is a daemon, unlike those of ThreadPoolExecutor: the end of the process does not wait
    for it.
    """
    answer: Future[T] = Future()

    def run() -> None:
        try:
            answer.set_result(call())
        except BaseException as error:  # the Future's caller gets it
            answer.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return answer


def in_each(
    keys: Iterable[str], work: Callable[[str], T], *, at_once: int | None = None
) -> dict[str, T | HarnessError]:
    """Call ``work`` for each key side by side: its result, or the HarnessError that it raised.

    ``at_once`` limits how many calls run at a time; None: all. The function waits for all calls, as
    ``work`` has its own deadline, and then raises any other error.
    """
    place = nullcontext() if at_once is None else threading.BoundedSemaphore(at_once)

    def safely(key: str) -> T | HarnessError:
        with place:
            try:
                return work(key)
            except HarnessError as error:
                return error

    calls = {key: begin(partial(safely, key)) for key in keys}
    for call in calls.values():
        call.exception()
    return {key: call.result() for key, call in calls.items()}


@dataclass(frozen=True, slots=True)
class CallResult:
    """The result of one of several calls; ``at`` is its start (UTC seconds since the epoch).

    ``took_s`` is its duration. ``notices`` are further lines for the report, such as an object that
    the call could not remove.
    """

    key: str
    value: Any
    error: str | None
    at: float
    took_s: float
    notices: Sequence[str] = ()


def side_by_side(
    calls: Mapping[str, Callable[[], Any]],
    *,
    within_s: float,
    turn: Turn = lambda _: nullcontext(),
) -> Iterator[CallResult]:
    """Begin all calls now, each in its turn; yield each result as it arrives.

    A call that raises, or that takes longer than ``within_s`` seconds, yields a result with an
    error. After a timeout, the call's thread is abandoned and its later result is ignored.
    """
    answers: queue.SimpleQueue[CallResult] = queue.SimpleQueue()

    def ask(key: str, call: Callable[[], Any]) -> None:
        with turn(key):
            answer = _answer(key, call, within_s)
        answers.put(answer)

    for key, call in calls.items():
        begin(partial(ask, key, call), name=f"look: {key}")
    return (answers.get() for _ in calls)


def _answer(key: str, call: Callable[[], Any], within_s: float) -> CallResult:
    """A call's result within its deadline."""
    at, began = time.time(), time.monotonic()

    def asked() -> CallResult:
        value, error = None, None
        with collecting() as told:
            try:
                value = call()
            except Exception as problem:
                error = in_words(problem)
        return CallResult(key, value, error, at, time.monotonic() - began, told)

    try:
        return begin(asked, name=f"look: {key}").result(timeout=within_s)
    except TimeoutError:
        late = f"no answer within {within_s:g} s"
        return CallResult(key, None, late, at, time.monotonic() - began)


def in_words(problem: Exception) -> str:
    """An error's text; for an error from outside the harness, with its type."""
    text = str(problem)
    return text if isinstance(problem, HarnessError) else f"{type(problem).__name__}: {text}"


def answer_of(call: Callable[[], T], unless: Callable[[], bool], *, what: str) -> T:
    """A call's result or its error; TimedOut as soon as ``unless`` is true.

    The abandoned call goes on, and its later result is ignored.
    """
    answer = begin(call, name=what)
    while not unless():
        try:
            return answer.result(timeout=_UNLESS_S)
        except TimeoutError:
            if answer.done():
                raise
    raise TimedOut(f"{what}: aborted before it answered")
