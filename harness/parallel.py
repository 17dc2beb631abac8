"""Calls made side by side, each on a daemon thread: the end of a run does not wait for them.

``begin`` is one call, ``in_each`` one a key with deadlines of its own, ``side_by_side`` one a key
within a deadline, and ``answer_of`` one that is given up when there is a reason.
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

from harness.errors import HarnessError, TimedOut
from harness.notices import collecting

T = TypeVar("T")
# What a call waits for before it begins, by its key: a place among those that run at a time.
Turn: TypeAlias = Callable[[str], AbstractContextManager[object]]

_UNLESS_S = 0.1


def begin(call: Callable[[], T], *, name: str | None = None) -> Future[T]:
    """Make a call on a thread of its own; the Future has what it returns or raises.

    The thread is a daemon, unlike those of ThreadPoolExecutor: a process that ends does not wait
    for it.
    """
    answer: Future[T] = Future()

    def run() -> None:
        try:
            answer.set_result(call())
        except BaseException as error:  # raised where the result is asked for
            answer.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return answer


def in_each(
    keys: Iterable[str], work: Callable[[str], T], *, at_once: int | None = None
) -> dict[str, T | HarnessError]:
    """What ``work`` returns for each key, side by side, or the HarnessError that it raised.

    ``at_once`` is how many are under way at a time; None: all. It waits for all of them, as
    ``work`` has a deadline of its own; then it raises any other error.
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
    """What one of several calls gave back; ``at`` is when it began (UTC seconds since the epoch).

    ``took_s`` is its duration. ``notices`` are what else the report must say, such as what the call
    could not remove.
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
    """Begin all calls now, each when it is its turn; yield each answer as it comes.

    A call that raises, or that has not come back ``within_s`` seconds after it began, is an answer
    with an error. The thread of the latter is abandoned, and what it says later is ignored.
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
    """What a call gives back within its time."""
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
    """What an error says; one that is none of the harness's own with its type."""
    text = str(problem)
    return text if isinstance(problem, HarnessError) else f"{type(problem).__name__}: {text}"


def answer_of(call: Callable[[], T], unless: Callable[[], bool], *, what: str) -> T:
    """What a call returns or raises; TimedOut as soon as ``unless`` says so.

    Then the call is left to itself, and what it says later is ignored.
    """
    answer = begin(call, name=what)
    while not unless():
        try:
            return answer.result(timeout=_UNLESS_S)
        except TimeoutError:
            if answer.done():
                raise
    raise TimedOut(f"{what}: not before it was too much")
