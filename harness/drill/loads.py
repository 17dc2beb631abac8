"""The load during a drill or a soak: its marks, and its results between them.

The results are ``LoadFacts``, which checks judge.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from math import inf
from typing import Protocol, TypeAlias

from harness.facts.drills import LoadFacts, PhaseFacts
from harness.ledger.result import FAULT
from harness.load.results import Results
from harness.load.running import Running

HEALED_MARK = "fault taken back"
AGAIN = "steady again"


# Notes the current moment under a name.
Mark: TypeAlias = Callable[[str], None]


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
