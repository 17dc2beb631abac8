"""The signals that end a command: each acts like Ctrl-C, and waits where it must."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

# The reason of what an operator ended.
BY_HAND = "stopped by hand"
# Sent by Ctrl-C, by CI to a cancelled job, and by a lost terminal.
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


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
