"""Messages that wait in queues, and keys of sessions, counted on both sides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.facts.schema import Fact, Item


@dataclass(frozen=True, slots=True)
class Sides:
    """Numbers by name on both sides."""

    source: Mapping[str, int]
    target: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class QueuesAndSessions:
    """Messages by queue (VHOST/NAME), and keys by their prefix."""

    queues: Item[Sides]
    sessions: Item[Sides]


QUEUES_AND_SESSIONS = Fact("queues-and-sessions", QueuesAndSessions)
