"""A certificate."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Certificate:
    """Its subject (RFC 4514) and the end of its validity, in UTC seconds since the epoch."""

    subject: str
    not_after: float
