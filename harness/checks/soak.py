"""W9-SOAK: hours of work with random faults, and nothing lost, leaked or slower at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

from harness.checks import clients
from harness.checks.findings import Finding, Seen, conclude, looks, unknown, wanted
from harness.checks.theil_sen import slope
from harness.core.model import Case, Outcome, Verdict
from harness.facts.drills import SOAK, EndReason, Footprint, SoakFacts, TurnFacts

# The amount of each thing, by place.
_Places: TypeAlias = Mapping[str, Mapping[str, int] | str]

_HOUR_S = 3600.0
_MIB = "_mib"
# What is free also goes into caches: its amount tells nothing.
_FREE = "available_mib"
# So small a difference in number is no leak.
_SLACK = 8


def _parts(case: Case) -> tuple[Seen[SoakFacts], Mapping[str, SoakFacts]]:
    """What was seen of the soak, part by part: a resumed soak has several parts."""
    seen = looks(case, SOAK, case.of(SOAK.name))
    return seen, seen.values


def _turns(parts: Mapping[str, SoakFacts]) -> Iterator[tuple[str, TurnFacts]]:
    for name, part in parts.items():
        for turn in part["turns"]:
            yield f"{name}, turn {turn['number']} on {turn['machine']}", turn


def lasted(case: Case) -> Verdict:
    """All parts together lasted as long as planned, with at least one fault, and under load.

    A cluster without an ingress has no load; the soak then proves nothing about load.
    """
    seen, parts = _parts(case)
    target = wanted(case, "soak_hours")
    findings = []
    for number, (name, part) in enumerate(parts.items(), start=1):
        if (ended := part["ended"]) is not None:
            is_resumable = EndReason.of(ended).is_resumable
            # The length of all parts together counts, also for a resumed part.
            if not (is_resumable and number < len(parts)):
                make = unknown if is_resumable else Finding
                findings.append(make(name, f"it ended early: {ended}"))
        if (offered := part.get("load")) is not None:
            findings += clients.unoffered(name, offered, clients.OF_SOAK)
            limits = case.cluster.ingress.limits if case.cluster.ingress is not None else {}
            findings += clients.limited_by_ingress(name, offered, limits)
    hours = round(sum(part["lasted_s"] for part in parts.values()) / _HOUR_S, 4)
    if parts and not any("seen_s" in f for _, turn in _turns(parts) for f in turn["faults"]):
        findings.append(unknown(SOAK.name, "no fault was injected in all that time"))
    if parts and hours < target["soak_hours"]:
        findings.append(
            unknown(SOAK.name, f"{hours:g} of {target['soak_hours']:g} hours were soaked")
        )
    return conclude(
        findings,
        seen,
        proven=f"it went on for {hours:g} hours",
        measured={"soak_hours": hours},
        target=target,
    )


def faults_were_real(case: Case) -> Verdict:
    """As in a drill: an observer saw each fault, and the steady state came back.

    A turn that was refused broke nothing. A turn that broke off with its harness proved nothing. A
    few such turns are allowed, because a fault can be too much at that moment. With many of them,
    the soak proves less than its hours suggest.
    """
    seen, parts = _parts(case)
    findings = list(_too_many_idle(parts))
    count = refused = 0
    for where, turn in _turns(parts):
        refused += _idle(turn) is not None
        if "error" in turn:
            findings.append(unknown(where, turn["error"]))
        for fault in turn["faults"]:
            count += 1
            words = f"{fault['fault']} of {fault['target']}"
            if "unseen" in fault:
                findings.append(unknown(where, f"{words}: {fault['unseen']}"))
            if fault["aborted"]:
                ended = f"{words} was aborted: {fault['aborted']}"
                broke = Finding(where, f"{words} had unexpected side effects: {fault['aborted']}")
                findings.append(unknown(where, ended) if fault.get("ours") else broke)
        if turn.get("after"):
            text = f"the steady state did not come back: {turn['after'][0]}"
            findings.append(Finding(where, text))
    proven = f"{count} faults came and went"
    if refused:
        proven += f", {refused} turns were refused or broke off"
    measured = {"faults_count": float(count), "refused_count": float(refused)}
    return conclude(findings, seen, proven=proven, measured=measured)


def _idle(turn: TurnFacts) -> str | None:
    """Why a turn proved nothing; None for a turn that can be judged."""
    return turn.get("refused", turn.get("broken_off"))


def _too_many_idle(parts: Mapping[str, SoakFacts]) -> Iterator[Finding]:
    """Counts all parts together, because a resumed part may have only a few turns."""
    turns = [turn for _, turn in _turns(parts)]
    whys = [why for turn in turns if (why := _idle(turn)) is not None]
    most = min((part["refused_percent"] for part in parts.values()), default=0.0)
    if whys and len(whys) * 100 > most * len(turns):
        text = f"at most {most:g} % of {len(turns)} turns may be refused or broken off, and"
        yield unknown(SOAK.name, f"{text} {len(whys)} were: {'; '.join(dict.fromkeys(whys))}")


def nothing_leaked(case: Case) -> Verdict:
    """Neither the end nor the trend has more of each thing than the start and what is allowed.

    The last look alone may miss a leak: something was freed just then. A trend is the growth that
    all looks together prove, over the whole part (``harness.checks.theil_sen``).
    """
    seen, parts = _parts(case)
    findings = []
    growth: list[float] = []
    for name, part in parts.items():
        prints = part["footprints"]
        if len(prints) < 2:
            findings.append(unknown(name, "fewer than two looks at the resource usage were taken"))
            continue
        findings += _grown(name, prints[0]["seen"], prints[-1]["seen"], part["grows_percent"])
        for (place, kind), points in series(prints).items():
            trend, lasted_s = slope(points), points[-1][0] - points[0][0]
            if trend is None:
                continue
            start = points[0][1]
            growth += [100 * trend.middle * lasted_s / start] if start else []
            most = _allowed(kind, start, part["grows_percent"]) - start
            if trend.least * lasted_s > most:
                text = f"expected {kind} to grow by at most {most:.0f} in {_hours(lasted_s)}, seen"
                text += f" a trend of at least {trend.least * lasted_s:.0f}"
                findings.append(Finding(f"{name}, {place}", f"{text} ({start:.0f} at the start)"))
    measured = {"growth_percent": round(max(growth), 2)} if growth else {}
    proven = "nothing grew that should not have"
    return conclude(findings, seen, proven=proven, measured=measured)


def series(prints: Sequence[Footprint]) -> Mapping[tuple[str, str], list[tuple[float, float]]]:
    """The amounts over time (seconds), by place and kind, of all that may leak."""
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for it in prints:
        for place, amounts in it["seen"].items():
            for kind, number in amounts.items() if not isinstance(amounts, str) else ():
                if kind != _FREE:
                    found.setdefault((place, kind), []).append((it["at_s"], float(number)))
    return found


def _allowed(kind: str, start: float, percent: float) -> float:
    """How much there may be at the end."""
    slack = _SLACK * 8 if kind.endswith(_MIB) else _SLACK
    return start * (1 + percent / 100) + slack


def _hours(seconds: float) -> str:
    return f"{seconds / _HOUR_S:.1f} hours"


def _grown(part: str, first: _Places, last: _Places, percent: float) -> Iterator[Finding]:
    for place in sorted(first.keys() | last.keys()):
        where = f"{part}, {place}"
        before, after = first.get(place, "not looked at"), last.get(place, "not looked at")
        if isinstance(before, str) or isinstance(after, str):
            yield unknown(where, str(before if isinstance(before, str) else after))
            continue
        for kind, number in before.items():
            most = _allowed(kind, number, percent)
            if kind != _FREE and after[kind] > most:
                text = f"expected at most {most:.0f} {kind} at the end, seen {after[kind]}"
                yield Finding(where, f"{text} ({number} at the start)")


def no_slower(case: Case) -> Verdict:
    """Compares the median time to an acknowledgement in the last quarter and the first."""
    seen, parts = _parts(case)
    findings = []
    worst = 0.0
    for name, part in parts.items():
        spans = part["latency_ms"]
        if len(spans) < 2 or not spans[0] or not spans[-1]:
            findings.append(unknown(name, "too few acknowledgements to compare early and late"))
            continue
        for kind in sorted(spans[0].keys() | spans[-1].keys()):
            if kind not in spans[0] or kind not in spans[-1]:
                findings.append(unknown(f"{name}, {kind}", "nothing was acknowledged then"))
                continue
            ratio = spans[-1][kind] / max(spans[0][kind], 0.001)
            worst = max(worst, ratio)
            if ratio > part["slower_ratio"]:
                text = (
                    f"expected at most {part['slower_ratio']:g} × as long at the end, seen "
                    f"{spans[-1][kind]:g} ms after {spans[0][kind]:g} ms"
                )
                findings.append(Finding(f"{name}, {kind}", text))
    return conclude(
        findings,
        seen,
        proven="answers took as long at the end as at the start",
        measured={"slower_ratio": round(worst, 3)},
    )


def _of_ledger(check: Callable[[Case], Verdict]) -> Callable[[Case], Verdict]:
    """A check of the ledger, if the soak has any part."""

    def judge(case: Case) -> Verdict:
        seen, _ = _parts(case)
        soaked = conclude([], seen, proven="")
        return check(case) if soaked.outcome is Outcome.PASS else soaked

    return judge


CHECKS = {
    "the soak lasted as long as it should": lasted,
    "every fault of the soak came and went": faults_were_real,
    "the soak lost no acknowledged write": _of_ledger(clients.nothing_lost),
    "the soak left no write twice or from nowhere": _of_ledger(clients.nothing_invented),
    "the bank kept its total through the soak": _of_ledger(clients.total_constant),
    "nothing leaked": nothing_leaked,
    "answers did not become slower": no_slower,
}
