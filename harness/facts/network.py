"""How pods reach each other, services and names; what a policy denies; Cilium's report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, TypeAlias

from pydantic import Tag

from harness.facts.schema import Fact, OrUnknown, Timed, by_key

# An exchange over TCP: only its success counts.
Exchange: TypeAlias = Timed[None]
Addresses: TypeAlias = Timed[tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Datagrams:
    """The number that the receiver itself saw, of those sent; ``error`` is the sender's."""

    received: int
    bytes: int | None = None
    took_s: float | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """The result of one ordered pair: sent by one machine's pod, received by the other's."""

    small: Datagrams
    large: Datagrams  # as large as may pass unfragmented; ``bytes`` is that size
    tcp: Exchange
    bulk: Exchange
    service: Exchange


@dataclass(frozen=True, slots=True)
class NameServer:
    """The answer of a pod that serves DNS; ``on`` is its machine."""

    on: str
    value: tuple[str, ...] | None = None
    error: str | None = None
    took_s: float | None = None


@dataclass(frozen=True, slots=True)
class Names:
    """What a name resolved to in a pod, of the ``expected`` addresses."""

    expected: tuple[str, ...]
    resolver: Mapping[str, Addresses]  # by kind of name
    nameserver: Mapping[str, Addresses]  # by address, those of the pod's resolv.conf
    servers: Mapping[str, NameServer]  # by address, those of the pods that serve DNS


@dataclass(frozen=True, slots=True)
class PodNetwork:
    """``pairs`` by "A → B", ``names`` by machine; the pods on ``dns_on`` serve DNS."""

    pairs: Mapping[str, OrUnknown[Pair]]
    names: Mapping[str, OrUnknown[Names]]
    dns_on: tuple[str, ...]


POD_NETWORK = Fact("pod-network", PodNetwork)


@dataclass(frozen=True, slots=True)
class Talk:
    """What a pod's script reports of its peers, services and name servers."""

    small: Mapping[str, Exchange]
    large: Mapping[str, Exchange]
    tcp: Mapping[str, Exchange]
    bulk: Mapping[str, Exchange]
    service: Mapping[str, Exchange]
    resolver: Mapping[str, Addresses]
    nameserver: Mapping[str, Addresses]
    server: Mapping[str, Addresses]


@dataclass(frozen=True, slots=True)
class Clients:
    """Results of the connections of a friend, and of a stranger to the policy."""

    friend: Exchange
    stranger: Exchange


@dataclass(frozen=True, slots=True)
class Policy:
    """A server, before and after a policy for friends only, and when it denied the stranger."""

    before: Clients
    after: Clients
    denied_after_s: float | None


POLICY = Fact("network-policy", dict[str, OrUnknown[Policy]])  # by the server's machine


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an agent: Ok, Warning, Failure or Disabled."""

    state: str
    message: str


@dataclass(frozen=True, slots=True)
class Controller:
    """A controller that fails now: how often in a row, its last success (UTC seconds) if any."""

    name: str
    failures: int
    last_success: float | None
    message: str


@dataclass(frozen=True, slots=True)
class Reachable:
    """The nodes that Cilium's own health probes reach, and all nodes, by the agent's counts."""

    nodes: int
    of: int


@dataclass(frozen=True, slots=True)
class NotReady:
    """The agent's pod on a machine, if any, while it is not ready."""

    pod: str | None
    ready: bool


@dataclass(frozen=True, slots=True)
class Agent(NotReady):
    """The report of a ready agent; ``health`` is the state of its health probes."""

    parts: Mapping[str, Part]
    controllers: tuple[Controller, ...]
    health: str | None
    reachable: Reachable | None  # None: it does not say


_EITHER: TypeAlias = Annotated[
    Annotated[NotReady, Tag("<>")] | Annotated[Agent, Tag("<parts>")], by_key("parts")
]
CILIUM = Fact("cilium", _EITHER)
