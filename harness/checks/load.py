"""W9-DRILLS, W9-SOAK: how visitors fared, once it is certain that they came as planned.

What is judged is the value of a load beside a drill or a soak (``harness.drill.loads``). A load of
which less than 99 % began when it was planned says nothing of the platform: whoever offered it was
too busy.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, TypeAlias

from harness.checks.findings import Finding, unknown

# What became of a load; None when none was offered.
Value: TypeAlias = Mapping[str, Any] | None

OFFERED_PERCENT = 99.0
OF_DRILL = ("before", "during", "healing", "again")
OF_SOAK = ("all",)
# What is steady again in the second in which the fault was taken back leaves no whole one between.
_MAY_BE_BRIEF = ("healing",)
_WORDS = {
    "before": "before anything was broken",
    "during": "while it was broken",
    "healing": "until the steady state was back",
    "again": "in the steady state again",
    "all": "at all",
}


def unoffered(where: str, load: Value, phases: Collection[str]) -> Iterator[Finding]:
    """Why nothing follows from a load; nothing when something does."""
    if load is None:
        yield unknown(where, "no load was offered")
        return
    for trouble in load["troubles"]:
        yield unknown(where, trouble)
    if load["troubles"] and not load["phases"]:
        return  # they say why there are none
    for phase in phases:
        seen = load["phases"].get(phase)
        if seen is not None and seen["planned"] == 0 and phase in _MAY_BE_BRIEF:
            continue
        if seen is None or seen["answered"] + seen["failed"] == 0:
            yield unknown(where, f"no request was made {_WORDS[phase]}")
    planned = sum(it["planned"] for it in load["phases"].values())
    offered = sum(it["on_time"] for it in load["phases"].values())
    if planned and 100 * offered / planned < OFFERED_PERCENT:
        text = f"only {offered} of {planned} planned requests began in time: at least "
        yield unknown(where, f"{text}{OFFERED_PERCENT:g} % are needed to judge any")


def failed_percent(load: Mapping[str, Any]) -> float:
    """How many of all requests were not served."""
    made: int = sum(it["answered"] + it["failed"] for it in load["phases"].values())
    failed: int = sum(it["failed"] for it in load["phases"].values())
    return round(100 * failed / made, 3)


def failures(load: Mapping[str, Any]) -> str:
    """What failed when, in words."""
    return "; ".join(
        f"{it['failed']} of {it['answered'] + it['failed']} {_WORDS[phase]} ("
        + ", ".join(f"{kind}: {number}" for kind, number in sorted(it["errors"].items()))
        + ")"
        for phase, it in load["phases"].items()
        if it["failed"]
    )
