"""The facts of drills and soaks: their load, their ledger, their faults and their turns.

They are dictionaries on both sides of the journal, because a drill reports only what it reached:
later keys are missing.

A drill's load has the phases ``before``, ``during`` (from the first fault until the last was
undone), ``healing`` (until the steady state) and ``again``; a soak's has ``all``. A phase that did
not happen is missing.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, NotRequired, Self

from typing_extensions import TypedDict

from harness.facts.loads import Course
from harness.facts.schema import Fact


class PhaseFacts(TypedDict):
    """The requests of one phase. A percentile is None if too many requests had no answer.

    ``planned``: due in the phase; ``on_time``: of those, begun in time; ``limited``: answered with
    429, by host. Journals before November 2026 have no ``limited`` and no ``retry_after_s``.
    """

    planned: int
    on_time: int
    answered: int
    failed: int
    errors: dict[str, int]  # by kind
    p50_ms: float | None
    p99_ms: float | None
    limited: NotRequired[dict[str, int]]
    retry_after_s: NotRequired[float | None]


class LoadFacts(TypedDict):
    """A load, phase by phase; ``troubles`` say why it proves nothing."""

    phases: dict[str, PhaseFacts]
    troubles: list[str]
    course: NotRequired[Course]


class TallyFacts(TypedDict):
    """The numbers of one kind of writer; ``harness.ledger`` says what each means.

    ``kept`` names the targets of all kinds that were recorded with it. ``ok_after_fault`` and
    ``outage_s`` are None without a fault, ``due`` without a bank.
    """

    invoked: int
    ok: int
    found: int
    lost: int
    duplicated: int
    phantom: int
    stale: int
    examples: dict[str, list[str]]
    gap_s: float
    gap_open: bool
    rpo_s: float
    due: int | None
    totals: int
    wrong_totals: int
    unread: str
    troubles: list[str]
    ok_after_fault: int | None
    outage_s: float | None
    kept: NotRequired[list[str]]


LEDGER = Fact("ledger", TallyFacts)


class Bystanders(TypedDict):
    """The machines that were not hit, while the fault was there.

    ``took_s``: until all was well there to the end; ``failed`` and ``unknown``: what was wrong, or
    could not be looked at, at the end.
    """

    took_s: float
    failed: list[str]
    unknown: list[str]


class FaultFacts(TypedDict):
    """One fault, from its injection to the proof that it is gone. All times are in seconds.

    ``at_once``: nothing has to boot or recover before its undo takes effect. ``unseen``: why no
    observer saw it. ``held_s``: from its injection to its undo. ``noticed``: by observer, how long
    after the injection it reported the fault. ``aborted``: why it was undone early; ``ours``: true
    if the harness, not the cluster, caused the abort; ``abort_s`` and ``abort_gone_s``: from the
    abort to its undo, and to the proof.
    """

    fault: str
    target: str
    at_once: bool
    aborted: str | None
    ours: NotRequired[bool]
    inject_s: NotRequired[float]
    seen_s: NotRequired[float]
    unseen: NotRequired[str]
    held_s: NotRequired[float]
    noticed: NotRequired[dict[str, float]]
    heal_s: NotRequired[float]
    gone_s: NotRequired[float]
    abort_s: NotRequired[float]
    abort_gone_s: NotRequired[float]
    bystanders: NotRequired[Bystanders]
    meanwhile: NotRequired[Bystanders]  # ``bystanders`` in the journals before December 2026


class RunFacts(TypedDict):
    """A drill on one machine. All times are in seconds.

    ``before``: why the cluster was not in its steady state, so that no fault was injected;
    ``error``: why the drill ended here; ``steady_s`` and ``after``: how long the steady state took,
    and what still prevented it; ``whole_s``: until Ceph had every copy again, None if that was not
    seen, and missing without Ceph; ``load`` is None when no load was offered. ``claims`` is what
    ``background_writes`` found, and ``ledger`` stays in it only until the ledger is observed.
    """

    machine: str
    before: list[str]
    faults: list[FaultFacts]
    seconds: NotRequired[float]
    error: NotRequired[str]
    steady_s: NotRequired[float]
    after: NotRequired[list[str]]
    whole_s: NotRequired[float | None]
    load: NotRequired[LoadFacts | None]
    ledger: NotRequired[dict[str, Any]]
    claims: NotRequired[object]


class DrillFacts(TypedDict):
    """A drill on all its machines; the last run may have ended early.

    ``targets``: key → [sign, number]; ``during``: the checks that must hold on the machines that
    are not hit; ``ended`` and ``unhealed`` are there only if an operator stopped the drill, or a
    fault could not be undone.
    """

    drill: str
    title: str
    load: str | None
    targets: dict[str, tuple[str, float]]
    during: list[str]
    runs: list[RunFacts]
    ended: NotRequired[str]
    unhealed: NotRequired[str]


DRILLS = Fact("drills", DrillFacts)


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
