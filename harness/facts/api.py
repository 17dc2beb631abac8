"""The Kubernetes API: how each server answers, and objects that are unavailable or stuck."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.facts.certificates import Certificate
from harness.facts.schema import Entry, Fact, Items, OrUnknown

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
