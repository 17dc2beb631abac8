"""The timeline of a run as a drawing: scenarios, what probes looked at, faults and load."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from harness.drill.service import DRILLS, LEDGER, SOAK, DrillOutcome
from harness.gate import Completed, Trail

_ROW = 20  # of the drawing's own units, which are pixels on a wide screen
_LEFT, _WIDTH, _RIGHT = 330.0, 540.0, 60.0
_TICKS = 4
_LONGEST = 52  # characters of a name


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Something that took a while, by the clock; ``marks`` are moments or times within it."""

    start: datetime
    took_s: float
    words: str
    kind: str
    marks: tuple[tuple[datetime, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A span as it is drawn; ``kind`` is scenario, probe, fault, load or footprint.

    ``marks`` are places and widths: of a load, the longest time without an acknowledgement.
    """

    words: str
    kind: str
    x: float
    y: float
    width: float
    took: str
    marks: tuple[tuple[float, float], ...]


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
    """Every scenario, look, fault and load, in the order in which they began."""
    began = trail.first.moment
    whole_s = max((trail.last.moment - began).total_seconds(), 0.001)

    def place(start: datetime, took_s: float, least: float) -> tuple[float, float]:
        left = min(1.0, max(0.0, (start - began).total_seconds() / whole_s))
        width = max(least, _WIDTH * min(took_s / whole_s, 1 - left))
        return round(min(_LEFT + _WIDTH * left, _LEFT + _WIDTH - width), 1), round(width, 1)

    bars = []
    in_order = sorted(_spans(trail), key=lambda it: (it.start, it.took_s, it.words, it.kind))
    for number, span in enumerate(in_order):
        x, width = place(span.start, span.took_s, 3.0)
        words = span.words
        bars.append(
            Bar(
                words=words if len(words) <= _LONGEST else f"{words[: _LONGEST - 1]}…",
                kind=span.kind,
                x=x,
                y=number * float(_ROW),
                width=width,
                took=f"{span.took_s:.1f} s",
                marks=tuple(place(start, took_s, 2.0) for start, took_s in span.marks),
            )
        )
    step = (trail.last.moment - began) / _TICKS
    ticks = tuple(
        (_LEFT + _WIDTH * tick / _TICKS, f"{began + tick * step:%H:%M:%S}")
        for tick in range(_TICKS + 1)
    )
    return Timeline(bars=tuple(bars), ticks=ticks)


def _spans(trail: Trail) -> Iterator[Span]:
    for name, seen in trail.scenarios.items():
        words = name.partition(": ")[2]
        yield Span(start=seen.began.moment, took_s=seen.took_s, words=words, kind="scenario")
    for look in trail.looked:
        start = look.began.moment
        took_s = (look.ended.moment - start).total_seconds()
        yield Span(start=start, took_s=took_s, words=f"look: {look.began.subject}", kind="probe")
    for fault in trail.faults.values():
        start = datetime.fromisoformat(fault.injected)
        end = datetime.fromisoformat(fault.healed) if fault.healed else trail.last.moment
        words = f"fault: {fault.fault} on {fault.target}"
        yield Span(start=start, took_s=(end - start).total_seconds(), words=words, kind="fault")
    for (_, name), done in _completed(trail):
        yield from _loads(name, done)


def _completed(trail: Trail) -> Iterator[tuple[tuple[str, str], Completed]]:
    """Every drill and part of a soak that came to its end, the newest look's too."""
    there = dict(trail.completed)
    for probe in (DRILLS, SOAK):
        tallies = trail.observations(LEDGER)
        for name, seen in trail.observations(probe).items():
            if seen.error is None:
                own = {who: it.value for who, it in tallies.items() if who.startswith(f"{name}/")}
                outcome = DrillOutcome(value=seen.value, tallies=own)
                there[probe, name] = Completed(outcome, seen.at, seen.took_s)
    yield from there.items()


def _loads(name: str, done: Completed) -> Iterator[Span]:
    """What was asked of the platform meanwhile: writers of the ledger, and visitors."""
    start, took_s = datetime.fromtimestamp(done.at, UTC), done.took_s
    for who, tally in done.outcome.tallies.items():
        gap: tuple[tuple[datetime, float], ...] = ()
        if isinstance(tally, Mapping) and tally.get("gap_s"):
            from_s, to_s = float(str(tally["gap_from"])), float(str(tally["gap_to"]))
            gap = ((datetime.fromtimestamp(from_s, UTC), to_s - from_s),)
        yield Span(start=start, took_s=took_s, words=f"writes: {who}", kind="load", marks=gap)
    value: Any = done.outcome.value
    if not isinstance(value, Mapping):
        return
    for part in (value, *value.get("runs", ())):
        load = part.get("load")
        if isinstance(load, Mapping) and load["phases"]:
            place = f"{name}/{part['machine']}" if "machine" in part else name
            yield Span(start=start, took_s=took_s, words=_visits(place, load), kind="load")
    footprints = [
        (datetime.fromtimestamp(done.at + it["at_s"], UTC), 0.0)
        for it in value.get("footprints", ())
    ]
    if footprints:
        yield Span(
            start=start,
            took_s=took_s,
            words=f"footprints: {name}",
            kind="footprint",
            marks=tuple(footprints),
        )


def _visits(place: str, load: Mapping[str, Any]) -> str:
    """Whose visitors they were, and how many of them were failed."""
    phases = load["phases"].values()
    failed = sum(it["failed"] for it in phases)
    limited = sum(sum(it.get("limited", {}).values()) for it in phases)
    made = failed + limited + sum(it["answered"] for it in phases)
    kept_out = f", {100 * limited / made:.1f} % limited by the ingress (429)" if limited else ""
    return f"visits, {100 * failed / max(made, 1):.1f} % failed{kept_out}: {place}"
