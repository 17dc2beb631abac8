"""The trends of a soak: what may leak, and how long answers took, as small line charts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.checks.soak import series
from harness.checks.theil_sen import slope
from harness.facts.drills import SOAK, SoakFacts
from harness.gate import RunState
from harness.report.words import duration, number

WIDTH, HEIGHT = 220.0, 48.0
_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """One line over time; ``points`` are its places in the drawing, from the lower left corner."""

    words: str
    says: str
    points: str
    width: float = WIDTH
    height: float = HEIGHT


def trends(run_state: RunState) -> tuple[tuple[str, tuple[Trend, ...]], ...]:
    """The lines of each part of a soak; what grew most, compared with its start, comes first."""
    parts = {**run_state.soaks, **dict(run_state.observed(SOAK))}
    drawn = ((name, tuple(_of_part(part.outcome.value))) for name, part in parts.items())
    return tuple((name, lines) for name, lines in drawn if lines)


def _of_part(part: SoakFacts) -> Iterator[Trend]:
    grown = {
        (place, kind): points
        for (place, kind), points in series(part["footprints"]).items()
        if len(points) > 1
    }
    for place, kind in sorted(grown, key=lambda it: -_growth(grown[it])):
        points = grown[place, kind]
        found = slope(points)
        an_hour = f", {found.middle * _HOUR_S:+.1f} an hour" if found else ""
        lasted = duration(points[-1][0] - points[0][0])
        yield _trend(f"{place}: {kind.replace('_', ' ')}", points, f"{an_hour}, in {lasted}")
    for writer in sorted({it for quarter in part["latency_ms"] for it in quarter}):
        quarters = [
            (float(at), quarter[writer])
            for at, quarter in enumerate(part["latency_ms"])
            if writer in quarter
        ]
        if len(quarters) > 1:
            yield _trend(f"{writer}: answers, ms", quarters, " by quarter")


def _growth(points: Sequence[tuple[float, float]]) -> float:
    """How much the last amount is above the first, in parts of it."""
    return (points[-1][1] - points[0][1]) / max(points[0][1], 1.0)


def _trend(words: str, points: Sequence[tuple[float, float]], more: str) -> Trend:
    first, last = points[0][1], points[-1][1]
    return Trend(
        words=words, says=f"{number(first)} to {number(last)}{more}", points=_drawn(points)
    )


def _drawn(points: Sequence[tuple[float, float]]) -> str:
    """The points in a drawing whose lower edge is zero: a small change looks small."""
    began, ended = points[0][0], points[-1][0]
    most = max((value for _, value in points), default=0.0) or 1.0
    return " ".join(
        f"{WIDTH * (at - began) / (ended - began):.1f},{HEIGHT - (HEIGHT - 2) * value / most:.1f}"
        for at, value in points
    )
