"""Reads the output of a generator, and cuts it by time.

Each line is JSON: some ``{"stage"}`` of its start, ``{"began"}``, then ``{"second", …}`` with a
histogram (a second may have several), and at last ``{"ended"}``. All times are from the computer's
monotonic clock, which the generator and the harness share.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, takewhile
from math import floor
from pathlib import Path

from harness.facts.drills import PhaseFacts
from harness.load.histogram import Histogram
from harness.load.spec import due_at


@dataclass(frozen=True, slots=True)
class Cut:
    """A span of time: the number of requests due in it, and their results."""

    planned: int
    seen: Histogram

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


@dataclass(frozen=True, slots=True)
class Results:
    """All results of a load, by the second in which a request was due."""

    began: float
    ended: float
    per_s: float
    seconds: dict[int, Histogram]

    def cut(self, start: float, end: float) -> Cut:
        """The results from ``start`` to ``end`` or the end of the load, in whole seconds."""
        first, last = floor(start), floor(min(end, self.ended + 1))
        seen = Histogram()
        for second, bucket in self.seconds.items():
            if first <= second < last:
                seen.merge(bucket)
        planned = sum(first <= second < last for second in self._due())
        return Cut(planned, seen)

    def _due(self) -> Iterator[int]:
        """The second of every request that was due, by the plan."""
        due = (due_at(self.began, number, self.per_s) for number in count())
        return map(floor, takewhile(lambda at: at < self.ended, due))


def read(path: Path, per_s: float, ended: float) -> Results | None:
    """The results so far; ``ended`` is used if they have no end; None before the load began."""
    began: float | None = None
    seconds: dict[int, Histogram] = {}
    # A partial last line is no result.
    for line in path.read_text(encoding="utf-8").split("\n")[:-1]:
        data = json.loads(line)
        began = data.get("began", began)
        ended = data.get("ended", ended)
        if "second" in data:
            seconds.setdefault(data["second"], Histogram()).merge(Histogram.from_json(data))
    return None if began is None else Results(began, ended, per_s, seconds)
