"""Wait for a condition, never for a fixed time: the only place in the harness that sleeps.

Also handles the signals that end a command: each acts like Ctrl-C, and waits where it must.
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

from harness.core.errors import TimedOut

T = TypeVar("T")

# The reason of what an operator ended.
BY_HAND = "stopped by hand"
# Sent by Ctrl-C, by CI to a cancelled job, and by a lost terminal.
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def until(
    look: Callable[[], T], *, within_s: float, what: str, every_s: float = 0.5, remedy: str = ""
) -> T:
    """Call ``look`` again and again until it returns something true; return that.

    TimedOut after ``within_s`` seconds names ``what`` was awaited and the last answer. An exception
    from ``look`` passes through: ``look`` must catch errors that may heal by themselves.
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

    A lost terminal is replaced by /dev/null: a write to it would raise during an undo.
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
    """A function that replaces the standard streams on a terminal with /dev/null."""
    terminals = [number for number in (0, 1, 2) if os.isatty(number)]

    def leave() -> None:
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in terminals:
            os.dup2(nothing, number)
        os.close(nothing)

    return leave


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Signals that end a command do not end the body: the first one was handled already."""
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
