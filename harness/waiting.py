"""Wait on a condition, never on the clock alone: the one place of the harness that sleeps.

And make Ctrl-C and SIGTERM wait, where what they would break off must be whole.
"""

from __future__ import annotations

import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar, cast

from harness.errors import TimedOut

T = TypeVar("T")

_UNLESS_S = 0.1
# What a person presses, and what CI sends to a job that it cancels.
_ENDING = (signal.SIGINT, signal.SIGTERM)


def until(
    look: Callable[[], T], *, within_s: float, what: str, every_s: float = 0.5, remedy: str = ""
) -> T:
    """Look again and again until ``look`` returns something true; return that.

    TimedOut after ``within_s`` seconds names ``what`` was awaited and the last answer seen.
    An exception from ``look`` passes through: catch inside it what may heal by itself.
    """
    deadline = time.monotonic() + within_s
    while True:
        last = look()
        if last:
            return last
        if time.monotonic() >= deadline:
            raise TimedOut(f"{what}: not within {within_s:g} s; last seen: {last!r}", remedy=remedy)
        time.sleep(min(every_s, max(0.0, deadline - time.monotonic())))  # noqa: TID251


def answer_of(call: Callable[[], T], unless: Callable[[], bool], *, what: str) -> T:
    """What a call returns or raises, made beside us; TimedOut as soon as ``unless`` says so.

    Then the call is left to itself, and whatever it still says is ignored.
    """
    answers: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def work() -> None:
        try:
            answers.put((call(), None))
        except BaseException as error:
            answers.put((None, error))

    threading.Thread(target=work, daemon=True).start()
    while not unless():
        try:
            value, error = answers.get(timeout=_UNLESS_S)
        except queue.Empty:
            continue
        if error is not None:
            raise error
        return cast("T", value)
    raise TimedOut(f"{what}: not before it was too much")


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Neither Ctrl-C nor SIGTERM ends the body: who sent the first of them was heard already."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
