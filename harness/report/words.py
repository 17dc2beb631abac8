"""The wording of reports: icons with words, never colour alone, and numbers for people."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.core.model import Decision, Outcome
from harness.gate import Judged, Judgement
from harness.settings import UNITS, Target, unit_of

# Control characters except tab and line feed, direction marks, lone surrogates, and non-characters.
_NOT_SHOWN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069"
    r"\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)


def printable(text: str) -> str:
    """The text with � for what HTML forbids, what steers a terminal, and what turns text around."""
    return _NOT_SHOWN.sub("�", text)


@dataclass(frozen=True, slots=True)
class Word:
    """An outcome in a report; ``style`` is its class on the page."""

    icon: str
    text: str
    style: str


OUTCOMES: Mapping[Outcome, Word] = {
    Outcome.PASS: Word("✓", "Proven", "pass"),
    Outcome.FAIL: Word("✕", "Failed", "fail"),
    Outcome.NOT_PROVEN: Word("?", "Not proven", "unproven"),
    Outcome.WAIVED: Word("◐", "Waived", "waived"),
    Outcome.NOT_APPLICABLE: Word("–", "Not applicable", "na"),
}

DECISIONS: Mapping[Decision, Word] = {
    Decision.GO: Word("✓", "GO", "pass"),
    Decision.GO_WITH_WAIVERS: Word("◐", "GO with waivers", "waived"),
    Decision.NO_GO: Word("✕", "NO-GO", "fail"),
    Decision.NOT_PROVEN: Word("?", "NOT PROVEN", "unproven"),
    Decision.REFUSED: Word("✕", "REFUSED", "unproven"),
    Decision.UNHEALED: Word("✕", "UNHEALED", "fail"),
}


def number(value: float) -> str:
    """1,204 or 14.2 or 0.07: as many digits as a reader needs."""
    if value == int(value):
        return f"{int(value):,}"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2g}"


def with_unit(value: float, key: str) -> str:
    """A number with the unit that its key ends in: ``14.2 ms``."""
    unit = UNITS.get(unit_of(key) or "", "")
    return f"{number(value)} {unit}".strip()


def bound(target: Target, key: str) -> str:
    """A target as a report writes it: ``≤ 10 ms``."""
    return f"{target.sign} {with_unit(target.number, key)}"


def duration(seconds: float) -> str:
    """41 min or 11 s: as exact as a reader needs."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def listing(words: Sequence[str]) -> str:
    """One, two and three."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def clip(text: str, most: int) -> str:
    """The first line of a text, cut at a word when it is longer than ``most`` characters."""
    line = text.partition("\n")[0]
    return line if len(line) <= most else f"{line[:most].rsplit(' ', 1)[0]} …"


def headline(judgement: Judgement) -> str:
    """The decision in words: ``NO-GO for week 4``; a partial run decides no week."""
    manifest = judgement.run_state.manifest
    whole = f"week {manifest.week}"
    part = f"{len(manifest.requirements)} of {manifest.due} requirements of {whole}"
    return f"{DECISIONS[judgement.decision].text} for {part if manifest.only else whole}"


def account(judgement: Judgement) -> str:
    """What was proven and what was not, in sentences for a manager."""
    applying = len(judgement.judged) - judgement.count(Outcome.NOT_APPLICABLE)
    proven = judgement.count(Outcome.PASS)
    noun = "requirement" if applying == 1 else "requirements"
    verb = "is" if 1 in (proven, applying) else "are"
    sentences = [f"{proven} of {applying} {noun} {verb} proven."]
    failed = [it for it in judgement.judged if it.outcome is Outcome.FAIL]
    if failed:
        named = dict.fromkeys(_lower_first(it.requirement.risk) for it in failed[:3])
        risks = listing(list(named))
        more = f" and {len(failed) - 3} more" if len(failed) > 3 else ""
        sentences.append(f"{_count(len(failed), 'failed')}: {risks}{more}.")
    sentences += _others(judgement)
    if judgement.decision is Decision.REFUSED:
        why = ". ".join(map(str.strip, (judgement.run_state.refused or "").splitlines()))
        sentences.insert(0, f"Nothing was touched: {why}.")
    if not judgement.run_state.ended:
        sentences.append("The run did not come to its end.")
    if judgement.decision is Decision.UNHEALED:
        sentences.insert(0, "A fault that was injected could not be undone.")
    return " ".join(sentences)


def _others(judgement: Judgement) -> list[str]:
    sentences = []
    unproven = judgement.count(Outcome.NOT_PROVEN)
    if unproven:
        sentences.append(f"{_count(unproven, 'could not be proven')}.")
    waived = [it for it in judgement.judged if it.outcome is Outcome.WAIVED]
    if waived:
        first = min((it for one in waived for it in one.waivers), key=lambda it: it.expires)
        until = f"until {first.expires:%d %B %Y} ({first.owner})"
        sentences.append(f"{_count(len(waived), 'waived', be=True)} {until}.")
    absent = judgement.count(Outcome.NOT_APPLICABLE)
    if absent:
        sentences.append(f"{_count(absent, 'not applicable to this cluster', be=True)}.")
    return sentences


def blocking(judgement: Judgement) -> tuple[Judged, ...]:
    """The requirements that block, worst first: failed, not proven, then waived."""
    order = (Outcome.FAIL, Outcome.NOT_PROVEN, Outcome.WAIVED)
    found = [judged for judged in judgement.judged if judged.outcome in order]
    return tuple(sorted(found, key=lambda judged: order.index(judged.outcome)))


def at_stake(judged: Judged) -> str:
    """What is wrong; for a requirement that is not proven, only that it is unknown."""
    if judged.outcome is Outcome.NOT_PROVEN:
        return f"We do not know that {_lower_first(judged.requirement.title)}"
    return judged.requirement.risk


def if_we_went_ahead(judged: Judged) -> str:
    """What customers or the business would feel."""
    if judged.outcome is Outcome.NOT_PROVEN:
        return f"We would not know. At worst: {_lower_first(judged.requirement.effect)}"
    return judged.requirement.effect


def next_step(judged: Judged) -> str:
    """The next step: repair a failure, or examine the unknown."""
    if judged.outcome is not Outcome.NOT_PROVEN:
        return judged.requirement.remedy
    if not any(ground.scenario for ground in judged.grounds):
        return "Write the scenario that proves it."
    return "Remove the cause named, then run it again."


_SMALL = ("None", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten")


def _count(count: int, text: str, *, be: bool = False) -> str:
    how_many = _SMALL[count] if count < len(_SMALL) else str(count)
    verb = ("is " if count == 1 else "are ") if be else ""
    return f"{how_many} {verb}{text}"


def _lower_first(text: str) -> str:
    """Lower the first letter, except in a name or an abbreviation: etcd, but RKE2."""
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]
