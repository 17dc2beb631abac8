"""A profile's declaration of requests that the old and the new platform must answer alike."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from harness.core.declared import ParityRule
from harness.settings.drills import UrlPath
from harness.settings.files import Frozen
from harness.settings.places import IPv4, PortNumber
from harness.settings.services import Host

# No rule may touch these: a 404 is not a 200 (diffy#75).
_WHOLE = ("status", "answer")


def _is_expression(given: str) -> str:
    try:
        re.compile(given)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return given


class Front(Frozen):
    """Where a platform takes requests."""

    # Its address.
    address: IPv4
    # The scheme of requests.
    scheme: Literal["http", "https"] = "http"
    # None: 80 for http, 443 for https.
    port: PortNumber | None = None


class ParityRequest(Frozen):
    """A request that changes nothing, sent to both platforms."""

    # The method; another would change something.
    method: Literal["GET", "HEAD", "OPTIONS"] = "GET"
    # The Host header.
    host: Host
    # The host on the new platform, where that changes on purpose.
    new_host: Host | None = None
    # The path, with its query.
    path: UrlPath
    # More header fields.
    headers: Mapping[str, str] = {}


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
    old: Front
    # The new platform's front.
    new: Front
    # Each request, by a name for reports.
    requests: Mapping[str, ParityRequest] = Field(min_length=1)
    # What may differ.
    rules: tuple[Rule, ...] = ()

    def declared(self) -> tuple[ParityRule, ...]:
        """The rules in the form for checks."""
        return tuple(
            ParityRule(requests=it.requests, at=it.at, text=it.text, because=it.because)
            for it in self.rules
        )
