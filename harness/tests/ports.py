"""Free ports for servers of tests that take a moment to listen."""

from __future__ import annotations

import socket
from contextlib import suppress
from random import sample

# Below those that the kernel gives to connections, which other tests make meanwhile.
_PORTS = range(20000, 32000)


def free_port(address: str = "127.0.0.1") -> int:
    """A port on which nothing listens."""
    for port in sample(_PORTS, 100):
        with suppress(OSError), socket.create_server((address, port)):
            return port
    raise AssertionError(f"none of a hundred ports of {address} is free")
