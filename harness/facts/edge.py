"""Facts from outside: a load balancer's service, sites behind the ingress, and open ports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, TypeAlias

from pydantic import Tag

from harness.facts.kubernetes import Certificate
from harness.facts.schema import (
    Answered,
    Fact,
    Failed,
    Item,
    Known,
    OrUnknown,
    Timed,
    Unknown,
    by_key,
)

# Too Many Requests (RFC 6585): a server limits one client. An ingress counts by source address,
# and all requests of the harness have one: a 429 proves nothing about service to customers.
TOO_MANY = 429
# Traefik sends the first two; others are the drafts that proxies and services follow.
_NOTED = ("retry-after", "x-retry-in", "ratelimit", "x-ratelimit", "x-rate-limit")
_MOST = 40
# An address of the machine and a port.
Place: TypeAlias = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Balanced:
    """The harness's service: its outside address, and what the cluster ``said`` of it.

    ``answer`` is the name of the pod that answers there. ``taken`` are the addresses of all other
    services.
    """

    address: str | None
    given_after_s: float | None
    said: str
    answer: Timed[str] | None
    taken: tuple[str, ...]


LOAD_BALANCER = Fact("load-balancer", Balanced)


@dataclass(frozen=True, slots=True)
class Limited:
    """The ingress answered 429 to the harness's address; the text says its limit."""

    limited: str
    took_s: float | None = None


@dataclass(frozen=True, slots=True)
class Invalid:
    """A certificate is not valid, and why."""

    denied: str


@dataclass(frozen=True, slots=True)
class Page:
    """The answer of a page; ``said``: the declared words are in it. A redirect has a location."""

    status: int
    said: bool
    location: str


Visit: TypeAlias = Annotated[
    Annotated[Answered[str], Tag("<>")]
    | Annotated[Failed, Tag("<error>")]
    | Annotated[Limited, Tag("<limited>")],
    by_key("limited", "error"),
]
StatusAnswer: TypeAlias = Annotated[
    Annotated[Known[int], Tag("<>")]
    | Annotated[Unknown, Tag("<error>")]
    | Annotated[Limited, Tag("<limited>")],
    by_key("limited", "error"),
]
PageAnswer: TypeAlias = Annotated[
    Annotated[Known[Page], Tag("<>")]
    | Annotated[Unknown, Tag("<error>")]
    | Annotated[Limited, Tag("<limited>")],
    by_key("limited", "error"),
]
Shown: TypeAlias = Annotated[
    Annotated[Known[Certificate], Tag("<>")]
    | Annotated[Unknown, Tag("<error>")]
    | Annotated[Invalid, Tag("<denied>")],
    by_key("denied", "error"),
]


@dataclass(frozen=True, slots=True)
class Site:
    """The harness's own site at one address.

    ``ours`` is the name of the pod that answered, ``stranger`` the status for a host without a
    route. There is no certificate over plain HTTP.
    """

    ours: Visit
    stranger: StatusAnswer
    certificate: Shown | None = None


@dataclass(frozen=True, slots=True)
class Sites:
    """The harness's site by address; declared pages by "URL at address", certificates by host."""

    sites: Mapping[str, OrUnknown[Site]]
    declared: Mapping[str, Shown]
    pages: Mapping[str, PageAnswer] = field(default_factory=dict)


INGRESS = Fact("ingress", Sites)


def stated_limit(headers: Mapping[str, str]) -> str:
    """What a 429 says about its limit, verbatim: ``retry-after: 2, x-retry-in: 1.9s``.

    Header names are in small letters; empty if it says none.
    """
    noted = (name for name in sorted(headers) if name.startswith(_NOTED))
    return ", ".join(f"{name}: {headers[name][:_MOST]}" for name in noted)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """How long a 429 says to wait; None if it does not say, or names a date instead."""
    said = headers.get("retry-after", "").strip()
    return float(said) if said.isascii() and said.isdigit() else None


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
