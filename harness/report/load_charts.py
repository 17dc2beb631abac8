"""The charts of a report's loads: rate, answer times and errors over time.

Below each other, over the same time: the planned and the answered rate; the 50th, 95th and 99th
percentile of the answer times, on a logarithmic scale; and the requests that failed, or that the
ingress limited (429). Stages of the load, phases of the drill and active faults are marked in all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import groupby
from math import ceil, log10
from typing import TypeVar

from harness.core.errors import Garbled
from harness.facts import schema
from harness.facts.drills import DRILLS, SOAK, LoadFacts
from harness.facts.loads import COMPARISON, LOADS, Course, Offered
from harness.facts.schema import Item, Unknown
from harness.gate import RunState

T = TypeVar("T")
LEFT, WIDTH, HEIGHT = 60.0, 780.0, 90.0  # of one panel, in the drawing's own units
_GAP, _TOP, _RIGHT = 22.0, 32.0, 40.0
_TICKS = 4
# The values of one line, one a moment; None where there is none.
Values = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Panel:
    """One part of a chart: lines, each by its name, and the numbers of its axis with their places.

    A line is the points of an SVG polyline, in pieces where values are missing.
    """

    words: str
    y: float
    lines: Mapping[str, tuple[str, ...]]
    ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True, slots=True)
class LoadChart:
    """The course of one load; ``marks`` and ``faults`` are places, widths and words."""

    words: str
    panels: tuple[Panel, ...]
    marks: tuple[tuple[float, str], ...]
    faults: tuple[tuple[float, float, str], ...]
    times: tuple[tuple[float, str], ...]
    width: float = LEFT + WIDTH + _RIGHT
    right: float = LEFT + WIDTH
    left: float = LEFT
    panel: float = HEIGHT

    @property
    def height(self) -> float:
        return self.panels[-1].y + HEIGHT + _GAP


def load_charts(run_state: RunState) -> tuple[LoadChart, ...]:
    """A chart of every load that was offered in the run, drills and soaks included."""
    return tuple(
        _chart(words, course, run_state) for words, course in _courses(run_state) if _seen(course)
    )


def _seen(course: Course) -> bool:
    return any(it["answered"] or it["failed"] for it in course["moments"])


def _courses(run_state: RunState) -> Iterator[tuple[str, Course]]:
    for name, load in _items(run_state, LOADS):
        yield name, load.course
    for name, compared in _items(run_state, COMPARISON):
        recorded = f", recorded on {compared.recorded}" if compared.recorded else ""
        yield from _first(f"{name}, first run on the old platform{recorded}", compared.old)
        yield from _first(f"{name}, first run on the new platform", compared.new)
    for name, drill in {**run_state.drills, **dict(run_state.observed(DRILLS))}.items():
        for each in drill.outcome.value["runs"]:
            yield from _of_load(f"{name}/{each['machine']}", each.get("load"))
    for name, part in {**run_state.soaks, **dict(run_state.observed(SOAK))}.items():
        yield from _of_load(name, part.outcome.value.get("load"))


def _first(words: str, runs: Sequence[Offered]) -> Iterator[tuple[str, Course]]:
    yield from ((words, run.course) for run in runs[:1])


def _of_load(words: str, load: LoadFacts | None) -> Iterator[tuple[str, Course]]:
    if load is not None and "course" in load:
        yield words, load["course"]


def _items(run_state: RunState, fact: schema.Fact[dict[str, Item[T]]]) -> Iterator[tuple[str, T]]:
    """The loads of a look, by name; what this version cannot read is left out."""
    for seen in run_state.observations(fact.name).values():
        try:
            found = {} if seen.error is not None else schema.read(fact.kind, seen.value)
        except Garbled:
            continue
        yield from ((name, it.value) for name, it in found.items() if not isinstance(it, Unknown))


def _chart(words: str, course: Course, run_state: RunState) -> LoadChart:
    moments, every_s = course["moments"], course["every_s"]
    lasts_s = every_s * len(moments)

    def place(at_s: float) -> float:
        return round(LEFT + WIDTH * min(1.0, max(0.0, at_s / lasts_s)), 1)

    def per_s(many: float) -> float:
        return round(many / every_s, 3)

    rates: dict[str, Values] = {
        "planned": [per_s(it["planned"]) for it in moments],
        "answered": [per_s(it["answered"]) for it in moments],
    }
    times: dict[str, Values] = {
        "p50": [it["p50_ms"] for it in moments],
        "p95": [it["p95_ms"] for it in moments],
        "p99": [it["p99_ms"] for it in moments],
    }
    errors: dict[str, Values] = {
        "failed": [per_s(it["failed"]) for it in moments],
        "limited (429)": [per_s(it["limited"]) for it in moments],
    }
    xs = [place((number + 0.5) * every_s) for number in range(len(moments))]
    panel = partial(_panel, xs)
    return LoadChart(
        words=words,
        panels=(
            panel("requests/s", _TOP, rates, _even),
            panel("ms, from when a request was due", _TOP + HEIGHT + _GAP, times, _decades),
            panel("not served/s", _TOP + 2 * (HEIGHT + _GAP), errors, _even),
        ),
        marks=tuple((place(at_s), name) for name, at_s in course["marks"].items()),
        faults=tuple(_faults(course["began"], lasts_s, run_state, place)),
        times=tuple(
            (place(lasts_s * tick / _TICKS), _clock(course["began"] + lasts_s * tick / _TICKS))
            for tick in range(_TICKS + 1)
        ),
    )


def _clock(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%H:%M:%S}"


def _faults(
    began: float, lasts_s: float, run_state: RunState, place: Callable[[float], float]
) -> Iterator[tuple[float, float, str]]:
    """The faults that were active meanwhile."""
    for fault in run_state.faults.values():
        begin = datetime.fromisoformat(fault.injected).timestamp() - began
        healed = datetime.fromisoformat(fault.healed) if fault.healed else run_state.last.moment
        end = healed.timestamp() - began
        if begin < lasts_s and end > 0:
            x = place(begin)
            yield x, max(2.0, round(place(end) - x, 1)), f"{fault.fault} on {fault.target}"


# The height of each value within 0 and 1, and the ticks of the axis.
Scale = tuple[Callable[[float], float], Mapping[float, str]]


def _even(most: float) -> Scale:
    top = most or 1.0
    return lambda it: it / top, {0.0: "0", 1.0: f"{top:g}"}


def _decades(most: float) -> Scale:
    """From 1 ms to the power of ten above the slowest."""
    top = max(1, ceil(log10(max(most, 1.0))))
    ticks = {power / top: f"{10**power:g}" for power in range(top + 1)}
    return lambda it: max(0.0, log10(max(it, 1.0))) / top, ticks


def _panel(
    xs: Sequence[float],
    words: str,
    y: float,
    lines: Mapping[str, Values],
    scale: Callable[[float], Scale],
) -> Panel:
    height, ticks = scale(max((it for line in lines.values() for it in line if it), default=0.0))

    def down(share: float) -> float:
        return round(y + HEIGHT * (1 - share), 1)

    return Panel(
        words=words,
        y=y,
        lines={
            name: tuple(_pieces(xs, values, lambda it: down(height(it))))
            for name, values in lines.items()
        },
        ticks=tuple((down(share), told) for share, told in ticks.items()),
    )


def _pieces(xs: Sequence[float], values: Values, down: Callable[[float], float]) -> Iterator[str]:
    """The points of a line, apart where values are missing.

    The last point comes twice, so that a single one is drawn as a dot.
    """
    both = zip(xs, values, strict=True)
    points = [None if value is None else f"{x},{down(value)}" for x, value in both]
    for is_gap, piece in groupby(points, lambda it: it is None):
        if not is_gap:
            there = [it for it in piece if it is not None]
            yield " ".join([*there, there[-1]])
