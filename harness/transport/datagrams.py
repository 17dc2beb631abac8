"""Datagrams sent from outside, and what comes back: an answer, a refusal, or nothing."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Mapping
from contextlib import ExitStack

from harness.errors import Unreachable
from harness.transport.protocols import Echoed

# Datagrams get lost: each is sent this often, this far apart.
_ROUNDS = 6
_EVERY_S = 0.5


def send(address: str, payloads: Mapping[int, bytes]) -> Echoed:
    """Send each UDP port its payload until it answers or refuses, for three seconds.

    A refusal is ICMP's "port unreachable". Raises Unreachable when there is no way there at all.
    """
    answered: set[int] = set()
    refused: set[int] = set()
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with ExitStack() as held, selectors.DefaultSelector() as selector:
        ways: dict[int, socket.socket] = {}
        for port in payloads:
            way = held.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            way.setblocking(False)
            _connect(way, address, port)
            selector.register(way, selectors.EVENT_READ, port)
            ways[port] = way
        for _ in range(_ROUNDS):
            for port, way in ways.items():
                if port not in answered | refused and not _sent(way, payloads[port]):
                    refused.add(port)
            end = time.monotonic() + _EVERY_S
            while (left := end - time.monotonic()) > 0:
                for key, _mask in selector.select(left):
                    heard = answered if _heard(ways[key.data]) else refused
                    heard.add(key.data)
    return Echoed(answered=tuple(sorted(answered)), refused=tuple(sorted(refused - answered)))


def _connect(way: socket.socket, address: str, port: int) -> None:
    try:
        way.connect((address, port))
    except OSError as error:
        raise Unreachable(f"{address}: {error.strerror}: is there a way from here?") from error


def _sent(way: socket.socket, payload: bytes) -> bool:
    """False when an earlier one was refused; a full buffer is like a datagram that is lost."""
    try:
        way.send(payload)
    except ConnectionRefusedError:
        return False
    except OSError:
        return True
    return True


def _heard(way: socket.socket) -> bool:
    """True when something answered, false when it was refused."""
    try:
        way.recv(2048)
    except OSError:
        return False
    return True
