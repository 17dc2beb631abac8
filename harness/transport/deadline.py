"""A wall-clock limit around a blocking call.

Timeouts of sockets count from the last byte, so a peer that dribbles can hold a caller for ever.
Here the call runs on a thread of its own, which is abandoned when the time is up.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import TypeVar

from harness.errors import TimedOut
from harness.parallel import begin

T = TypeVar("T")


def within(
    within_s: float, call: Callable[[], T], *, what: str, abandon: Callable[[], object]
) -> T:
    """What ``call`` returns, or TimedOut, naming ``what``, after ``within_s`` seconds.

    ``abandon`` then ends whatever the call blocks on, and with it its thread. It may block itself,
    on a connection that takes no more bytes, so nobody waits for it. A socket is hung up, never
    closed: see ``hang_up``.
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

    Closing it here would free its number while OpenSSL still reads from that number, and whoever
    opens the next connection would lose bytes to it.
    """
    if connection is not None:
        with contextlib.suppress(OSError):
            socket.socket.shutdown(connection, socket.SHUT_RDWR)
