"""What a probe is, and when it may look."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from typing import ClassVar, Protocol

from harness.core.model import JSON
from harness.transport import Reach


class Timing(Enum):
    """When the looks of a probe begin."""

    AT_START = auto()  # with the gate: it changes nothing in the cluster
    WHEN_ASKED = auto()  # when a step asks for it: it makes pods or services of its own
    ALONE = auto()  # the same, and alone: it measures speed, or other probes would see it


class Probe(Protocol):
    """One way of looking at a cluster.

    ``observe`` returns what it saw on one target, or raises a HarnessError if it could not look;
    the engine records both. Targets are looked at in parallel. A feature asks for the probe by its
    ``sentence``, a Given.
    """

    name: ClassVar[str]
    sentence: ClassVar[str]
    timing: ClassVar[Timing]
    within_s: ClassVar[float]  # the deadline of one look, all retries included

    def targets(self, reach: Reach) -> Sequence[str]: ...

    def observe(self, reach: Reach, target: str) -> JSON: ...
