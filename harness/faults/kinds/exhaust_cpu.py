"""A machine's processors are busy with something else."""

from __future__ import annotations

from typing import ClassVar

from harness.core.errors import NotProven
from harness.faults.kinds.exhausting import Stress, measured, processors
from harness.faults.model import EVERYTHING, Argv, BlastRadius
from harness.transport import Reach
from harness.transport.objects import count


class ExhaustCpu(Stress):
    """Keep every processor of a machine busy for a share of the time."""

    name: ClassVar[str] = "exhaust-cpu"
    what: ClassVar[str] = "processors"
    # A process that gets no CPU time misses heartbeats.
    blast_radius: ClassVar[frozenset[BlastRadius]] = EVERYTHING

    def stress(self, reach: Reach) -> Argv:
        # As many workers as there are processors.
        return "--cpu", "0", "--cpu-load", f"{self.percent}"

    def used(self, reach: Reach) -> float:
        seen = measured(reach, self.machine, everything=False)
        used = count(seen, "cpu", "usageNanoCores", default=-1)
        if used < 0:  # the kubelet has just started: it needs two measurements
            raise NotProven(f"the kubelet has not measured the CPU usage of {self.machine} yet")
        return used / 1e7 / processors(reach, self.machine)
