"""A machine is cut off: it reaches nobody, and nobody reaches it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from harness.faults import seen
from harness.faults.kinds.packets import Deaf, Way
from harness.faults.model import EVERYTHING, Takes
from harness.transport import Reach


class CutOff(Deaf):
    """Drop all that passes a machine's uplinks, but for our own SSH."""

    name: ClassVar[str] = "cut-off"
    takes: ClassVar[frozenset[Takes]] = EVERYTHING
    # The node may have to become Ready again.
    gone_within_s: ClassVar[float] = 120.0

    def drops(self, way: Way) -> Sequence[str]:  # noqa: ARG002
        return ["drop"]

    def active(self, reach: Reach) -> bool:
        return not seen.answers_peer(reach, self.machine)

    def healed(self, reach: Reach) -> bool:
        return seen.answers_peer(reach, self.machine) and seen.is_ready(reach, self.machine)
