"""The services of the platform on Kubernetes, and what they registered elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from harness.facts.schema import Fact, Item


@dataclass(frozen=True, slots=True)
class Service:
    """A Service: its type, and by TCP port the number of ready addresses behind it.

    Callers of a headless Service connect to its pods, so its ports are those of the pods.
    """

    type: str
    ready: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Call:
    """A connection by name, from a pod: why it failed, or None; and how long it took."""

    error: str | None
    took_ms: float | None


@dataclass(frozen=True, slots=True)
class Read:
    """A service's answer to a read of its database.

    ``says`` is whether it contains the declared text, ``fields`` are its declared fields that are
    there, by JSON pointer and as JSON. ``error`` is why there was no answer.
    """

    error: str | None
    status: int | None
    says: bool
    fields: Mapping[str, str]
    excerpt: str
    took_ms: float


@dataclass(frozen=True, slots=True)
class Caller:
    """The calls of one service from its ``pod``, by NAME:PORT under the Swarm."""

    pod: str
    calls: Mapping[str, Item[Call]]
    read: Item[Read] | None


# By the name that callers use; None when there is no such Service.
Services: TypeAlias = dict[str, Item[Service | None]]
# The entries that a declared command listed, by the declared name.
Registrations: TypeAlias = dict[str, Item[tuple[str, ...]]]

SERVICES = Fact("services", Services)
CALLS = Fact("service-calls", dict[str, Item[Caller]])
REGISTRATIONS = Fact("registrations", Registrations)
