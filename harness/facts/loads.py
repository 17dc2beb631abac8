"""Loads that were offered: to the ingress stage by stage, and to both platforms in turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from typing_extensions import TypedDict

from harness.facts.schema import Fact, Item

# The 99th percentile of fewer requests is the slowest of them.
P99_NEEDS = 100


class Moment(TypedDict):
    """The requests of a load that were due in one span, each of the same length."""

    planned: int
    answered: int
    failed: int
    limited: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


class Course(TypedDict):
    """A load from its begin (UTC seconds), in spans of ``every_s`` seconds.

    ``marks`` are its stages or phases: the seconds from its begin at which each begins.
    """

    began: float
    every_s: int
    marks: dict[str, float]
    moments: list[Moment]


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
    p95_ms: float | None
    p99_ms: float | None

    @property
    def failed(self) -> int:
        return sum(self.errors.values())

    @property
    def is_too_few_for_p99(self) -> bool:
        """True if its 99th percentile is its slowest request."""
        return self.answered + self.failed < P99_NEEDS


@dataclass(frozen=True, slots=True)
class Offered:
    """A load by its stages, as a whole, and in its course.

    ``troubles`` say why it proves nothing. ``busy_percent`` is the part of one processor
    that the generator's busiest process used; None if it did not say so.
    """

    stages: Mapping[str, Stage]
    whole: Stage
    troubles: tuple[str, ...]
    busy_percent: float | None
    course: Course


# By the name of the load.
Loads: TypeAlias = dict[str, Item[Offered]]

LOADS = Fact("loads", Loads)


@dataclass(frozen=True, slots=True)
class Compared:
    """The runs of one load on the old and on the new platform, in turn.

    ``recorded`` is the day (UTC) of the old platform's runs, if they are of an earlier day and come
    from a file.
    """

    old: tuple[Offered, ...]
    new: tuple[Offered, ...]
    recorded: str | None = None


# By the name of the load.
Comparison: TypeAlias = dict[str, Item[Compared]]

COMPARISON = Fact("load-comparison", Comparison)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A file with runs of a load on the old platform, for the time when that is gone.

    ``what`` is the load in words, with its seed: only runs of the same load compare.
    """

    what: str
    day: str
    runs: tuple[Offered, ...]
