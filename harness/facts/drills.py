"""The facts of a drill: its faults, their observers, and the state of the other machines.

The facts are dictionaries on both sides of the journal, because a drill reports only what it
reached: later keys are missing.
"""

from __future__ import annotations

from typing import Any, NotRequired

from typing_extensions import TypedDict

from harness.facts.load import LoadFacts
from harness.facts.schema import Fact


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
    claims: NotRequired[dict[str, Any]]


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
