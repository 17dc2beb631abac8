"""A wall-clock limit around a blocking call.

Socket timeouts count from the last byte, so a slow peer can block a caller for ever. Here the call
runs on its own thread, which is abandoned when the time is up.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import TypeVar

from harness.core.errors import TimedOut
from harness.core.parallel import begin

T = TypeVar("T")


def within(
    within_s: float, call: Callable[[], T], *, what: str, abandon: Callable[[], object]
) -> T:
    """What ``call`` returns, or TimedOut, naming ``what``, after ``within_s`` seconds.

    ``abandon`` then ends the connection on which the call blocks, and with it the thread. It may
    block itself, on a connection that takes no more bytes, so it runs on a thread without a wait.
    It hangs a socket up and never closes it: see ``hang_up``.
    """
    answer = begin(call, name=f"within {within_s:g} s: {what}")
    try:
        return answer.result(timeout=max(0.0, within_s))
    except TimeoutError:
        if answer.done():
            raise
        begin(abandon, name=f"abandon: {what}")
        raise TimedOut(f"{what}: no answer within {within_s:.1f} s") from None


def hang_up(connection: socket.socket | None) -> None:
    """End a connection that another thread may be reading from; that thread closes it.

    Closing it here would free its number while OpenSSL still reads from that number. The next
    connection with that number would lose bytes to OpenSSL.
    """
    if connection is not None:
        with contextlib.suppress(OSError):
            socket.socket.shutdown(connection, socket.SHUT_RDWR)
