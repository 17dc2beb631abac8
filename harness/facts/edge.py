"""Facts from outside: a service of the load balancer, and sites behind the ingress."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, TypeAlias

from pydantic import Tag

from harness.facts.certificates import Certificate
from harness.facts.schema import Answered, Fact, Failed, Known, OrUnknown, Timed, Unknown, by_key


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
