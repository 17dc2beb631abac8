"""What a journal says of each scenario, step, look, fault and piece of evidence."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.core.model import Observation
from harness.gate.evaluation import Evaluation
from harness.record.journal import Record


@dataclass(slots=True)
class StepSeen:
    """A step that began; ``state`` is passed or failed."""

    keyword: str
    text: str
    state: str
    took_s: float
    error: str | None = None


@dataclass(slots=True)
class ScenarioSeen:
    """A scenario in the last session that ran it; ``state`` is None until it ends."""

    began: Record
    session: int
    starts: int = 1
    steps: list[StepSeen] = field(default_factory=list)
    asked: dict[str, None] = field(default_factory=dict)
    evaluations: list[Evaluation] = field(default_factory=list)
    state: str | None = None
    reason: str = ""
    took_s: float = 0.0


@dataclass(slots=True)
class FaultSeen:
    """The stages of a fault, by the times (UTC) in its journal.

    ``drill`` is the drill that injected it; None without a drill.
    """

    id: str
    fault: str
    target: str
    injected: str
    drill: str | None = None
    active_proved: bool = False
    healed: str | None = None
    heal_proved: bool = False


@dataclass(frozen=True, slots=True)
class Collected:
    """Evidence that was collected for a red scenario, or why it could not be collected."""

    target: str
    what: str
    file: str | None
    bytes: int
    error: str | None


@dataclass(slots=True)
class LookSeen:
    """One look of a probe: from when to when (UTC seconds since the epoch) its targets were seen.

    Many looks begin with the run, before a step asks for them.
    """

    probe: str
    began: float
    ended: float


@dataclass(slots=True)
class LookState:
    """One look of a probe: its targets, and the observations so far."""

    targets: tuple[str, ...]
    seen: dict[str, tuple[Observation, Record]] = field(default_factory=dict)
