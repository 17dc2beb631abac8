"""The terms of the harness as values: outcomes, observations and verdicts.

Every value is frozen and goes to JSON and back unchanged, so a verdict can be recomputed from a
journal alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import NamedTuple, TypeAlias

from harness.core.declared import Cluster
from harness.core.errors import ConfigError, Refused, Unhealed

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"
Numbers: TypeAlias = Mapping[str, float]


class Outcome(StrEnum):
    """What is known about a requirement after looking."""

    PASS = "pass"
    FAIL = "fail"
    NOT_PROVEN = "not_proven"
    WAIVED = "waived"
    NOT_APPLICABLE = "not_applicable"


class Severity(StrEnum):
    """How much a failure of the requirement weighs in the decision."""

    BLOCKER = "blocker"
    MAJOR = "major"
    MINOR = "minor"


class Decision(StrEnum):
    """What a gate says."""

    GO = "GO"
    GO_WITH_WAIVERS = "GO-WITH-WAIVERS"
    NO_GO = "NO-GO"
    NOT_PROVEN = "NOT-PROVEN"
    REFUSED = "REFUSED"
    UNHEALED = "UNHEALED"

    @property
    def exit(self) -> Exit:
        """The exit status of a command that decided so."""
        return Exit.GO if self is Decision.GO_WITH_WAIVERS else Exit[self.name]


class Exit(IntEnum):
    """The exit statuses of every command."""

    GO = 0
    NO_GO = 1
    USAGE = 2
    NOT_PROVEN = 3
    REFUSED = 4
    UNHEALED = 5

    @classmethod
    def of(cls, error: BaseException) -> Exit:
        """The exit status of an error; NOT_PROVEN for an error without a status of its own."""
        own = {ConfigError: cls.USAGE, Refused: cls.REFUSED, Unhealed: cls.UNHEALED}
        return next((it for kind, it in own.items() if isinstance(error, kind)), cls.NOT_PROVEN)


# Worst first. NOT_APPLICABLE ranks last: every other outcome outweighs it.
_WORST_FIRST = (
    Outcome.FAIL,
    Outcome.NOT_PROVEN,
    Outcome.WAIVED,
    Outcome.PASS,
    Outcome.NOT_APPLICABLE,
)


def merge(outcomes: Iterable[Outcome]) -> Outcome:
    """The worst of the outcomes; NOT_PROVEN when there is none (silence is never success)."""
    return min(outcomes, key=_WORST_FIRST.index, default=Outcome.NOT_PROVEN)


class Observation(NamedTuple):
    """What a probe saw on one target, or why it saw nothing.

    A tuple, because a run may have a million of them. ``at`` is UTC seconds since the epoch;
    ``took_s`` is the look's duration. Exactly one of ``value`` and ``error`` is set: with an
    ``error``, ``value`` is None.
    """

    probe: str
    target: str
    at: float
    took_s: float
    value: JSON = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A check's conclusion: the outcome, the reason, the measured numbers and the targets.

    The keys of ``measured`` and ``target`` end in their unit (``_s``, ``_ms``, ``_percent``,
    ``_count``, ``_days`` …). ``where`` names the machines or objects at fault.
    """

    outcome: Outcome
    reason: str
    measured: Numbers = field(default_factory=dict)
    target: Numbers = field(default_factory=dict)
    where: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Everything that a check may use: observations, targets and declarations.

    ``observations`` holds the newest observation of each (probe, target) so far.
    """

    cluster: Cluster
    targets: Numbers
    observations: Sequence[Observation]

    def of(self, probe: str) -> Mapping[str, Observation]:
        """The observations of one probe, by target."""
        return {seen.target: seen for seen in self.observations if seen.probe == probe}
