"""What a connection answered, or the TransportError that fits what came instead."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Callable
from typing import TypeVar

from harness.errors import Denied, NotListening, TimedOut, Unreachable
from harness.transport.deadline import hang_up, within

T = TypeVar("T")


def answered(
    call: Callable[[], T],
    what: str,
    within_s: float,
    connection: Callable[[], socket.socket | None],
    *,
    refusal: type[ssl.SSLError] = ssl.SSLError,
    because: str = "",
) -> T:
    """What the call returns within so many seconds; the call closes its connection.

    Raises Denied for an error of TLS that is a ``refusal``, ``because`` before what it says,
    NotListening when the port is closed, Unreachable or TimedOut when no answer comes.
    """
    try:
        return within(within_s, call, what=what, abandon=lambda: hang_up(connection()))
    except refusal as error:
        says = getattr(error, "verify_message", "") or error
        raise Denied(f"{what}: {because}{says}") from error
    except TimeoutError as error:
        raise TimedOut(f"{what}: no answer within {within_s:g} s") from error
    except ConnectionRefusedError as error:
        raise NotListening(f"{what}: connection refused") from error
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"{what}: {error or type(error).__name__}") from error
