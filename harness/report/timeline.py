"""The timeline of a run as a drawing: scenarios, what probes looked at, and faults."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from harness.gate import Trail

_ROW = 20  # of the drawing's own units, which are pixels on a wide screen
_LEFT, _WIDTH, _RIGHT = 330.0, 540.0, 60.0
_TICKS = 4
_LONGEST = 52  # characters of a name


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """Something that took a while; ``kind`` is scenario, probe or fault."""

    words: str
    kind: str
    x: float
    y: float
    width: float
    took: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """A drawing of ``width`` by ``height``; ``ticks`` are places and times of its axis."""

    bars: tuple[Bar, ...]
    ticks: tuple[tuple[float, str], ...]
    width: float = _LEFT + _WIDTH + _RIGHT
    left: float = _LEFT

    @property
    def height(self) -> float:
        return len(self.bars) * _ROW + 30.0

    @property
    def faults(self) -> tuple[Bar, ...]:
        """What is drawn through every row: while a fault is active, everything is judged by it."""
        return tuple(bar for bar in self.bars if bar.kind == "fault")


def timeline(trail: Trail) -> Timeline:
    """Every scenario, look and fault, in the order in which they began."""
    began = trail.first.moment
    whole_s = max((trail.last.moment - began).total_seconds(), 0.001)
    bars = []
    for number, (start, took_s, words, kind) in enumerate(sorted(_spans(trail))):
        left = min(1.0, max(0.0, (start - began).total_seconds() / whole_s))
        width = max(3.0, _WIDTH * min(took_s / whole_s, 1 - left))
        bars.append(
            Bar(
                words=words if len(words) <= _LONGEST else f"{words[: _LONGEST - 1]}…",
                kind=kind,
                x=round(min(_LEFT + _WIDTH * left, _LEFT + _WIDTH - width), 1),
                y=number * float(_ROW),
                width=round(width, 1),
                took=f"{took_s:.1f} s",
            )
        )
    step = (trail.last.moment - began) / _TICKS
    ticks = tuple(
        (_LEFT + _WIDTH * tick / _TICKS, f"{began + tick * step:%H:%M:%S}")
        for tick in range(_TICKS + 1)
    )
    return Timeline(bars=tuple(bars), ticks=ticks)


def _spans(trail: Trail) -> Iterator[tuple[datetime, float, str, str]]:
    for name, seen in trail.scenarios.items():
        yield seen.began.moment, seen.took_s, name.partition(": ")[2], "scenario"
    for look in trail.looked:
        took_s = (look.ended.moment - look.began.moment).total_seconds()
        yield look.began.moment, took_s, f"look: {look.began.subject}", "probe"
    for fault in trail.faults.values():
        start = datetime.fromisoformat(fault.injected)
        end = datetime.fromisoformat(fault.healed) if fault.healed else trail.last.moment
        words = f"fault: {fault.fault} on {fault.target}"
        yield start, (end - start).total_seconds(), words, "fault"
