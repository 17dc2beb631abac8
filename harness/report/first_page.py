"""The first page of a report: the decision and its reasons, cut to one printed sheet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from harness.core.model import Outcome
from harness.gate import Judged, Judgement, PastRun, ago
from harness.report.words import OUTCOMES, Word, at_stake, clip, if_we_went_ahead, next_step
from harness.settings import Waiver

T = TypeVar("T")

# The number of rows that fit on one sheet, with the decision above and the signatures below.
# The rows of the readiness matrix, where there is one, take the place of as many others.
RISKS, BARS, ROWS, DRILL_ROWS = 5, 6, 6, 4
_BETTER_FIRST = ("pass", "not_applicable", "waived", "not_proven", "fail")


@dataclass(frozen=True, slots=True, kw_only=True)
class Risk:
    """A row about a requirement that blocks."""

    word: Word
    id: str
    risk: str
    effect: str
    owners: tuple[str, ...]
    why: str
    step: str
    when: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A requirement in the table."""

    word: Word
    id: str
    title: str
    week: int
    change: str
    change_style: str


def weeks(judgement: Judgement) -> list[tuple[int, str, list[tuple[Word, str, str]]]]:
    """A traffic light for each requirement, by the week in which it falls due."""
    all_weeks = sorted({judged.requirement.week for judged in judgement.judged})
    found = []
    for week in all_weeks:
        due = [judged for judged in judgement.judged if judged.requirement.week == week]
        applying = [judged for judged in due if judged.outcome is not Outcome.NOT_APPLICABLE]
        proven = sum(judged.outcome is Outcome.PASS for judged in applying)
        lights = [(OUTCOMES[it.outcome], it.requirement.id, it.requirement.title) for it in due]
        found.append((week, f"{proven} of {len(applying)} proven", lights))
    return found


def way_back(judgement: Judgement) -> str:
    """Whether rolling back is rehearsed: the outcome of its requirement, once it is due."""
    for judged in judgement.judged:
        if judged.requirement.id.endswith("-ROLLBACK"):
            return OUTCOMES[judged.outcome].text.lower()
    return "not due yet"


def split(all_: Sequence[T], is_first: Callable[[T], bool], most: int) -> tuple[list[T], list[T]]:
    """The items that fit on the first page, and the rest; ``is_first`` items come first."""
    if len(all_) <= most:
        return list(all_), []
    chosen = sorted(range(len(all_)), key=lambda place: not is_first(all_[place]))[:most]
    rest = [it for place, it in enumerate(all_) if place not in chosen]
    return [all_[place] for place in sorted(chosen)], rest


def is_news(row: Row) -> bool:
    """True if the row belongs above the others on the first page."""
    return row.change_style in ("worse", "better") or row.word.style not in ("pass", "na")


def day(run: PastRun) -> str:
    return f"{datetime.fromisoformat(run.ended):%d %b}"


def risk_of(judged: Judged, judgement: Judgement) -> Risk:
    requirement = judged.requirement
    owners = [requirement.owner]
    when = [_due(judged, judgement), since(judged, judgement)]
    if judged.outcome is Outcome.WAIVED:
        owners = [f"{it.owner}, approved by {it.approver}" for it in judged.waivers]
        when = []
    when += [_until(it, judgement.run_state.last.moment) for it in judged.waivers]
    return Risk(
        word=OUTCOMES[judged.outcome],
        id=requirement.id,
        risk=at_stake(judged),
        effect=if_we_went_ahead(judged),
        owners=tuple(dict.fromkeys(owners)),
        why=clip(judged.reason.partition("; ")[0], 110),
        step=next_step(judged),
        when=tuple(when),
    )


def _until(waiver: Waiver, moment: datetime) -> str:
    """When a waiver ends, ended or begins, in few enough words for a table."""
    of = f"Waiver of “{waiver.clause}”" if waiver.clause is not None else "Waiver"
    if moment < waiver.created:
        return f"{of} begins {waiver.created:%d %b %Y}"
    if not waiver.covers(moment):
        return f"{of} expired {waiver.expires:%d %b}, {ago(moment - waiver.expires)}"
    days = (waiver.expires - moment).days
    return f"{of} ends {waiver.expires:%d %b %Y} ({days} {'day' if days == 1 else 'days'})"


def row_of(judged: Judged, before: PastRun | None) -> Row:
    requirement, now = judged.requirement, judged.outcome.value
    then = before.requirements.get(requirement.id) if before else None
    change, style = "as before", "same"
    if then is None:
        change = "new"
    elif then != now:
        worse = _BETTER_FIRST.index(now) > _BETTER_FIRST.index(then)
        was = OUTCOMES[Outcome(then)].text.lower()
        change, style = (f"▼ was {was}", "worse") if worse else (f"▲ was {was}", "better")
    return Row(
        word=OUTCOMES[judged.outcome],
        id=requirement.id,
        title=requirement.title,
        week=requirement.week,
        change=change,
        change_style=style,
    )


def began(judged: Judged, judgement: Judgement) -> tuple[datetime, str, int]:
    """When and in which run the requirement got its verdict, and how many runs ago (0: this)."""
    run_state = judgement.run_state
    before = run_state.manifest.streak(judged.requirement.id)
    if before is None or before.verdict != judged.outcome.value:
        return run_state.last.moment, run_state.manifest.run, 0
    return datetime.fromisoformat(before.ended), before.run, before.runs


def since(judged: Judged, judgement: Judgement) -> str:
    """Since when the requirement has had its present verdict, and what it had before."""
    moment, _, runs_ago = began(judged, judgement)
    word = OUTCOMES[judged.outcome].text
    if runs_ago:
        return f"{word} since {moment:%d %b}, {runs_ago + 1} runs"
    before = judgement.run_state.manifest.streak(judged.requirement.id)
    if before is None:
        return f"{word} on {moment:%d %b}, not judged before"
    was = OUTCOMES[Outcome(before.verdict)].text.lower()
    runs = "in the run before" if before.runs == 1 else f"in the {before.runs} runs before"
    return f"{word} on {moment:%d %b} for the first time; {was} {runs}"


def _due(judged: Judged, judgement: Judgement) -> str:
    """The date by which its next step is due."""
    moment, _, _ = began(judged, judgement)
    by = moment + timedelta(days=judged.requirement.within_days)
    now = judgement.run_state.last.moment
    return f"By {by:%d %b}" if now <= by else f"Was due by {by:%d %b}, {ago(now - by)}"
