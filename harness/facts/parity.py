"""Answers of the old and of the new platform to the same requests, and how they differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from harness.facts.schema import Fact, Item


@dataclass(frozen=True, slots=True)
class Difference:
    """A place where two answers differ, and both texts there.

    A place is ``status``, ``answer``, ``header server``, ``cookie sid``, ``body /id`` or
    ``body line 3``. Long texts are cut, and end with their digest.
    """

    at: str
    old: str
    other: str


@dataclass(frozen=True, slots=True)
class Compared:
    """A request's three answers: twice of the old platform, once of the new one.

    ``noise`` is how the old platform's answers differ from each other, ``differences`` how the new
    platform's differs from the old one's first. Times are in milliseconds, sizes in bytes.
    """

    statuses: tuple[int, ...]  # old, new, old again; the new one is missing if it did not answer
    noise: tuple[Difference, ...]
    differences: tuple[Difference, ...]
    old_ms: float
    new_ms: float | None
    old_bytes: int
    new_bytes: int | None


# By the name of the request.
Parity: TypeAlias = dict[str, Item[Compared]]

PARITY = Fact("parity", Parity)
