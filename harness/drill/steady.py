"""The steady state: is all that the profile promises there, right now?"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial

from harness.checks import CHECKS
from harness.errors import HarnessError, TimedOut
from harness.model import Case, Numbers, Observation, Outcome
from harness.probes import PROBES, pods
from harness.settings import Gates
from harness.settings.drills import Steady
from harness.transport import Reach
from harness.waiting import until

_EVERY_S = 2.0


def trouble(reach: Reach, steady: Steady, numbers: Numbers) -> Sequence[str]:
    """What keeps the cluster from its steady state; nothing when it is in it.

    ``numbers`` are the targets that checks ask for. Whatever could not be seen is a trouble, too.
    """
    seen = pods.in_each(steady.probes, partial(_observe, reach))
    lost = [f"{probe}: {it}" for probe, it in seen.items() if isinstance(it, HarnessError)]
    found = [one for it in seen.values() if not isinstance(it, HarnessError) for one in it]
    case = Case(cluster=reach.profile.cluster(), targets=numbers, observations=found)
    return lost or [reason for check in steady.checks for reason in _objection(check, case)]


def until_steady(
    reach: Reach, steady: Steady, numbers: Numbers, within_s: float
) -> tuple[float, Sequence[str]]:
    """Wait for the steady state: the seconds that took, and what was in its way at the end."""
    began = time.monotonic()
    last: list[str] = []

    def well() -> bool:
        last[:] = trouble(reach, steady, numbers)
        return not last

    try:
        until(well, within_s=within_s, what="the steady state", every_s=_EVERY_S)
    except TimedOut:
        return time.monotonic() - began, tuple(last)
    return time.monotonic() - began, ()


def all_numbers(gates: Gates) -> Numbers:
    """Every target of every requirement, by its key."""
    merged: dict[str, float] = {}
    for requirement in gates.requirements:
        merged |= requirement.numbers()
    return merged


def _observe(reach: Reach, name: str) -> Sequence[Observation]:
    probe = PROBES[name]
    targets = probe.targets(reach)

    def look(target: str) -> Observation:
        began = time.monotonic()
        value, error = None, None
        try:
            value = probe.observe(reach, target)
        except HarnessError as problem:
            error = str(problem)
        took_s = time.monotonic() - began
        return Observation(
            probe=name, target=target, at=time.time(), took_s=took_s, value=value, error=error
        )

    looks: Mapping[str, Observation | HarnessError] = pods.in_each(targets, look)
    return [it for it in looks.values() if isinstance(it, Observation)]


def _objection(check: str, case: Case) -> Sequence[str]:
    try:
        verdict = CHECKS[check](case)
    except Exception as error:  # a check that breaks has not said that all is well
        return [f"{check}: {type(error).__name__}: {error}"]
    well = verdict.outcome in (Outcome.PASS, Outcome.NOT_APPLICABLE)
    return [] if well else [f"{check}: {verdict.reason}"]
