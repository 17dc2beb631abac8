"""The results of requests, and the output of a generator, cut by time.

Answer times are in microseconds, to two significant digits (at most 1 % off), up to an hour.

Each line of the output is JSON: some ``{"stage"}`` of its start, ``{"began"}``, then
``{"second", …}`` with a histogram (a second may have several), and at last ``{"ended"}``. All times
are from the computer's monotonic clock, which the generator and the harness share.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count, takewhile
from math import ceil, floor, inf
from pathlib import Path
from typing import NotRequired, Protocol, Self, TypedDict

from hdrh.histogram import HdrHistogram

from harness.facts.drills import PhaseFacts
from harness.facts.loads import Course, Moment, Stage
from harness.load.spec import LoadSpec, Plan

_MOST_US = 3_600_000_000
_DIGITS = 2
_US_PER_S = 1e6
_US_PER_MS = 1e3
_MOST_MOMENTS = 120  # of a load's course: more than a chart of a report can show


class AnswerTimes(Protocol):
    """What is used of an HdrHistogram, which has no types."""

    def record_value(self, value: int) -> bool: ...
    def get_total_count(self) -> int: ...
    def get_value_at_percentile(self, percentile: float) -> int: ...
    def add(self, other: AnswerTimes) -> None: ...
    def encode(self) -> bytes: ...
    def decode_and_add(self, encoded: str) -> None: ...


def _empty() -> AnswerTimes:
    none: AnswerTimes = HdrHistogram(1, _MOST_US, _DIGITS)
    return none


class Written(TypedDict):
    """A histogram as a generator writes it; ``took`` is None without an answer."""

    on_time: int
    errors: dict[str, int]
    took: str | None
    limited: NotRequired[dict[str, int]]
    retry_after_s: NotRequired[float | None]


@dataclass(slots=True)
class Histogram:
    """The results of a group of requests, usually those due in the same second.

    ``on_time`` of them began as planned; ``errors`` counts the failed ones by kind; ``took`` holds
    the answer times, from when each request was due. ``limited`` counts those that got 429, by
    host: neither failed nor answered. ``retry_after_s`` is the longest Retry-After of these.
    """

    on_time: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    limited: Counter[str] = field(default_factory=Counter)
    retry_after_s: float | None = None
    took: AnswerTimes = field(default_factory=_empty)

    @property
    def answered(self) -> int:
        return self.took.get_total_count()

    @property
    def failed(self) -> int:
        return self.errors.total()

    def add_limited(self, host: str, retry_after_s: float | None, *, on_time: bool) -> None:
        """Add one request that the ingress limited (429)."""
        self.on_time += on_time
        self.limited[host] += 1
        self._wait(retry_after_s)

    def _wait(self, seconds: float | None) -> None:
        told = [it for it in (self.retry_after_s, seconds) if it is not None]
        self.retry_after_s = max(told, default=None)

    def add(self, took_s: float, *, on_time: bool, error: str | None = None) -> None:
        """Add one request that is over."""
        self.on_time += on_time
        if error is not None:
            self.errors[error] += 1
        else:
            self.took.record_value(min(max(1, round(took_s * _US_PER_S)), _MOST_US))

    def merge(self, other: Histogram) -> None:
        self.on_time += other.on_time
        self.errors += other.errors
        self.limited += other.limited
        self._wait(other.retry_after_s)
        self.took.add(other.took)

    def quantile_ms(self, q: float) -> float | None:
        """The q-quantile (0 < q ≤ 1) of the time to an answer, in milliseconds.

        None when too many requests failed: a fast failure is no fast answer.
        """
        rank = ceil(q * (self.answered + self.failed))
        if not 0 < rank <= self.answered:
            return None
        us = self.took.get_value_at_percentile(100 * rank / self.answered)
        return round(us / _US_PER_MS, 3)

    def to_json(self) -> Written:
        took = self.took.encode().decode() if self.answered else None
        told: Written = {"on_time": self.on_time, "errors": dict(self.errors), "took": took}
        if self.limited:
            told["limited"], told["retry_after_s"] = dict(self.limited), self.retry_after_s
        return told

    @classmethod
    def from_json(cls, data: Written) -> Self:
        took = _empty()
        if data["took"] is not None:
            took.decode_and_add(data["took"])
        return cls(
            on_time=data["on_time"],
            errors=Counter(data["errors"]),
            limited=Counter(data.get("limited", {})),
            retry_after_s=data.get("retry_after_s"),
            took=took,
        )


@dataclass(frozen=True, slots=True)
class Cut:
    """A span of time: the number of requests due in it, and their results."""

    planned: int
    seen: Histogram

    @property
    def is_over(self) -> bool:
        """True if each planned request has a result."""
        over = self.seen.answered + self.seen.failed + self.seen.limited.total()
        return over >= self.planned

    def facts(self) -> PhaseFacts:
        """The facts for checks; a quantile is None when too many requests had no answer."""
        return PhaseFacts(
            planned=self.planned,
            on_time=self.seen.on_time,
            answered=self.seen.answered,
            failed=self.seen.failed,
            errors=dict(self.seen.errors),
            limited=dict(self.seen.limited),
            retry_after_s=self.seen.retry_after_s,
            p50_ms=self.seen.quantile_ms(0.5),
            p99_ms=self.seen.quantile_ms(0.99),
        )

    def moment(self) -> Moment:
        """The facts of a short span of a load's course."""
        return Moment(
            planned=self.planned,
            answered=self.seen.answered,
            failed=self.seen.failed,
            limited=self.seen.limited.total(),
            p50_ms=self.seen.quantile_ms(0.5),
            p95_ms=self.seen.quantile_ms(0.95),
            p99_ms=self.seen.quantile_ms(0.99),
        )

    def stage(self) -> Stage:
        """The facts of a load's stage."""
        return Stage(
            planned=self.planned,
            on_time=self.seen.on_time,
            answered=self.seen.answered,
            errors=dict(self.seen.errors),
            limited=dict(self.seen.limited),
            p50_ms=self.seen.quantile_ms(0.5),
            p95_ms=self.seen.quantile_ms(0.95),
            p99_ms=self.seen.quantile_ms(0.99),
        )


@dataclass(frozen=True)
class Results:
    """All results of a load, by the second in which a request was due."""

    began: float
    ended: float
    plan: Plan
    seconds: dict[int, Histogram]
    busy_s: float | None = None  # of a processor, by the busiest process; None before its end
    dues: Callable[[int], Sequence[float]] | None = None  # of a visitor's requests; None: one each

    @property
    def busy_percent(self) -> float | None:
        """The part of one processor that its busiest process used; None before its end."""
        return None if self.busy_s is None else 100 * self.busy_s / (self.ended - self.began)

    def cut(self, start: float, end: float) -> Cut:
        """The results from ``start`` to ``end`` or the end of the load, in whole seconds."""
        first, last = floor(start), floor(min(end, self.ended + 1))
        seen = Histogram()
        for second, bucket in self.seconds.items():
            if first <= second < last:
                seen.merge(bucket)
        planned = sum(many for second, many in self._due.items() if first <= second < last)
        return Cut(planned, seen)

    @cached_property
    def _due(self) -> Counter[int]:
        """How many requests were due in each second, by the plan."""
        dues = self.dues or (lambda visitor: (self.plan.due(visitor),))
        # Visitors come in the order of their numbers.
        visitors = takewhile(lambda it: self.began + self.plan.due(it) < self.ended, count())
        all_due = (self.began + at for visitor in visitors for at in dues(visitor))
        return Counter(floor(at) for at in all_due if at < self.ended)

    def course(self, marks: Mapping[str, float]) -> Course:
        """The load over time, in at most ``_MOST_MOMENTS`` spans of whole seconds.

        ``marks`` are moments by their names, in seconds from the begin.
        """
        first, last = floor(self.began), floor(self.ended) + 1
        every_s = ceil((last - first) / _MOST_MOMENTS)
        cuts = [self.cut(at, at + every_s) for at in range(first, last, every_s)]
        return Course(
            began=round(time.time() - (time.monotonic() - first), 3),
            every_s=every_s,
            marks={name: round(at + self.began - first, 3) for name, at in marks.items()},
            moments=[it.moment() for it in cuts],
        )

    def by_stage(self) -> dict[str, Cut]:
        """The results of each stage, cut at whole seconds; the last one has all that is left."""
        begins = self.plan.begins()
        ends = [*begins.values(), inf][1:]
        return {
            name: self.cut(self.began + begin, self.began + end)
            for (name, begin), end in zip(begins.items(), ends, strict=True)
        }


def read(path: Path, spec: LoadSpec, ended: float) -> Results | None:
    """The results so far; ``ended`` is used if they have no end; None before the load began."""
    began: float | None = None
    busy_s: float | None = None
    seconds: dict[int, Histogram] = {}
    # A partial last line is no result.
    for line in path.read_text(encoding="utf-8").split("\n")[:-1]:
        data = json.loads(line)
        began = data.get("began", began)
        if "ended" in data:
            ended, busy_s = data["ended"], max(busy_s or 0.0, data["busy_s"])
        if "second" in data:
            seconds.setdefault(data["second"], Histogram()).merge(Histogram.from_json(data))
    if began is None:
        return None
    return Results(began, ended, spec.plan, seconds, busy_s, spec.dues)
