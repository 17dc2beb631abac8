"""The ports that answer at a machine's outside addresses, and what the machine saw of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from harness.facts.schema import Fact, Item, Known

# An address of the machine and a port.
Place: TypeAlias = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Tcp:
    """All TCP ports of an address: which are open, how many refused, how many were silent."""

    open: tuple[int, ...]
    refused: int
    silent: int


@dataclass(frozen=True, slots=True)
class Udp:
    """The UDP ports of an address that were asked, and those that answered or refused.

    ``asked`` has the program that listens, ``of_cluster`` the Service or pod that takes the port
    without a socket.
    """

    asked: Mapping[int, str]
    answered: tuple[int, ...]
    refused: tuple[int, ...]
    of_cluster: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Socket:
    """A socket that listens; one at ``::`` takes both families, or IPv6 alone."""

    protocol: str
    address: str
    port: int
    program: str
    device: str = ""
    both: bool = False


@dataclass(frozen=True, slots=True)
class Before:
    """The first line of ``sockets_script``: the listeners before datagrams are sent."""

    sockets: tuple[Socket, ...]
    addresses: tuple[str, ...]  # the machine's own


@dataclass(frozen=True, slots=True)
class After:
    """Its second line: the listeners afterwards, and where the datagrams went."""

    sockets: tuple[Socket, ...]
    arrived: tuple[Place, ...]  # on a network card, before any firewall
    passed: tuple[Place, ...]  # the firewall
    forwarded: tuple[Place, ...]  # by another interface


@dataclass(frozen=True, slots=True)
class Listening(After):
    """The machine's report."""

    addresses: tuple[str, ...]


def _none_odd() -> Known[Mapping[str, str]]:
    return Known({})


@dataclass(frozen=True, slots=True)
class Exposed:
    """``tcp`` and ``udp`` by address; ``cluster``: why a Service or pod is not understood."""

    tcp: Mapping[str, Item[Tcp]]
    udp: Mapping[str, Item[Udp]]
    machine: Item[Listening]
    cluster: Item[Mapping[str, str]] = field(default_factory=_none_odd)


OPEN_PORTS = Fact("open-ports", Exposed)
