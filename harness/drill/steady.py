"""Checks the steady state: whether the cluster has now what the profile declares."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from harness.checks import CHECKS
from harness.checks.ceph import LINGERING
from harness.core.errors import TimedOut
from harness.core.model import Case, Numbers, Outcome
from harness.core.waiting import until
from harness.facts.drills import Bystanders
from harness.gate.evaluation import evaluate
from harness.probes import PROBES
from harness.probes.probe import NOWHERE, observe
from harness.settings import Gates, Profile
from harness.settings.drills import Looks
from harness.transport import Reach

_EVERY_S = 2.0
_AGAIN_EVERY_S = 10.0


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a cluster is not in its steady state: checks that ``failed`` or are ``unknown``."""

    failed: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        return (*self.failed, *self.unknown)


def trouble(reach: Reach, looks: Looks, numbers: Numbers, without: str | None = None) -> Trouble:
    """The current trouble, by some checks; the machine ``without`` is left out.

    ``numbers`` are the targets of the checks. Warnings that Ceph keeps for minutes or a day are no
    current trouble: after one fault that makes a disk or the network slow, no drill would recover
    in time, and no later drill would start.
    """
    # The probes would wait for a faulted machine, and so would those on other machines.
    own = reach if without is None else replace(reach, profile=reach.profile.without(without))
    found = observe([PROBES[name] for name in looks.probes], own)
    blind = [it for it in found if it.target == NOWHERE]
    if blind:
        return Trouble(unknown=tuple(f"{it.probe}: {it.error}" for it in blind))
    cluster = reach.profile.cluster()
    if without is not None:
        cluster = cluster.without(without)
    cluster = replace(cluster, ceph_warnings={**LINGERING, **cluster.ceph_warnings})
    case = Case(cluster=cluster, targets=numbers, observations=found)
    told = [(check, evaluate(check, CHECKS, case, {})) for check in looks.checks]
    return Trouble(
        failed=tuple(f"{check}: {it.reason}" for check, it in told if it.outcome is Outcome.FAIL),
        unknown=tuple(
            f"{check}: {it.reason}" for check, it in told if it.outcome is Outcome.NOT_PROVEN
        ),
    )


def wait_steady(
    reach: Reach, looks: Sequence[Looks], numbers: Numbers, within_s: float
) -> tuple[float, Sequence[str]]:
    """Wait for the steady state: the seconds that took, and what was still wrong at the end.

    Later looks may be expensive: they run once all earlier looks succeed.
    """

    def first() -> Trouble:
        troubles = (trouble(reach, look, numbers) for look in looks)
        return next((it for it in troubles if it.all), Trouble())

    began = time.monotonic()
    last = _until_well(first, within_s)
    return time.monotonic() - began, last.all


def observe_bystanders(
    reach: Reach, looks: Looks, numbers: Numbers, machine: str, within_s: float
) -> Bystanders:
    """The state of the other machines during a fault: they may need a moment to recover.

    The harness observes them for all of ``within_s``, because a component may work at first only
    from its cache. Returns ``took_s`` until they worked and kept working, and what ``failed`` or
    was ``unknown`` at the end.
    """

    def look() -> Trouble:
        return trouble(reach, looks, numbers, machine)

    began = time.monotonic()
    while True:
        last = _until_well(look, _left(began, within_s))
        took_s = time.monotonic() - began
        if last.all or not _relapses(look, _left(began, within_s)):
            break
    return Bystanders(took_s=round(took_s, 2), failed=list(last.failed), unknown=list(last.unknown))


def _left(began: float, within_s: float) -> float:
    return max(0.0, began + within_s - time.monotonic())


def _until_well(look: Callable[[], Trouble], within_s: float) -> Trouble:
    """Look until nothing is wrong or the time is over; returns the trouble at the end."""
    last = [Trouble()]

    def well() -> bool:
        last[0] = look()
        return not last[0].all

    with contextlib.suppress(TimedOut):  # the last trouble is returned
        until(well, within_s=within_s, what="the steady state", every_s=_EVERY_S)
    return last[0]


def _relapses(look: Callable[[], Trouble], for_s: float) -> bool:
    """True if two looks in a row find trouble again: a single look may meet a busy machine."""
    ill = [False]

    def twice() -> bool:
        ill.append(bool(look().all))
        return all(ill[-2:])

    with contextlib.suppress(TimedOut):
        return until(twice, within_s=for_s, what="a relapse", every_s=_AGAIN_EVERY_S)
    return False


def all_numbers(gates: Gates, profile: Profile) -> Numbers:
    """Every target of every requirement, by its key, with the cluster's own numbers."""
    merged: dict[str, float] = {}
    for requirement in gates.requirements:
        merged |= requirement.on(profile.changes(requirement.id)).numbers()
    return merged
