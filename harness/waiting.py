"""Wait on a condition, never on the clock alone: the one place of the harness that sleeps.

And the signals that end a command: all of them end it like Ctrl-C, and wait where they must.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

from harness.errors import TimedOut

T = TypeVar("T")

# What a person presses, what CI sends to a job that it cancels, and what a lost terminal sends.
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


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


def end_like_ctrl_c() -> None:
    """From now on SIGTERM and SIGHUP raise KeyboardInterrupt; what nohup ignores stays ignored.

    The lost terminal is replaced: to write to it would raise while things are taken back.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return
    leave = _terminal_lost()

    def hang_up(number: int, frame: FrameType | None) -> None:
        leave()
        signal.default_int_handler(number, frame)

    signal.signal(signal.SIGHUP, hang_up)


def _terminal_lost() -> Callable[[], None]:
    """What puts /dev/null in the place of the standard streams that are a terminal now."""
    terminals = [number for number in (0, 1, 2) if os.isatty(number)]

    def leave() -> None:
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in terminals:
            os.dup2(nothing, number)
        os.close(nothing)

    return leave


@contextmanager
def uninterrupted() -> Iterator[None]:
    """No signal of those that end a command ends the body: the first of them was heard already."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _ENDING}
    if before[signal.SIGHUP] is not signal.SIG_IGN:
        leave = _terminal_lost()
        signal.signal(signal.SIGHUP, lambda *_: leave())
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
