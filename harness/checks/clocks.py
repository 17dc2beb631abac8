"""W1-HOST: the machines' clocks agree, and each follows a source that answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations

from harness.checks.findings import Finding, conclude, items, joined, unknown, wanted
from harness.core.model import Case, Verdict
from harness.facts.host import CHRONY, CLOCK, UNITS, Chrony, ClockBounds, UnitState

# chrony's reference when it follows no source: nothing yet, or its own clock.
_NO_SOURCE = ("00000000", "7F7F0101")
_OTHERS = ("systemd-timesyncd.service", "ntpsec.service", "ntpd.service", "ntp.service")
_REMEDY = "./cutover provision nodes brings chrony"
_DAEMONS = ("chrony.service", "chronyd.service")


def time_daemon(states: Mapping[str, UnitState], field: str, *wanted: str) -> bool:
    """True if chrony, under either of its names, is in one of these states."""
    return any(states.get(unit, {}).get(field) in wanted for unit in _DAEMONS)


def follow_source(case: Case) -> Verdict:
    """Judges the sources, because chrony still says ``Normal`` after its last source died."""
    target = wanted(case, "clock_source_offset_ms", "clock_update_minutes")
    limit = target["clock_source_offset_ms"]
    machines = case.cluster.machines
    seen, units = items(case, CHRONY, machines), items(case, UNITS, machines)
    offsets = {name: abs(chrony.offset_s) * 1000 for name, chrony in seen.values.items()}
    ages = [it.updated_s / 60 for it in seen.values.values() if it.updated_s is not None]
    findings = [
        unknown(name, f"{other} keeps this clock, and only chrony can be asked: {_REMEDY}")
        if (other := other_daemon(states))
        else Finding(name, "expected a running chrony, seen it stopped: the clock follows nothing")
        for name, states in units.values.items()
        if not time_daemon(states, "ActiveState", "active")
    ]
    for name, chrony in seen.values.items():
        findings += [Finding(name, says) for says in _lost(chrony, target["clock_update_minutes"])]
        if offsets[name] > limit:
            text = (
                f"expected a clock within {limit:g} ms of its source, seen {offsets[name]:.1f} ms"
            )
            findings.append(Finding(name, text))
    measured = {"clock_source_offset_ms": max(offsets.values())} if offsets else {}
    return conclude(
        findings,
        joined(seen, units),
        proven=f"every clock is within {limit:g} ms of a source that answers",
        measured=measured | ({"clock_update_minutes": max(0.0, *ages)} if ages else {}),
        target=target,
    )


def other_daemon(states: Mapping[str, UnitState]) -> str | None:
    """The running unit that keeps a clock in chrony's place."""
    return next((it for it in _OTHERS if states.get(it, {}).get("ActiveState") == "active"), None)


def _lost(chrony: Chrony, limit_minutes: float) -> Iterator[str]:
    """Why this chrony follows no source."""
    sources, age_s = chrony.sources, chrony.updated_s
    if chrony.leap == "Not synchronised" or chrony.reference_id in _NO_SOURCE:
        yield f"expected a clock source, seen none ({chrony.leap})"
    elif not sources:
        yield "expected a clock source, seen none configured"
    elif not any(it.reach for it in sources):
        silent = ", ".join(it.name for it in sources)
        yield f"expected a clock source that answers, seen none: no answer from {silent} (reach 0)"
    if age_s is not None and age_s / 60 > limit_minutes:
        yield (
            f"expected an update from a clock source within {limit_minutes:g} min, "
            f"seen the last one {age_s / 60:.0f} min ago"
        )


def agree(case: Case) -> Verdict:
    """Every pair of clocks agrees within the target.

    Each clock is known only within bounds. A pair fails if it certainly differs by more than the
    target. It is not proven if it possibly does.
    """
    target = wanted(case, "clock_between_nodes_ms")
    limit = target["clock_between_nodes_ms"]
    seen = items(case, CLOCK, case.cluster.machines)
    findings, worst = [], 0.0
    for one, other in combinations(sorted(seen.values), 2):
        least, most = _apart_ms(seen.values[one], seen.values[other])
        worst = max(worst, most)
        where = f"{one} and {other}"
        if least > limit:
            findings.append(
                Finding(where, f"expected clocks within {limit:g} ms, seen at least {least:.0f} ms")
            )
        elif most > limit:
            why = f"their clocks differ by {least:.0f} to {most:.0f} ms: too coarse to tell"
            findings.append(unknown(where, why))
    return conclude(
        findings,
        seen,
        proven=f"all clocks agree within {worst:.0f} ms, the measurement's own coarseness included",
        measured={"clock_between_nodes_ms": worst} if len(seen.values) > 1 else {},
        target=target,
    )


def _apart_ms(one: ClockBounds, other: ClockBounds) -> tuple[float, float]:
    """The least and the most by which two bounded clocks can differ."""
    ahead = one.at_least_s - other.at_most_s
    behind = other.at_least_s - one.at_most_s
    return max(0.0, ahead, behind) * 1000, max(-ahead, -behind) * 1000


CHECKS = {
    "every clock follows its source": follow_source,
    "all clocks agree": agree,
}
