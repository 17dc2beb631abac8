"""The switch of the databases, there and back: its steps, the freeze, and what is left of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from harness.facts.schema import Fact


class Step(StrEnum):
    """The steps of a switch, in their order; the way back begins with LAG."""

    STREAMS = "starting the streams in both directions"
    LAG = "waiting until the stream has no lag"
    LONG = "waiting for the end of long transactions"
    BACK = "waiting for a heartbeat on the way back"
    QUEUES = "waiting until the queues are drained"
    FREEZE = "freezing the databases"
    CAUGHT_UP = "waiting for the last write before the freeze"
    SEQUENCES = "carrying the sequences"
    TURN = "turning the streams round"
    SWITCH = "switching over"
    FIRST_WRITE = "waiting for the first write"
    BACK_AGAIN = "waiting for a heartbeat of the other side"


@dataclass(frozen=True, slots=True)
class StepTaken:
    """A step that was taken: how long that took (s), and what was seen."""

    step: Step
    took_s: float
    says: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """The step at which a leg ended early, and why.

    ``at_fault``: a condition did not hold in time; otherwise it could not be judged. ``stuck``:
    what could not be taken back.
    """

    step: Step
    says: str
    at_fault: bool
    stuck: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Leg:
    """One direction of a switch. ``frozen_s``: from the freeze to the first acknowledged write."""

    steps: tuple[StepTaken, ...]
    frozen_s: float | None
    stopped: Stopped | None


@dataclass(frozen=True, slots=True)
class Switched:
    """The legs by name, in their order, and what could not be removed afterwards."""

    databases: tuple[str, ...]
    legs: Mapping[str, Leg]
    left: tuple[str, ...]

    @property
    def stopped(self) -> Stopped | None:
        """Why it ended early, if it did."""
        return next((it.stopped for it in self.legs.values() if it.stopped is not None), None)


# The moves of the databases that can be rehearsed.
MOVES = ("switch", "dump")
THERE, BACK = "there", "back"
SWITCH = Fact("switch", Switched)
