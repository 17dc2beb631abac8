"""Measured numbers against their targets, as bars."""

from __future__ import annotations

from dataclasses import dataclass

from harness.core.model import Outcome, Severity
from harness.gate import Judged, Judgement
from harness.report.words import bound, with_unit
from harness.settings import Target, unit_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One bar: ``fill`` and ``mark`` are percentages of it, ``style`` is ok, bad or warn."""

    words: str
    note: str
    measured: str
    target: str
    fill: float
    mark: float
    style: str
    where: str


def bars(judgement: Judgement) -> tuple[Bar, ...]:
    """A bar for each number that was measured and has a target.

    Missed targets come first, then those whose requirement blocks, then minor ones.
    """
    severities = list(Severity)
    by_weight = sorted(
        judgement.judged, key=lambda judged: severities.index(judged.requirement.severity)
    )
    found = [
        _bar(judged, key, target, judged.measured[key])
        for judged in by_weight
        if judged.outcome is not Outcome.NOT_APPLICABLE
        for key, target in judged.requirement.targets.items()
        if key in judged.measured
    ]
    return tuple(sorted(found, key=lambda bar: ("bad", "warn", "ok").index(bar.style)))


def _bar(judged: Judged, key: str, target: Target, value: float) -> Bar:
    full = 100.0 if unit_of(key) == "percent" else max(2 * target.number, 1.1 * value, 1.0)
    met = target.met_by(value)
    words, bracket, note = target.words.partition(" (here, ")
    places = [
        place
        for evaluation in judged.evaluations
        if key in evaluation.verdict.measured and evaluation.verdict.outcome is Outcome.FAIL
        for place in evaluation.verdict.where
    ]
    return Bar(
        words=words,
        note=f"{bracket}{note}",
        measured=with_unit(value, key),
        target=bound(target, key),
        fill=round(min(100.0, max(0.0, 100 * value / full)), 1),
        mark=round(100 * target.number / full, 1),
        style="ok" if met else "warn" if target.warns else "bad",
        where=", ".join(dict.fromkeys(places)),
    )
