"""What a generator has written: read, and cut by time.

Each line is JSON: some ``{"stage"}`` of its start, ``{"began"}``, then ``{"second", …}`` with a
bucket, several of which may be of one second, and at last ``{"ended"}``. All times are of the
computer's monotonic clock, which the generator shares with the process that started it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, takewhile
from math import floor
from pathlib import Path

from harness.facts.load import PhaseFacts
from harness.load.histogram import Histogram
from harness.load.spec import due_at


@dataclass(frozen=True, slots=True)
class Cut:
    """A span of time: how many requests were due in it, and what came of them."""

    planned: int
    seen: Histogram

    def facts(self) -> PhaseFacts:
        """As checks know it; a time is None when so many requests had no answer at all."""
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
    """Everything that became of a load, by the second in which a request was due."""

    began: float
    ended: float
    per_s: float
    seconds: dict[int, Histogram]

    def cut(self, start: float, end: float) -> Cut:
        """From one moment to another, at most to the end; a second belongs to what begins in it."""
        first, last = floor(start), floor(min(end, self.ended + 1))
        seen = Histogram()
        for second, bucket in self.seconds.items():
            if first <= second < last:
                seen.merge(bucket)
        planned = sum(first <= second < last for second in self._due())
        return Cut(planned, seen)

    def _due(self) -> Iterator[int]:
        """The second of every request that was due: of the plan, not of what came of it."""
        due = (due_at(self.began, number, self.per_s) for number in count())
        return map(floor, takewhile(lambda at: at < self.ended, due))


def read(path: Path, per_s: float, ended: float) -> Results | None:
    """The results so far; ``ended`` where they do not say when; None before the load began."""
    began: float | None = None
    seconds: dict[int, Histogram] = {}
    # What is not a whole line yet, or never will be, is no result.
    for line in path.read_text(encoding="utf-8").split("\n")[:-1]:
        data = json.loads(line)
        began = data.get("began", began)
        ended = data.get("ended", ended)
        if "second" in data:
            seconds.setdefault(data["second"], Histogram()).merge(Histogram.from_json(data))
    return None if began is None else Results(began, ended, per_s, seconds)
