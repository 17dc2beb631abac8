"""The drills of a gate: their order, and whether one still fits into the time that is left."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from harness.core.errors import NotProven
from harness.drill.runner import STEADY_WITHIN_S
from harness.settings import Profile
from harness.settings.drills import Drill

# What a drill takes beside its faults and its recovery: the ledger starts, and is read back.
_AROUND_S = 60.0


def recovery_s(drill: Drill) -> float:
    """How long a drill may take to leave nothing behind, by its own targets (seconds)."""
    return max(drill.targets[key].number for key in ("steady_again_s", "whole_again_s"))


def longest_s(drill: Drill, machines: int) -> float:
    """How long a drill takes on so many machines if it needs all the time that it may (seconds)."""
    faults_s = sum(it.after_s + it.hold_s for it in drill.faults)
    return machines * (STEADY_WITHIN_S + faults_s + recovery_s(drill) + _AROUND_S)


def place(drill: Drill, machines: int) -> tuple[float, float]:
    """A drill's place among the others: lower ones run first.

    What a drill leaves behind can spoil the next one. So the drills with the shortest recovery come
    first and, of these, the shortest ones, so that a budget holds as many as possible.
    """
    return recovery_s(drill), longest_s(drill, machines)


def machine_count(drill: Drill, profile: Profile) -> int:
    """How many machines a drill runs on, one after the other."""
    cluster = profile.cluster()
    counts = {"each-machine": len(cluster.machines), "each-server": len(cluster.servers)}
    return counts.get(drill.where, 1)


@dataclass
class TimeBudget:
    """The seconds in which the drills of one session must end; they count from the first drill."""

    within_s: float
    _began: float | None = field(default=None, init=False)

    def require(self, drill: Drill, machines: int) -> None:
        """NotProven when the drill might not end in the time that is left."""
        now = time.monotonic()
        self._began = now if self._began is None else self._began
        left_s = self.within_s - (now - self._began)
        needed_s = longest_s(drill, machines)
        if needed_s > left_s:
            raise NotProven(
                f"{drill.name} was not started: it takes up to {needed_s / 60:.0f} min, and "
                f"{max(left_s, 0) / 60:.0f} of {self.within_s / 60:.0f} min for drills are left",
                remedy="./cutover gate --resume RUN goes on with what is missing; the profile's "
                "`drills_within_min:` is the time",
            )
