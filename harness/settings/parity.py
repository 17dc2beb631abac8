"""A profile's declaration of requests that the old and the new platform must answer alike."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, JsonValue, model_validator

from harness.core.declared import PORT_OF
from harness.core.declared_platform import ParityRule
from harness.core.names import GIVEN, names_in
from harness.settings.field_types import (
    READING,
    Host,
    IPv4,
    Method,
    Pointer,
    PortNumber,
    UrlPath,
    Variable,
)
from harness.settings.files import Frozen

# No rule may touch these: a 404 is not a 200 (diffy#75).
_WHOLE = ("status", "answer")


def _is_expression(given: str) -> str:
    try:
        re.compile(given)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return given


class WebAddress(Frozen):
    """Where a platform takes requests."""

    # Its address.
    address: IPv4
    # The scheme of requests.
    scheme: Literal["http", "https"] = "http"
    # None: 80 for http, 443 for https.
    port: PortNumber | None = None

    @property
    def number(self) -> int:
        """The port, or that of the scheme."""
        return self.port or PORT_OF[self.scheme]


class SentRequest(Frozen):
    """A request as it is sent."""

    # The method.
    method: Method = "GET"
    # The Host header.
    host: Host
    # The host on the new platform, where that changes on purpose.
    new_host: Host | None = None
    # The path, with its query.
    path: UrlPath
    # More header fields.
    headers: Mapping[str, str] = {}
    # Sent as JSON.
    body: JsonValue = None

    def names(self) -> set[str]:
        """The names in its texts."""
        return set(names_in([self.path, self.headers, self.body]))


class ParityRequest(SentRequest):
    """A request that both platforms must answer alike.

    One that reads is sent to the old platform twice. One that writes is sent once to each side, and
    only with --allow-disruption; in its path, header fields and body, ``{customer}``, ``{number}``
    and ``{password}`` are a new customer's, and ``{NAME}`` is what an earlier one keeps.
    """

    # True for a request that changes something.
    writes: bool = False
    # True for a host or path that no service serves, on purpose: the ingress's own 404 is compared.
    unrouted: bool = False
    # What later requests use, by JSON pointer in each side's own answer: `user: /id`.
    keep: Mapping[Variable, Pointer] = {}
    # Requests that remove what it made, on each side, with any status below 400, or 404. They are
    # sent at the end, so their names may come from later requests.
    removes: tuple[SentRequest, ...] = ()

    @model_validator(mode="after")
    def _says_that_it_writes(self) -> Self:
        if self.method not in READING and not self.writes:
            raise ValueError(f"{self.method} changes something: say `writes: true`")
        if (self.keep or self.removes) and not self.writes:
            raise ValueError("only a request that writes has `keep:` and `removes:`")
        return self


class Rule(Frozen):
    """What may differ between two answers, and why.

    Places are ``header NAME``, ``cookie NAME``, ``body /JSON/POINTER`` or ``body line NUMBER``; a
    status is no place that may differ.
    """

    # A pattern for the names of requests.
    requests: str = "*"
    # A pattern for places: "header server", "body /items/*/updated_at", "body line *".
    at: str = Field(min_length=1)
    # A regular expression; only what it matches may differ. Without one, all of the place may.
    text: Annotated[str, AfterValidator(_is_expression)] | None = None
    # The reason, for reports.
    because: str = Field(min_length=1)

    @model_validator(mode="after")
    def _leaves_the_status(self) -> Self:
        if any(fnmatchcase(place, self.at) for place in _WHOLE):
            raise ValueError(f"{self.at!r} would hide a status: begin with header, cookie or body")
        return self


class Parity(Frozen):
    """The same requests to the old and the new platform."""

    # The old platform's front.
    old: WebAddress
    # The new platform's front.
    new: WebAddress
    # Each request, by a name for reports.
    requests: Mapping[str, ParityRequest] = Field(min_length=1)
    # What may differ.
    rules: tuple[Rule, ...] = ()

    @model_validator(mode="after")
    def _knows_its_names(self) -> Self:
        known = set(GIVEN)
        for name, request in self.writes.items():
            if used := request.names() - known:
                raise ValueError(f"{name}: no earlier request keeps {', '.join(sorted(used))}")
            known |= request.keep.keys()
        for name, request in self.writes.items():
            used = {it for removal in request.removes for it in removal.names()} - known
            if used:
                raise ValueError(f"{name}, removes: no request keeps {', '.join(sorted(used))}")
        return self

    @property
    def reads(self) -> dict[str, ParityRequest]:
        """The requests that change nothing, by name."""
        return {name: it for name, it in self.requests.items() if not it.writes}

    @property
    def writes(self) -> dict[str, ParityRequest]:
        """The requests that change something, by name, in the order in which they are sent."""
        return {name: it for name, it in self.requests.items() if it.writes}

    def declared(self) -> tuple[ParityRule, ...]:
        """The rules in the form for checks."""
        return tuple(
            ParityRule(requests=it.requests, at=it.at, text=it.text, because=it.because)
            for it in self.rules
        )
