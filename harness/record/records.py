"""The JSON of a run: the kinds of its journal's records, the data of each, its verdict.

A record's writer builds its data through the constructor here, and its reader gets it back through
``read``. Unused keys are absent; keys that this version does not know are ignored.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any, Generic, Literal, NotRequired, TypeAlias, TypeVar, cast

from pydantic import JsonValue, TypeAdapter
from typing_extensions import TypedDict

from harness.core.model import JSON
from harness.facts.drills import DrillFacts, EndReason, Footprint, LoadFacts, SoakFacts, TurnFacts
from harness.facts.parity import Sides

T = TypeVar("T")
F = TypeVar("F", DrillFacts, SoakFacts)


class Kind(StrEnum):
    """The kind of a record; the comment says what its subject is."""

    MANIFEST = "manifest"  # the run
    SESSION = "session"  # the run
    CLUSTER = "cluster"  # the cluster
    REFUSED = "refused"  # what was refused
    SCENARIO = "scenario"  # the scenario
    NOT_APPLICABLE = "not-applicable"  # the scenario
    ASK = "ask"  # the probe
    LOOK = "look"  # the probe
    OBSERVATION = "observation"  # the probe
    NOTICE = "notice"  # the probe
    REQUIRE = "require"  # the check
    STEP = "step"  # the scenario
    SCENARIO_END = "scenario-end"  # the scenario
    PROBLEM = "problem"  # the test
    SEED = "seed"  # the drill, or the part of a soak
    FAULT = "fault"  # the fault's id
    ABORT = "alarm"  # the fault's id
    MADE = "made"  # what it is of: a restore, a rehearsal, a new customer, or writes
    TURN = "turn"  # the turn of a soak
    SOAKED = "soaked"  # the part of a soak
    SHIFT = "shift"  # the share, in percent
    COLLECT = "collect"  # why evidence is collected
    COLLECTED = "collected"  # the target
    REDACTED = "redacted"  # the session
    INTERRUPTED = "interrupted"  # the session
    TORN = "torn"  # the journal
    END = "end"  # the session


class Session(TypedDict):
    signer: NotRequired[str | None]  # the fingerprint of its key


class Cluster(TypedDict):
    """``uid`` is that of its namespace kube-system; None when it did not answer."""

    uid: str | None
    error: NotRequired[str | None]


class Reason(TypedDict):
    """Of ``refused``, ``not-applicable`` and ``interrupted``."""

    reason: str


class Text(TypedDict):
    """Of ``problem`` and ``notice``."""

    text: str


class Ask(TypedDict):
    scenario: str


class Look(TypedDict):
    targets: list[str]


class Observed(TypedDict):
    """``at``: UTC seconds since the epoch; exactly one of ``value`` and ``error`` is not None."""

    target: str
    at: float
    took_s: float
    value: NotRequired[Any]
    error: NotRequired[str | None]


def observed(
    target: str, at: float, took_s: float, value: object = None, error: str | None = None
) -> Observed:
    """An observation in the form of its record."""
    return Observed(
        target=target, at=round(at, 6), took_s=round(took_s, 3), value=value, error=error
    )


class Require(TypedDict):
    scenario: str
    requirement: str


class StepRecord(TypedDict):
    keyword: str
    text: str
    state: str  # passed or failed
    took_s: float
    error: NotRequired[str | None]


class ScenarioEnd(TypedDict):
    state: str  # passed, failed, skipped or xfailed
    reason: str
    took_s: float


class Seed(TypedDict):
    seed: int


class FaultEvent(TypedDict):
    """One event of a fault; ``by`` is the command that undid it after its run broke off.

    ``armed`` has the undo, and the parameters with which ``heal`` checks whether the fault is gone.
    """

    event: Literal["armed", "injected", "active", "healed", "heal-proved"]
    fault: NotRequired[str]
    target: NotRequired[str]
    undo: NotRequired[dict[str, object]]
    parameters: NotRequired[dict[str, object]]
    took_s: NotRequired[float]
    by: NotRequired[str]


class Made(TypedDict):
    """What a run makes beside faults and namespaces, and removes at its end.

    ``kind`` is that of the work; ``name`` is the restored or the new customer, or the rehearsal. A
    new customer's newest record has the ``names`` that are known, without secrets, or for W7-PARITY
    what both ``sides`` were sent. A dump's record has the ``place``, a machine or NAMESPACE/POD,
    and the ``folder`` there: another pod may be the primary by the time it is removed. The name of
    writes through the front is the begin of their texts.
    """

    event: Literal["begun", "removed"]
    kind: Literal["restore", "rehearsal", "journey", "parity", "writes"]
    name: str
    by: NotRequired[str]
    journey: NotRequired[str]
    names: NotRequired[dict[str, JsonValue]]
    sides: NotRequired[Sides]
    place: NotRequired[str]
    folder: NotRequired[str]


class Abort(TypedDict):
    why: str


class SoakEvent(TypedDict):
    """One event in a part of a soak, ``lasted_s`` after the part began.

    ``ended`` says why the part ends early, as soon as that is known. In ``begun``, ``load`` is true
    if a load is offered; in ``over``, it is the load's result.
    """

    event: Literal["begun", "footprint", "turn begun", "turn over", "over"]
    lasted_s: NotRequired[float]
    ended: NotRequired[str | None]
    wanted_s: NotRequired[float]
    space: NotRequired[str]
    footprint: NotRequired[Footprint]
    turn: NotRequired[TurnFacts]
    load: NotRequired[bool | LoadFacts | None]


class ShiftEvent(TypedDict):
    """One event of the traffic's move; the subject is the share.

    ``armed``: the front's machine sets this share by itself if the harness does not come back.
    ``agreed``: this person agreed to pass the point of no return, and what was looked at before.
    """

    event: Literal["armed", "set", "judged", "back", "agreed"]
    says: NotRequired[str]
    by: NotRequired[str]
    needs: NotRequired[dict[str, str]]


class Collected(TypedDict):
    """A piece of evidence in a file of the run, or why it could not be collected."""

    what: str
    file: str | None
    bytes: int
    error: str | None


class Redacted(TypedDict):
    """How many places each rule redacted, and how often each token stands for a secret."""

    places: dict[str, int]
    tokens: dict[str, int]


class Torn(TypedDict):
    bytes: int


class Nothing(TypedDict):
    """Of ``scenario``, ``collect`` and ``end``: the kind and the subject say all."""


class ClusterDocument(TypedDict):
    name: str
    uid: str | None


class RequirementDocument(TypedDict):
    """A requirement in verdict.json; ``evidence``: journal lines and files that were judged."""

    id: str
    week: int
    title: str
    severity: str
    verdict: str
    reason: str
    measured: dict[str, float]
    target: dict[str, float]
    scenarios: list[str]
    evidence: list[str]
    remedy: str


class FaultDocument(TypedDict):
    """A fault in verdict.json; times are UTC, RFC 3339."""

    id: str
    fault: str
    target: str
    injected: str
    active_proved: bool
    healed: str | None
    heal_proved: bool


class VerdictDocument(TypedDict):
    """verdict.json, schema 1; times are UTC, RFC 3339."""

    schema: int
    run: str
    cluster: ClusterDocument
    week: int
    commit: str
    started: str
    ended: str
    decision: str
    requirements: list[RequirementDocument]
    faults: list[FaultDocument]


Data: TypeAlias = Mapping[str, object]


def read(kind: type[T], data: object) -> T:
    """A record's data as its type; ValueError when the data has another type."""
    return cast(T, _adapter(cast(Hashable, kind)).validate_python(data))


@cache
def _adapter(kind: type[object]) -> TypeAdapter[object]:
    return TypeAdapter(kind)


# Generic dataclasses have no slots: in Python 3.11, frozen ones that do cannot be made.
@dataclass(frozen=True, kw_only=True)
class DrillOutcome(Generic[F]):
    """The result of a drill or of a part of a soak: its own facts, and those of its ledger."""

    value: F
    tallies: Mapping[str, JSON]

    @property
    def by_hand(self) -> bool:
        """True if an operator stopped it."""
        return self.value.get("ended") == EndReason.BY_HAND

    @property
    def unhealed(self) -> str:
        """Why a fault could not be undone; empty when no fault is left."""
        return self.value.get("unhealed", "")


@dataclass(frozen=True, kw_only=True)
class Finished(Generic[T]):
    """Work that is over: what came of it, when it began, and how long it took.

    ``at``: UTC seconds since the epoch; ``took_s``: seconds.
    """

    outcome: T
    at: float
    took_s: float
