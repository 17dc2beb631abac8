"""Answers of the old and of the new platform to the same requests, and how they differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from pydantic import JsonValue
from typing_extensions import TypedDict

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

    # Old, new, old again; the new one is missing if it did not answer, the last one of a write.
    statuses: tuple[int, ...]
    noise: tuple[Difference, ...]
    differences: tuple[Difference, ...]
    old_ms: float
    new_ms: float | None
    old_bytes: int
    new_bytes: int | None


# By the name of the request.
Parity: TypeAlias = dict[str, Item[Compared]]


@dataclass(frozen=True, slots=True)
class Writes:
    """The requests that write, each sent once to each side: there is no noise to tell.

    ``left`` is what could not be removed, and why. ``by_hand``: Ctrl-C ended it before the last.
    """

    requests: Parity
    left: tuple[str, ...]
    by_hand: bool


class Sent(TypedDict):
    """The requests that write which one platform was sent and did not refuse, by name, in order.

    ``names`` are those that its later requests use, without secrets.
    """

    requests: list[str]
    names: dict[str, JsonValue]


# By the platform: old and new.
Sides: TypeAlias = dict[Literal["old", "new"], Sent]

PARITY = Fact("parity", Parity)
WRITES = Fact("parity-writes", Writes)
