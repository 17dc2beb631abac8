"""Calls that are made side by side, each in a thread of its own."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from harness.errors import HarnessError
from harness.notices import collecting

T = TypeVar("T")
# What a call waits for before it begins, by its key: a place among those that run at a time.
Turn: TypeAlias = Callable[[str], AbstractContextManager[object]]


@dataclass(frozen=True, slots=True)
class Answer:
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
) -> Iterator[Answer]:
    """Begin all calls now, each when it is its turn; yield each answer as it comes.

    A call that raises, or that has not come back ``within_s`` seconds after it began, is an answer
    with an error. The thread of the latter is abandoned, and what it says later is ignored.
    """
    answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()

    def ask(key: str, work: Callable[[], Any]) -> None:
        with turn(key):
            answers.put(_answer(key, work, within_s))

    for key, work in calls.items():
        _start(ask, key, work)
    return (answers.get() for _ in calls)


def _answer(key: str, work: Callable[[], Any], within_s: float) -> Answer:
    """What a call gives back within its time."""
    answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
    at, began = time.time(), time.monotonic()

    def call() -> None:
        value, error = None, None
        with collecting() as told:
            try:
                value = work()
            except Exception as problem:
                error = in_words(problem)
        answers.put(Answer(key, value, error, at, time.monotonic() - began, told))

    _start(call)
    try:
        return answers.get(timeout=within_s)
    except queue.Empty:
        late = f"no answer within {within_s:g} s"
        return Answer(key, None, late, at, time.monotonic() - began)


def _start(work: Callable[..., None], *arguments: Any) -> None:
    threading.Thread(target=work, args=arguments, daemon=True).start()


def in_words(problem: Exception) -> str:
    """What an error says; one that is none of the harness's own with its type."""
    text = str(problem)
    return text if isinstance(problem, HarnessError) else f"{type(problem).__name__}: {text}"


def in_each(
    keys: Iterable[str], work: Callable[[str], T], *, at_once: int | None = None
) -> dict[str, T | HarnessError]:
    """What ``work`` returns for each key, side by side, or the HarnessError that it raised.

    ``at_once`` is how many are under way at a time; None: all. It waits for all of them: ``work``
    has a deadline of its own.
    """

    def safely(key: str) -> T | HarnessError:
        try:
            return work(key)
        except HarnessError as error:
            return error

    wanted = list(keys)
    with ThreadPoolExecutor(max_workers=at_once or max(1, len(wanted))) as pool:
        return dict(zip(wanted, pool.map(safely, wanted), strict=True))
