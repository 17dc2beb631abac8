"""The readiness matrix: what each drill cost customers, against its target, worst first."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.core.model import Outcome, merge
from harness.facts.drills import DRILLS, DrillFacts
from harness.gate import Ground, Judgement
from harness.report.words import OUTCOMES, Word, clip, with_unit
from harness.settings.drills import DRILLS_REQUIREMENT

# What the matrix compares, by the key of the number: its heading, with the field's short name.
COLUMNS: Mapping[str, str] = {
    "outage_s": "Service back after (RTO)",
    "rpo_s": "Work lost (RPO)",
    "lost_count": "Records lost",
    "duplicated_count": "Records doubled",
    "steady_again_s": "All well again after",
}
_ORDER = (
    Outcome.FAIL,
    Outcome.NOT_PROVEN,
    Outcome.WAIVED,
    Outcome.PASS,
    Outcome.NOT_APPLICABLE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A number of a drill, and its target in words."""

    measured: str
    target: str
    is_missed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillRow:
    """A drill's line; ``why`` is empty unless it stands in the way."""

    word: Word
    drill: str
    title: str
    requirement: str
    cells: tuple[Cell, ...]
    why: str
    stands_in_the_way: bool


def readiness(judgement: Judgement) -> tuple[DrillRow, ...]:
    """A row for each drill of a run that carried out several; empty for any other run.

    What stands in the way comes first, and what came closest to its limits before the rest.
    """
    run_state = judgement.run_state
    done = {**run_state.drills, **dict(run_state.observed(DRILLS))}
    if len(done) < 2:
        return ()
    found = []
    for drill, grounds in _by_drill(judgement).items():
        facts = done[drill].outcome.value if drill in done else None
        found.append(_ranked(drill, facts, grounds))
    return tuple(row for _, _, row in sorted(found, key=lambda it: it[:2]))


def _by_drill(judgement: Judgement) -> Mapping[str, Sequence[tuple[str, Ground]]]:
    """What is known of each drill of W9-DRILLS: the requirement, and each of its grounds."""
    scenarios = judgement.run_state.manifest.scenarios
    wanted = {it.drill for it in scenarios if DRILLS_REQUIREMENT in it.requirements}
    drills = {it.id: it.drill for it in scenarios if it.drill in wanted}
    found: dict[str, list[tuple[str, Ground]]] = {}
    for judged in judgement.judged:
        for ground in judged.grounds:
            drill = drills.get(ground.scenario or "")
            if drill is not None:
                found.setdefault(drill, []).append((judged.requirement.id, ground))
    return found


def _ranked(
    drill: str, facts: DrillFacts | None, grounds: Sequence[tuple[str, Ground]]
) -> tuple[int, float, DrillRow]:
    """The row after its place: the outcome's, then how near its numbers came to their limits."""
    outcome = merge(ground.outcome for _, ground in grounds)
    measured = {
        key: number
        for _, ground in grounds
        if ground.evaluation is not None
        for key, number in ground.evaluation.verdict.measured.items()
    }
    targets = dict(_targets(facts)) if facts is not None else {}
    requirement, worst = next(it for it in grounds if it[1].outcome is outcome)
    row = DrillRow(
        word=OUTCOMES[outcome],
        drill=drill,
        title=facts["title"] if facts is not None else drill.replace("-", " ").capitalize(),
        requirement=requirement,
        cells=tuple(_cell(key, measured.get(key), targets.get(key)) for key in COLUMNS),
        why="" if outcome is Outcome.PASS else clip(worst.reason, 100),
        stands_in_the_way=outcome not in (Outcome.PASS, Outcome.NOT_APPLICABLE),
    )
    nearest = max((_used(measured[it], targets[it]) for it in measured if it in targets), default=0)
    return _ORDER.index(outcome), -nearest, row


def _targets(facts: DrillFacts) -> Iterator[tuple[str, float]]:
    """The drill's own limits; if no record may be lost, the age of a lost record is 0 s too."""
    for key in COLUMNS:
        if key in facts["targets"]:
            yield key, facts["targets"][key][1]
    if facts["targets"].get("lost_count", ("", 1.0))[1] == 0:
        yield "rpo_s", 0.0


def _used(number: float, limit: float) -> float:
    """The part of a limit that is used up; above 1, it is missed."""
    if limit:
        return number / limit
    return math.inf if number else 0.0


def _cell(key: str, number: float | None, limit: float | None) -> Cell:
    is_missed = number is not None and limit is not None and number > limit
    target = f"at most {with_unit(limit, key)}" if limit is not None else "no target"
    return Cell(
        measured=with_unit(number, key) if number is not None else "unknown",
        target=f"{target}, missed" if is_missed else target,
        is_missed=is_missed,
    )
