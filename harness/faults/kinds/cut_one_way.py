"""A machine is cut off in one direction; the other direction still works."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from harness.faults import observers
from harness.faults.kinds.packets import Partition, Way
from harness.faults.model import EVERYTHING, BlastRadius
from harness.transport import Reach


class CutOneWay(Partition):
    """Drop every packet to a machine (in) or from it (out), except the harness's own SSH."""

    name: ClassVar[str] = "cut-one-way"
    blast_radius: ClassVar[frozenset[BlastRadius]] = EVERYTHING
    # The node may have to become Ready again.
    gone_within_s: ClassVar[float] = 120.0

    direction: Literal["in", "out"]

    @property
    def target(self) -> str:
        return f"what {'arrives at' if self.direction == 'in' else 'leaves'} {self.machine}"

    def drops(self, way: Way) -> Sequence[str]:
        cut = "arriving" if self.direction == "in" else "leaving"
        return ["drop"] if way == cut else []

    def active(self, reach: Reach) -> bool:
        return not observers.answers_peer(reach, self.machine)

    def healed(self, reach: Reach) -> bool:
        return observers.answers_peer(reach, self.machine) and observers.is_ready(
            reach, self.machine
        )
