"""Kubernetes: the answers of its API servers, objects that are unavailable or stuck, its nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.facts.schema import Entry, Fact, Items, OrUnknown


@dataclass(frozen=True, slots=True)
class Certificate:
    """Its subject (RFC 4514) and the end of its validity, in UTC seconds since the epoch."""

    subject: str
    not_after: float


# In place of a status: the port is closed.
CLOSED = 0

ENDPOINTS = Fact("api-endpoints", Items)


@dataclass(frozen=True, slots=True)
class Readiness:
    """The answer of /readyz: its status, and the checks that the server lists as failed."""

    status: int
    failed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Namespace:
    """The answer for kube-system: all servers of one cluster give the same UID."""

    status: int
    uid: str | None


READINESS = Entry(ENDPOINTS, "readyz", Readiness)
NAMESPACE = Entry(ENDPOINTS, "namespace", Namespace)
CERTIFICATE = Entry(ENDPOINTS, "certificate", Certificate)
# The statuses that a client without credentials gets.
ANONYMOUS_API = Entry(ENDPOINTS, "anonymous api", int)
ANONYMOUS_KUBELET = Entry(ENDPOINTS, "anonymous kubelet", int)


@dataclass(frozen=True, slots=True)
class ApiService:
    """``available`` is the status of its condition, "absent" without one."""

    available: str
    message: str


@dataclass(frozen=True, slots=True)
class Terminating:
    """A namespace that is being deleted: since when (UTC seconds), and what blocks it.

    ``ours``: the harness made it.
    """

    since: float
    ours: bool
    messages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ApiObjects:
    """Every APIService, and every namespace that is being deleted, by name."""

    services: Mapping[str, OrUnknown[ApiService]]
    terminating: Mapping[str, OrUnknown[Terminating]]


OBJECTS = Fact("api-objects", ApiObjects)


@dataclass(frozen=True, slots=True)
class Node:
    """One node; ``taints`` are as kubectl writes them, ``conditions`` by type."""

    addresses: tuple[str, ...]  # of type InternalIP, in their usual form
    roles: tuple[str, ...]
    version: str  # of the kubelet
    conditions: Mapping[str, str]
    taints: tuple[str, ...]


NODES = Fact("nodes", dict[str, OrUnknown[Node]])  # by name
