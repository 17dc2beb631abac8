"""A machine's memory is full."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import ClassVar, Self

from pydantic import Field

from harness.faults.kinds.exhausting import Stress, measured
from harness.faults.model import EVERYTHING, Argv, BlastRadius
from harness.transport import Reach
from harness.transport.objects import must_count

_MIB = 2**20
# For stress-ng itself, beside the memory that it holds.
_BESIDE_MIB = 128


class ExhaustMemory(Stress):
    """Hold memory until a machine's memory is full to a level.

    ``mib`` is how much it holds. The unit's limit keeps the rest for other processes.
    """

    name: ClassVar[str] = "exhaust-memory"
    what: ClassVar[str] = "memory"
    # The kubelet evicts, and the kernel may end any process: members too.
    blast_radius: ClassVar[frozenset[BlastRadius]] = EVERYTHING

    percent: int = Field(ge=20, le=98)
    mib: int = 0

    def resolved(self, reach: Reach, draw: Random) -> Self:
        found = super().resolved(reach, draw)
        _, whole = self._bytes(reach)
        lacking = (self.percent - found.before) / 100 * whole
        return found.model_copy(update={"mib": max(0, round(lacking / _MIB))})

    def stress(self, reach: Reach) -> Argv:
        # Written once and then held, so that it uses no CPU time.
        hold = ("--vm-keep", "--vm-hang", "0", "--vm-method", "write64")
        return "--vm", "1", "--vm-bytes", f"{self.mib}m", *hold

    def limits(self) -> Iterable[str]:
        return [f"MemoryMax={self.mib + _BESIDE_MIB}M"]

    def used(self, reach: Reach) -> float:
        in_use, whole = self._bytes(reach)
        return 100 * in_use / whole

    def _bytes(self, reach: Reach) -> tuple[int, int]:
        """The memory in use, and the whole of it."""
        seen = measured(reach, self.machine, everything=False)
        in_use = must_count(seen, "memory", "workingSetBytes")
        return in_use, in_use + must_count(seen, "memory", "availableBytes")
