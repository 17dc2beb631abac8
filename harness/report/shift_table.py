"""The steps of a move of the traffic, for the engineers' part of a report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.core.errors import Garbled
from harness.facts.schema import read
from harness.facts.shift import SHIFT, Quality, Return, Shift, Step
from harness.gate import RunState

NOT_KNOWN = "–"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShiftRow:
    """One share in words; ``style`` is that of its verdict, and ``ways_back`` one line each."""

    share: str
    measured: str
    shown: str
    answers: str
    p99: str
    word: str
    style: str
    ways_back: tuple[str, ...]


def shift_rows(run_state: RunState) -> tuple[ShiftRow, ...]:
    """A row of each share that was looked at; none without a move that this version can read."""
    return tuple(row for moved in _moves(run_state) for row in _rows(moved))


def _moves(run_state: RunState) -> Iterator[Shift]:
    for seen in run_state.observations(SHIFT.name).values():
        try:
            if seen.error is None:
                yield read(SHIFT.kind, seen.value)
        except Garbled:
            continue


def _rows(moved: Shift) -> Iterator[ShiftRow]:
    if moved.before is not None:
        yield _row(moved.before, ())
    judged = {step.share for step in moved.steps}
    for step in moved.steps:
        yield _row(step, [it for it in moved.returns if it.from_share == step.share])
    for back in moved.returns:
        if back.from_share not in judged:
            yield ShiftRow(
                share=f"{back.from_share} %",
                measured=NOT_KNOWN,
                shown=NOT_KNOWN,
                answers=NOT_KNOWN,
                p99=NOT_KNOWN,
                word="not judged",
                style="unproven",
                ways_back=(_back(back),),
            )


def _row(step: Step, returns: list[Return] | tuple[()]) -> ShiftRow:
    side = step.window.target if step.share else step.window.source
    measured, good = step.window.measured_percent, step.quality is Quality.GOOD
    undecided = step.quality is Quality.UNDECIDED
    return ShiftRow(
        share=f"{step.share} %",
        measured=NOT_KNOWN if measured is None else f"{measured:.1f} %",
        shown=_seconds(step.shown_s),
        answers=f"{side.answers}, {len(side.errors_at)} failed",
        p99=f"{_ms(side.p99_ms)} / {_ms(step.reference_p99_ms)}",
        word=step.quality.value,
        style="pass" if good else "unproven" if undecided else "fail",
        ways_back=tuple(_back(it) for it in returns),
    )


def _back(it: Return) -> str:
    told = f"{it.to_share} % after {_seconds(it.back_s)}, command {_seconds(it.set_s)}"
    if it.first_error_s is None:
        return told
    return f"{told}, first error {_seconds(it.first_error_s)} before"


def _seconds(value: float | None) -> str:
    return NOT_KNOWN if value is None else f"{value:.1f} s"


def _ms(value: float | None) -> str:
    return NOT_KNOWN if value is None else f"{value:.0f} ms"
