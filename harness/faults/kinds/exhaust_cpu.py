"""A machine's processors are busy with something else."""

from __future__ import annotations

from typing import ClassVar

from harness.errors import NotProven
from harness.faults.kinds.exhausting import Stress, measured, processors
from harness.faults.model import EVERYTHING, Argv, BlastRadius
from harness.transport import Reach


class ExhaustCpu(Stress):
    """Keep every processor of a machine busy for a share of the time."""

    name: ClassVar[str] = "exhaust-cpu"
    what: ClassVar[str] = "processors"
    # Whoever does not come to run misses heartbeats.
    blast_radius: ClassVar[frozenset[BlastRadius]] = EVERYTHING

    def stress(self, reach: Reach) -> Argv:
        # As many workers as there are processors.
        return "--cpu", "0", "--cpu-load", f"{self.percent}"

    def used(self, reach: Reach) -> float:
        cpu = measured(reach, self.machine, everything=False)["cpu"]
        if "usageNanoCores" not in cpu:  # its kubelet has just started: it takes two looks
            raise NotProven(f"how busy {self.machine} is was not measured yet")
        return float(cpu["usageNanoCores"]) / 1e7 / processors(reach, self.machine)
