"""The facts of a soak, part by part: a resumed soak has several parts."""

from __future__ import annotations

from enum import StrEnum
from typing import NotRequired, Self

from typing_extensions import TypedDict

from harness.facts.drills import FaultFacts
from harness.facts.load import LoadFacts
from harness.facts.schema import Fact


class EndReason(StrEnum):
    """Why a part of a soak, or a drill, ended early; in a journal, details follow after a colon."""

    BY_HAND = "stopped by hand"
    HARNESS_KILLED = "its harness was killed, or broke off"
    BROKE_OFF = "it broke off"
    FAULT_STAYED = "a fault stayed"
    NOT_STEADY = "there was no steady state"
    NOT_STEADY_AGAIN = "the steady state did not come back"

    @classmethod
    def of(cls, ended: str) -> Self:
        """The reason in the words of a journal; ValueError for one of another version."""
        return cls(ended.partition(": ")[0])

    def because(self, detail: str) -> str:
        """The words of a journal, with the first line of the detail."""
        return f"{self}: {detail.partition(chr(10))[0]}"

    @property
    def is_resumable(self) -> bool:
        """True if the end proves nothing about the platform: another part may follow."""
        return self in (EndReason.BY_HAND, EndReason.HARNESS_KILLED)


class TurnFacts(TypedDict):
    """One turn of a soak, with the facts of a drill's run on its machine.

    ``refused``: why it was left out; ``broken_off``: its harness ended before the turn did.
    """

    number: int
    at_s: float
    machine: str
    before: list[str]
    faults: list[FaultFacts]
    error: NotRequired[str]
    refused: NotRequired[str]
    broken_off: NotRequired[str]
    steady_s: NotRequired[float]
    after: NotRequired[list[str]]


class Footprint(TypedDict):
    """The amount of each resource that may leak, by place and kind, or why it is unknown."""

    at_s: float
    seen: dict[str, dict[str, int] | str]


class SoakFacts(TypedDict):
    """A part of a soak. ``ended`` is None if it lasted as long as planned (``EndReason``).

    ``latency_ms`` has the median time to an acknowledgement while no fault was there, by kind of
    writer, in each quarter of the time. The three limits are the soak's own.
    """

    wanted_s: float
    lasted_s: float
    ended: str | None
    turns: list[TurnFacts]
    footprints: list[Footprint]
    latency_ms: list[dict[str, float]]
    grows_percent: float
    refused_percent: float
    slower_ratio: float
    load: NotRequired[LoadFacts | None]
    unhealed: NotRequired[str]


SOAK = Fact("soak", SoakFacts)
