"""A machine is cut off from the network in both directions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from harness.faults import observers
from harness.faults.kinds.packets import Partition, Way
from harness.faults.model import EVERYTHING, BlastRadius
from harness.transport import Reach


class CutOff(Partition):
    """Drop every packet on a machine's uplinks, except the harness's own SSH."""

    name: ClassVar[str] = "cut-off"
    blast_radius: ClassVar[frozenset[BlastRadius]] = EVERYTHING
    # The node may have to become Ready again.
    gone_within_s: ClassVar[float] = 120.0

    def drops(self, way: Way) -> Sequence[str]:
        return ["drop"]

    def active(self, reach: Reach) -> bool:
        return not observers.answers_peer(reach, self.machine)

    def healed(self, reach: Reach) -> bool:
        return observers.answers_peer(reach, self.machine) and observers.is_ready(
            reach, self.machine
        )
