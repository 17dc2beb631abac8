"""Faults that use up a resource of a machine to a level, in percent: processors, memory, a disk.

The kubelet measures the usage, and the API reports it. The fault is active when the usage is past
the middle between the usage before and the level.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from random import Random
from typing import ClassVar, Self

from pydantic import Field

from harness.core.errors import NotProven
from harness.faults import commands
from harness.faults.fault import Fault
from harness.faults.model import EVERYTHING, MARK, Act, Argv, BlastRadius
from harness.faults.observers import node
from harness.transport import Reach
from harness.transport.objects import amount, count, must, must_count, part

_STRESS = "/usr/bin/stress-ng"
# A unit ends by itself after this long, even if the undo fails; no fault lasts longer.
_UNIT_AT_MOST_S = 1800
# Closer to the level than this, usage by other processes hides the fault's effect.
_LEAST_PERCENT = 10.0
_MIB = 2**20
# For stress-ng itself, beside the memory that it holds.
_STRESS_MIB = 128


class Exhaust(Fault, ABC):
    """Use a resource up to ``percent`` of its capacity; ``before`` is its usage beforehand."""

    # The kubelet looks every 10 to 20 s.
    seen_within_s: ClassVar[float] = 60.0
    gone_within_s: ClassVar[float] = 90.0
    what: ClassVar[str]

    percent: int = Field(ge=20, le=100)
    before: float = 0.0

    @property
    def target(self) -> str:
        return f"{self.percent} % of the {self.what} of {self.machine}"

    def resolved(self, reach: Reach, draw: Random) -> Self:
        return self.model_copy(update={"before": round(self.used(reach), 1)})

    def refuse(self, reach: Reach) -> str | None:
        if self.percent - self.before < _LEAST_PERCENT:
            return (
                f"{self.before:g} % of the {self.what} of {self.machine} are already in use, "
                f"expected at most {self.percent - _LEAST_PERCENT:g} %: "
                "the fault could not be observed"
            )
        return None

    @abstractmethod
    def used(self, reach: Reach) -> float:
        """How much is in use, in percent, as the kubelet measured it."""

    def active(self, reach: Reach) -> bool:
        return self.used(reach) >= self._middle

    def healed(self, reach: Reach) -> bool:
        return self.used(reach) < self._middle

    @property
    def _middle(self) -> float:
        return (self.before + self.percent) / 2


class Stress(Exhaust, ABC):
    """Use a resource up with stress-ng, in a unit of its own that the undo stops.

    The kernel kills it first when memory runs out.
    """

    def refuse(self, reach: Reach) -> str | None:
        if commands.unless(reach, self.machine, "test", "-x", _STRESS, no=(1,)) is None:
            return f"{self.machine} has no {_STRESS}: apt-get install stress-ng there"
        return super().refuse(reach)

    @abstractmethod
    def stress(self, reach: Reach) -> Argv:
        """The arguments of stress-ng."""

    def limits(self) -> Iterable[str]:
        """More properties of the unit, beside those of every stress unit."""
        return ()

    def acts(self, reach: Reach) -> Iterable[Act]:
        ends = (f"RuntimeMaxSec={_UNIT_AT_MOST_S}", "TimeoutStopSec=5", "OOMScoreAdjust=1000")
        properties = (*ends, *self.limits())
        argv = commands.in_unit(self.id, _STRESS, *self.stress(reach), properties=properties)
        yield Act(place=self.machine, argv=argv)

    def undo(self, reach: Reach) -> tuple[str, Iterable[Argv]]:
        return self.machine, [commands.stop_unit(self.id)]

    def active(self, reach: Reach) -> bool:
        if super().active(reach):
            return True
        commands.must_go_on(reach, self.machine, self.id)
        return False


def measured(reach: Reach, machine: str, *, everything: bool = True) -> object:
    """The kubelet's statistics of the machine; without file systems they are fresher."""
    query = "" if everything else "?only_cpu_and_memory=true"
    path = f"/api/v1/nodes/{machine}/proxy/stats/summary{query}"
    return part(reach.kube.get(path), "node")


def processors(reach: Reach, machine: str) -> float:
    """How many processors the node has, as the API has it."""
    return amount(must(node(reach, machine), "status", "capacity", "cpu"))


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
        return [f"MemoryMax={self.mib + _STRESS_MIB}M"]

    def used(self, reach: Reach) -> float:
        in_use, whole = self._bytes(reach)
        return 100 * in_use / whole

    def _bytes(self, reach: Reach) -> tuple[int, int]:
        """The memory in use, and the whole of it."""
        seen = measured(reach, self.machine, everything=False)
        in_use = must_count(seen, "memory", "workingSetBytes")
        return in_use, in_use + must_count(seen, "memory", "availableBytes")


class FillDisk(Exhaust):
    """Fill the file system of the folder that the profile names, with one allocated file.

    ``file`` is that file, at the top of the file system; ``add_bytes`` is its length, and
    ``whole_bytes`` the size of the file system.
    """

    name: ClassVar[str] = "fill-disk"
    what: ClassVar[str] = "disk"
    # The kubelet evicts pods; etcd and monitors stop before they can no longer write.
    blast_radius: ClassVar[frozenset[BlastRadius]] = EVERYTHING

    percent: int = Field(ge=20, le=99)
    file: str = ""
    add_bytes: int = 0
    whole_bytes: int = 0

    def resolved(self, reach: Reach, draw: Random) -> Self:
        folder = reach.profile.fill_folder
        if folder is None:
            return self
        top = commands.read(reach, self.machine, "stat", "--format=%m", folder).strip()
        free_space = ("df", "--block-size=1", "--output=size,used,avail", folder)
        sizes = commands.read(reach, self.machine, *free_space)
        size, used, free = (int(word) for word in sizes.split()[-3:])
        add = int((used + free) * self.percent / 100) - used
        known = {
            "file": f"{top.rstrip('/')}/{MARK}fill-{self.id}",
            "add_bytes": max(0, add),
            "whole_bytes": size,
        }
        return super(FillDisk, self.model_copy(update=known)).resolved(reach, draw)

    def refuse(self, reach: Reach) -> str | None:
        if reach.profile.fill_folder is None:
            return (
                "the profile has no `fill_folder:`: set it to a folder on the file system that "
                "may be filled"
            )
        if self._watched(reach) is None:
            return (
                f"{reach.profile.fill_folder} of {self.machine} is on no file system that the "
                "kubelet watches: the fault could not be observed"
            )
        return super().refuse(reach)

    def acts(self, reach: Reach) -> Iterable[Act]:
        length = ("--length", f"{self.add_bytes}")
        yield Act(place=self.machine, argv=("fallocate", *length, self.file))

    def undo(self, reach: Reach) -> tuple[str, Iterable[Argv]]:
        return self.machine, [("rm", "--force", self.file)]

    def used(self, reach: Reach) -> float:
        """0 when the kubelet does not watch the file system; ``refuse`` reports that."""
        found = self._watched(reach)
        if found is None:
            return 0.0
        used = must_count(found, "usedBytes")
        return 100 * used / (used + must_count(found, "availableBytes"))

    def _watched(self, reach: Reach) -> object:
        """The file system as the kubelet reports it, found by its size; None when it reports none.

        The kubelet does not report names of file systems.
        """
        seen = measured(reach, self.machine)
        for found in (part(seen, "fs"), part(seen, "runtime", "imageFs")):
            if found.get("capacityBytes") == self.whole_bytes:
                return found
        return None
