"""An evaluation: one check, judged for one requirement from the journal's records.

A check's "no" always counts. Its "yes" counts only when something was seen, every look that the
scenario requested was answered, and the check's own numbers meet the targets.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.checks import Check
from harness.core.model import Case, Outcome, Verdict
from harness.settings import Requirement, Target

_A_CHECK_MAY_SAY = (Outcome.PASS, Outcome.FAIL, Outcome.NOT_PROVEN, Outcome.NOT_APPLICABLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """A check's conclusion for a requirement, with the journal lines and files it judged.

    ``looked`` is when the newest of them was seen (UTC seconds since the epoch); None when nothing
    was seen.
    """

    check: str
    requirement: str
    verdict: Verdict
    looked: float | None
    lines: tuple[int, ...]
    files: tuple[str, ...]


def explained(evaluation: Evaluation, requirement: Requirement) -> str:
    """What was expected, what was seen, where, and what to do, in lines."""
    verdict = evaluation.verdict
    lines = [f"{requirement.id} “{evaluation.check}”: {verdict.reason}"]
    expected = [f"{key} {t.sign} {t.number:g}" for key, t in requirement.targets.items()]
    seen = [f"{key} {number:g}" for key, number in verdict.measured.items()]
    for word, values in (("expected", expected), ("seen", seen), ("where", verdict.where)):
        if values:
            lines.append(f"  {word:<11}{', '.join(values)}")
    return "\n".join([*lines, f"  {'what to do':<11}{requirement.remedy}"])


def evaluate(
    name: str,
    checks: Mapping[str, Check],
    case: Case,
    targets: Mapping[str, Target],
    unseen: Sequence[str] = (),
) -> Verdict:
    """The check's verdict, or NOT PROVEN with the reason why it does not count.

    ``targets`` are bounds for the numbers that the check measured. ``unseen`` names the looks
    ("probe on target") that began and left no observation.
    """
    if name not in checks:
        return _not_proven(f"there is no check named “{name}”")
    if not case.observations:
        return _not_proven(f"nothing was observed before “{name}” was asked")
    try:
        verdict = checks[name](case)
    except (Exception, SystemExit) as error:  # sys.exit(0) would end a run well
        return _not_proven(f"the check “{name}” broke: {type(error).__name__}: {error}")
    if not isinstance(verdict, Verdict) or verdict.outcome not in _A_CHECK_MAY_SAY:
        return _not_proven(f"the check “{name}” answered {verdict!r}, which is no verdict")
    odd = [key for key, number in verdict.measured.items() if not math.isfinite(number)]
    if odd:
        return _not_proven(f"the check “{name}” measured {', '.join(odd)} and got no number")
    if verdict.outcome is Outcome.PASS:
        for doubt in _doubts(name, verdict, case, targets, unseen):
            return Verdict(
                outcome=Outcome.NOT_PROVEN,
                reason=doubt,
                measured=verdict.measured,
                target=verdict.target,
                where=verdict.where,
            )
    return verdict


def _doubts(
    name: str,
    verdict: Verdict,
    case: Case,
    targets: Mapping[str, Target],
    unseen: Sequence[str],
) -> Iterator[str]:
    for look in unseen:
        yield f"{look} was begun and never came back"
    for seen in case.observations:
        if seen.error is not None:
            yield f"{seen.probe} could not look at {seen.target}: {seen.error}"
    for key, target in targets.items():
        number = verdict.measured.get(key)
        if number is not None and not target.warns and not target.met_by(number):
            yield (
                f"the check “{name}” passed, but its own {key} {number:g} "
                f"is not {target.sign} {target.number:g}"
            )


def _not_proven(reason: str) -> Verdict:
    return Verdict(outcome=Outcome.NOT_PROVEN, reason=reason)
