"""What runs beside a fault: the load and the ledger, their marks, and what they show."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from math import inf
from statistics import median
from typing import Protocol, TypeAlias

from harness.core.errors import TimedOut
from harness.core.model import JSON
from harness.core.waiting import until
from harness.facts.load import LoadFacts, PhaseFacts
from harness.ledger.history import INVOKE, MARK, OK, Event
from harness.ledger.result import FAULT
from harness.load.results import Results
from harness.load.running import Running

HEALED_MARK = "fault taken back"
AGAIN = "steady again"
# Notes the current moment under a name.
Mark: TypeAlias = Callable[[str], None]
_QUARTERS = 4
_US_PER_MS = 1000.0
# For so long after an undo, delayed writes are served: these times are no normal latency.
_PEACE_AFTER_US = 30_000_000


class Noting(Protocol):
    """A ledger or a load, which notes moments."""

    def mark(self, name: str) -> None:
        """Note the moment under a name."""
        ...


def marking(*those: Noting) -> Mark:
    """Notes a moment in each of them, as close together as possible."""

    def mark(name: str) -> None:
        for it in those:
            it.mark(name)

    return mark


class Load(Noting, Protocol):
    """A load that is being offered."""

    @property
    def is_offered(self) -> bool:
        """True if requests are sent at all."""
        ...

    def go_on(self, seconds: float) -> None:
        """Let the load run for so long."""
        ...

    def outcome(self, *, whole: bool = False) -> LoadFacts | None:
        """End the load, and return its results by phase or as a whole; None without a load."""
        ...


class NoLoad:
    """No load: no requests are sent."""

    is_offered = False

    def mark(self, name: str) -> None:
        """Without a load there are no phases."""

    def go_on(self, seconds: float) -> None:
        """Without a load there is nothing to wait for."""

    def outcome(self, *, whole: bool = False) -> LoadFacts | None:
        return None


class Marked:
    """A running load, and its marks (monotonic seconds)."""

    is_offered = True

    def __init__(self, running: Running) -> None:
        self._running = running
        self._marks: list[tuple[str, float]] = []

    def mark(self, name: str) -> None:
        self._marks.append((name, time.monotonic()))

    def go_on(self, seconds: float) -> None:
        self._running.go_on(seconds)

    def outcome(self, *, whole: bool = False) -> LoadFacts | None:
        results = self._running.results()
        spans: Mapping[str, tuple[float, float]] = {"all": (0.0, inf)} if whole else self._spans()
        return LoadFacts(
            phases={} if results is None else _cut(results, spans),
            troubles=list(self._running.troubles),
        )

    def _spans(self) -> Mapping[str, tuple[float, float]]:
        """The phases that happened, each with its begin and end."""
        first: dict[str, float] = {}
        for name, at in self._marks:
            first.setdefault(name, at)
        # With several faults, the phase begins when the last fault is undone.
        begins = {"during": first.get(FAULT), "again": first.get(AGAIN)}
        begins["healing"] = dict(self._marks).get(HEALED_MARK)
        spans: dict[str, tuple[float, float]] = {}
        end = inf
        for phase in ("again", "healing", "during"):
            begin = begins[phase]
            if begin is not None:
                spans[phase], end = (begin, end), begin
        return {"before": (0.0, end), **dict(reversed(spans.items()))}


def _cut(results: Results, spans: Mapping[str, tuple[float, float]]) -> dict[str, PhaseFacts]:
    return {phase: results.cut(*span).facts() for phase, span in spans.items()}


class Books(Protocol):
    """The running ledger; ``space`` is the namespace of its targets."""

    @property
    def space(self) -> str: ...

    @property
    def silent_s(self) -> Mapping[str, float]:
        """Per kind of writes, the seconds since the last acknowledgement."""
        ...

    def mark(self, name: str) -> None:
        """Note the moment under a name."""
        ...

    def tally(self) -> Mapping[str, JSON]:
        """Stop writing, read back, and return the results, by the names that checks use."""
        ...

    def latency_ms(self) -> list[dict[str, float]]:
        """The times of acknowledgements while no fault was active, early to late."""
        ...


def write_gap(books: Books, at_most_s: float) -> str | None:
    """Why the ledger is silent for longer than the drill allows; None if it is not."""
    mute = {kind: s for kind, s in books.silent_s.items() if s > at_most_s}
    if not mute:
        return None
    kind = max(mute, key=lambda it: mute[it])
    return f"no write of {kind} was acknowledged for {mute[kind]:.0f} s"


def writing_again(books: Books, at_most_s: float) -> None:
    """Wait until each kind of writes is acknowledged again, or is silent for too long.

    Only then the length of the outage is known; the steady state does not cover each database.
    """
    began = time.monotonic()

    def known() -> bool:
        since = time.monotonic() - began
        return all(it < since or it > at_most_s for it in books.silent_s.values())

    with suppress(TimedOut):
        until(known, within_s=at_most_s + 1, every_s=0.2, what="acknowledged writes of each kind")


def quarters(events: Iterable[Event]) -> list[dict[str, float]]:
    """The median latency (ms) of each kind of writer, in each quarter of the time."""
    sent: dict[tuple[str, int], int] = {}
    took: list[tuple[int, str, int]] = []
    peace_from: int | None = 0
    for what, who, number, at in events:
        if what == MARK and who == FAULT:
            peace_from = None
        elif what == MARK and who == HEALED_MARK:
            peace_from = at + _PEACE_AFTER_US
        elif what == INVOKE and peace_from is not None and at >= peace_from:
            sent[who, number] = at
        elif what == OK and (who, number) in sent:
            took.append((at, who.partition("/")[0], at - sent.pop((who, number))))
    if not took:
        return []
    first, last = took[0][0], took[-1][0]
    spans: list[dict[str, list[int]]] = [{} for _ in range(_QUARTERS)]
    for at, kind, us in took:
        quarter = min(_QUARTERS - 1, (at - first) * _QUARTERS // max(1, last - first))
        spans[quarter].setdefault(kind, []).append(us)
    return [
        {kind: round(median(values) / _US_PER_MS, 3) for kind, values in span.items()}
        for span in spans
    ]
