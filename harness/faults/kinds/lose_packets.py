"""A machine's uplinks lose some of its packets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from harness.faults import reachability
from harness.faults.fault import peer
from harness.faults.kinds.packets import NetworkFault, Way
from harness.faults.model import EVERYTHING, BlastRadius
from harness.transport import Reach

_PINGS = 40


class LosePackets(NetworkFault):
    """Drop each packet on a machine's uplinks with some probability, in percent.

    A ping and its answer are two packets, so more pings than packets are lost.
    """

    name: ClassVar[str] = "lose-packets"
    # With a high loss, the machine is cut off.
    blast_radius: ClassVar[frozenset[BlastRadius]] = EVERYTHING

    percent: int = Field(ge=2, le=100)

    @property
    def target(self) -> str:
        return f"{self.percent} % of the packets of {self.machine}"

    def drops(self, way: Way) -> Sequence[str]:
        return [f"numgen random mod 100 < {self.percent} drop"]

    def active(self, reach: Reach) -> bool:
        """At least half of the expected loss is seen: a few pings are no statistics."""
        return self._lost(reach) >= self.percent / 2

    def healed(self, reach: Reach) -> bool:
        return self._lost(reach) == 0

    def _lost(self, reach: Reach) -> float:
        watcher = peer(reach, self.machine).name
        return reachability.pings(reach, self.machine, watcher, count=_PINGS).lost_percent
