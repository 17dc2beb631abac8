"""Wait for a condition, never for a fixed time: the only place in the harness that sleeps."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from harness.core.errors import TimedOut

T = TypeVar("T")


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
