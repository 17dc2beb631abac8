"""Loads that were offered to the ingress, stage by stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from harness.facts.schema import Fact, Item


@dataclass(frozen=True, slots=True)
class Stage:
    """The requests of one stage: planned, begun on time, answered, failed by kind, limited by host.

    A percentile is None if too many requests had no answer.
    """

    planned: int
    on_time: int
    answered: int
    errors: Mapping[str, int]
    limited: Mapping[str, int]
    p50_ms: float | None
    p99_ms: float | None

    @property
    def failed(self) -> int:
        return sum(self.errors.values())


@dataclass(frozen=True, slots=True)
class Offered:
    """A load by its stages; ``troubles`` say why it proves nothing.

    ``busy_percent`` is the generator's part of one processor; None if it did not say so.
    """

    stages: Mapping[str, Stage]
    troubles: tuple[str, ...]
    busy_percent: float | None


# By the name of the load.
Loads: TypeAlias = dict[str, Item[Offered]]

LOADS = Fact("loads", Loads)
