"""The drawings of a report: measured numbers against their targets, and the timeline of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from harness.core.model import Outcome, Severity
from harness.facts.drills import DRILLS, LEDGER, SOAK, LoadFacts, SoakFacts
from harness.gate import Judged, Judgement, RunState
from harness.record.records import DrillOutcome, F, Finished
from harness.report.words import bound, with_unit
from harness.settings import Target, unit_of

_ROW = 20  # of the drawing's own units, which are pixels on a wide screen
_LEFT, _WIDTH, _RIGHT = 330.0, 540.0, 60.0
_TICKS = 4
_LONGEST = 52  # characters of a name


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetBar:
    """A measured number: ``fill`` and ``mark`` are percentages, ``style`` is ok, bad or warn."""

    words: str
    note: str
    measured: str
    target: str
    fill: float
    mark: float
    style: str
    where: str


def bars(judgement: Judgement) -> tuple[TargetBar, ...]:
    """A bar for each number that was measured and has a target.

    Missed targets come first, then those whose requirement blocks, then minor ones.
    """
    severities = list(Severity)
    by_weight = sorted(
        judgement.judged, key=lambda judged: severities.index(judged.requirement.severity)
    )
    found = [
        _target_bar(judged, key, target, judged.measured[key])
        for judged in by_weight
        if judged.outcome is not Outcome.NOT_APPLICABLE
        for key, target in judged.requirement.targets.items()
        if key in judged.measured
    ]
    return tuple(sorted(found, key=lambda bar: ("bad", "warn", "ok").index(bar.style)))


def _target_bar(judged: Judged, key: str, target: Target, value: float) -> TargetBar:
    full = 100.0 if unit_of(key) == "percent" else max(2 * target.number, 1.1 * value, 1.0)
    met = target.met_by(value)
    words, bracket, note = target.words.partition(" (here, ")
    places = [
        place
        for evaluation in judged.evaluations
        if key in evaluation.verdict.measured and evaluation.verdict.outcome is Outcome.FAIL
        for place in evaluation.verdict.where
    ]
    return TargetBar(
        words=words,
        note=f"{bracket}{note}",
        measured=with_unit(value, key),
        target=bound(target, key),
        fill=round(min(100.0, max(0.0, 100 * value / full)), 1),
        mark=round(100 * target.number / full, 1),
        style="ok" if met else "warn" if target.warns else "bad",
        where=", ".join(dict.fromkeys(places)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Something with a duration; ``marks`` are moments or times within it."""

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
        """The faults, drawn through every row: each row is read against the active faults."""
        return tuple(bar for bar in self.bars if bar.kind == "fault")


def timeline(run_state: RunState) -> Timeline:
    """Every scenario, look, fault and load, in the order in which they began."""
    began = run_state.first.moment
    whole_s = max((run_state.last.moment - began).total_seconds(), 0.001)

    def place(start: datetime, took_s: float, least: float) -> tuple[float, float]:
        left = min(1.0, max(0.0, (start - began).total_seconds() / whole_s))
        width = max(least, _WIDTH * min(took_s / whole_s, 1 - left))
        return round(min(_LEFT + _WIDTH * left, _LEFT + _WIDTH - width), 1), round(width, 1)

    bars = []
    in_order = sorted(_spans(run_state), key=lambda it: (it.start, it.took_s, it.words, it.kind))
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
    step = (run_state.last.moment - began) / _TICKS
    ticks = tuple(
        (_LEFT + _WIDTH * tick / _TICKS, f"{began + tick * step:%H:%M:%S}")
        for tick in range(_TICKS + 1)
    )
    return Timeline(bars=tuple(bars), ticks=ticks)


def _spans(run_state: RunState) -> Iterator[Span]:
    for name, seen in run_state.scenarios.items():
        words = name.partition(": ")[2]
        yield Span(start=seen.began.moment, took_s=seen.took_s, words=words, kind="scenario")
    for look in run_state.looked:
        if look.probe in (DRILLS.name, SOAK.name, LEDGER.name):
            continue  # their faults and loads are drawn instead
        start, took_s = datetime.fromtimestamp(look.began, UTC), look.ended - look.began
        yield Span(start=start, took_s=took_s, words=f"look: {look.probe}", kind="probe")
    for fault in run_state.faults.values():
        start = datetime.fromisoformat(fault.injected)
        end = datetime.fromisoformat(fault.healed) if fault.healed else run_state.last.moment
        words = f"fault: {fault.fault} on {fault.target}"
        yield Span(start=start, took_s=(end - start).total_seconds(), words=words, kind="fault")
    for name, drill in {**run_state.drills, **dict(run_state.observed(DRILLS))}.items():
        yield from _writes(drill)
        for run in drill.outcome.value["runs"]:
            yield from _visits(drill, f"{name}/{run['machine']}", run.get("load"))
    for name, part in {**run_state.soaks, **dict(run_state.observed(SOAK))}.items():
        yield from _writes(part)
        yield from _visits(part, name, part.outcome.value.get("load"))
        yield from _footprints(name, part)


def _writes(done: Finished[DrillOutcome[F]]) -> Iterator[Span]:
    """The writers of a ledger, with the longest time without an acknowledgement."""
    start = datetime.fromtimestamp(done.at, UTC)
    for who, tally in done.outcome.tallies.items():
        gap: tuple[tuple[datetime, float], ...] = ()
        if isinstance(tally, Mapping) and tally.get("gap_s"):
            from_s, to_s = float(str(tally["gap_from"])), float(str(tally["gap_to"]))
            gap = ((datetime.fromtimestamp(from_s, UTC), to_s - from_s),)
        words = f"writes: {who}"
        yield Span(start=start, took_s=done.took_s, words=words, kind="load", marks=gap)


def _visits(done: Finished[DrillOutcome[F]], place: str, load: LoadFacts | None) -> Iterator[Span]:
    """The visitors of an address, and how many of their requests failed."""
    if load is None or not load["phases"]:
        return
    phases = load["phases"].values()
    failed = sum(it["failed"] for it in phases)
    limited = sum(sum(it.get("limited", {}).values()) for it in phases)
    made = failed + limited + sum(it["answered"] for it in phases)
    kept_out = f", {100 * limited / made:.1f} % limited by the ingress (429)" if limited else ""
    words = f"visits, {100 * failed / max(made, 1):.1f} % failed{kept_out}: {place}"
    start = datetime.fromtimestamp(done.at, UTC)
    yield Span(start=start, took_s=done.took_s, words=words, kind="load")


def _footprints(name: str, part: Finished[DrillOutcome[SoakFacts]]) -> Iterator[Span]:
    """The times at which the resource usage was counted."""
    moments = [
        (datetime.fromtimestamp(part.at + it["at_s"], UTC), 0.0)
        for it in part.outcome.value["footprints"]
    ]
    if moments:
        yield Span(
            start=datetime.fromtimestamp(part.at, UTC),
            took_s=part.took_s,
            words=f"resource usage: {name}",
            kind="footprint",
            marks=tuple(moments),
        )
