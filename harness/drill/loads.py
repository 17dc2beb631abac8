"""A load beside a drill or a soak: the moments that matter to it, and what came of it between them.

What came of it are ``LoadFacts``, which checks judge.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from math import inf
from typing import Protocol, TypeAlias

from harness.facts.load import LoadFacts, PhaseFacts
from harness.ledger.result import FAULT
from harness.load.results import Results
from harness.load.running import Running

HEALED_MARK = "fault taken back"
AGAIN = "steady again"


# Notes the moment under a name.
Mark: TypeAlias = Callable[[str], None]


class Noting(Protocol):
    """A ledger or a load: whoever notes moments."""

    def mark(self, name: str) -> None:
        """Note the moment under a name."""
        ...


def marking(*those: Noting) -> Mark:
    """Notes a moment in each, as near to each other as can be."""

    def mark(name: str) -> None:
        for it in those:
            it.mark(name)

    return mark


class Load(Noting, Protocol):
    """A load while it is offered."""

    @property
    def is_offered(self) -> bool:
        """Is anything asked at all?"""
        ...

    def go_on(self, seconds: float) -> None:
        """Let it go on for so long."""
        ...

    def outcome(self, *, whole: bool = False) -> LoadFacts | None:
        """End it, and say what became of it, by phase or as a whole; None when there was none."""
        ...


class NoLoad:
    """Nothing is asked."""

    is_offered = False

    def mark(self, name: str) -> None:
        """There is nothing to cut."""

    def go_on(self, seconds: float) -> None:
        """There is nothing that could."""

    def outcome(self, *, whole: bool = False) -> LoadFacts | None:
        return None


class Marked:
    """A load that is running, and the moments that were noted (monotonic seconds)."""

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
        """The phases that came about, from when until when."""
        first: dict[str, float] = {}
        for name, at in self._marks:
            first.setdefault(name, at)
        # Of several faults, the last one that was taken back ends it.
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
