"""The timeline of a run: when each scenario ran, and when a fault was active."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from harness.gate import Trail


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Something that took a while; ``left`` and ``width`` are percentages of the run."""

    words: str
    kind: str
    left: float
    width: float
    took: str


def timeline(trail: Trail) -> tuple[Span, ...]:
    """Every scenario and every fault, in the order in which they began."""
    began, ended = trail.first.moment, trail.last.moment
    whole_s = max((ended - began).total_seconds(), 0.001)
    spans = [
        (seen.began.moment, seen.took_s, name.partition(": ")[2], "scenario")
        for name, seen in trail.scenarios.items()
    ]
    for fault in trail.faults.values():
        start = datetime.fromisoformat(fault.injected)
        end = datetime.fromisoformat(fault.healed) if fault.healed else ended
        words = f"{fault.fault} on {fault.target}"
        spans.append((start, (end - start).total_seconds(), words, "fault"))
    return tuple(
        Span(
            words=words,
            kind=kind,
            left=(left := _percent((start - began).total_seconds() / whole_s)),
            width=min(max(0.4, _percent(took_s / whole_s)), round(100 - left, 2)),
            took=f"{took_s:.1f} s",
        )
        for start, took_s, words, kind in sorted(spans)
    )


def _percent(share: float) -> float:
    return round(100 * min(1.0, max(0.0, share)), 2)
