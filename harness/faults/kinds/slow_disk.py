"""The disk of one OSD becomes slow."""

from __future__ import annotations

import re
from collections.abc import Iterable
from random import Random
from typing import ClassVar, Self

from pydantic import Field

from harness.faults import answers, observers
from harness.faults.ceph_answers import OsdPerf
from harness.faults.fault import Fault
from harness.faults.kinds.disk_limits import DiskLimits
from harness.faults.model import Act, Argv, BlastRadius
from harness.transport import Reach

# An OSD's process, by how packages and Rook start it (``--id 0``), and cephadm (``-n osd.0``).
_PROCESS = "^([^ ]*/)?ceph-osd (.* )?(--id |-i |-n osd[.]){}( |$)"
# The OSD is slower than any other by this factor.
_TIMES = 2.0


class SlowDisk(Fault):
    """Limit the OSD of a machine to some KiB/s of its disk, reading and writing.

    ``osd`` is its number, and ``limits`` are what is set. The fault is active when the OSD takes
    ``slow_ms`` to commit a write, and far longer than any other OSD. Without writes it cannot be
    observed.
    """

    name: ClassVar[str] = "slow-disk"
    # With a low limit, it does not answer other OSDs in time.
    blast_radius: ClassVar[frozenset[BlastRadius]] = frozenset({BlastRadius.OSD})

    kib_per_s: int = Field(ge=16)
    slow_ms: float = Field(default=100.0, ge=10.0)
    osd: int | None = None
    limits: DiskLimits | None = None

    @property
    def target(self) -> str:
        return f"the disk of {self.machine}, to {self.kib_per_s} KiB/s"

    def resolved(self, reach: Reach, draw: Random) -> Self:
        disks = reach.profile.disks
        if disks is None or self.machine not in disks.osds:
            return self
        osd = disks.osds[self.machine]
        unit = self._unit_of(reach, osd)
        limits = unit and DiskLimits.of(reach, self.machine, self.id, unit, disks.device)
        return self.model_copy(update={"osd": osd, "limits": limits or None})

    def refuse(self, reach: Reach) -> str | None:
        if self.osd is None:
            return f"the profile names no OSD of {self.machine}: set it in `disks.osds:`"
        if self.limits is None:
            return f"{self.machine} cannot limit what osd.{self.osd} reads and writes"
        now_ms = self._commit_ms(reach).get(self.osd)
        if now_ms is None or now_ms >= self.slow_ms:
            return f"osd.{self.osd} takes {now_ms} ms to commit a write before the fault"
        return None

    def acts(self, reach: Reach) -> Iterable[Act]:
        assert self.limits is not None, "a fault is refused before it acts"
        yield Act(place=self.machine, argv=self.limits.setting(self.kib_per_s * 1024))

    def undo(self, reach: Reach) -> tuple[str, Iterable[Argv]]:
        return self.machine, () if self.limits is None else self.limits.lifting()

    def active(self, reach: Reach) -> bool:
        took = self._commit_ms(reach)
        others = max((ms for osd, ms in took.items() if osd != self.osd), default=0.0)
        return took.get(self.osd, 0.0) >= max(self.slow_ms, _TIMES * others)

    def healed(self, reach: Reach) -> bool:
        return self._commit_ms(reach).get(self.osd, self.slow_ms) < self.slow_ms

    def _commit_ms(self, reach: Reach) -> dict[int | None, float]:
        """Each OSD's recent commit latency, as Ceph reports it; 0 without writes."""
        told = observers.ceph(reach, self.machine, "osd", "perf", read=OsdPerf)
        return {it.id: it.perf_stats.commit_latency_ms for it in told.infos}

    def _unit_of(self, reach: Reach, osd: int) -> str:
        """The unit of an OSD's process; empty when it has no unit, or no such process runs.

        A package's own unit, or that of its container: Rook's, or one of cephadm's by Docker or
        Podman. A pod's containers have a unit each.
        """
        pattern = _PROCESS.format(osd)
        found = answers.unless(reach, self.machine, "pgrep", "--full", pattern, no=(1,))
        if not found:
            return ""
        path = f"/proc/{found.split()[0]}/cgroup"
        parts = re.split("[/\n]", answers.read(reach, self.machine, "cat", path))
        units = [part for part in parts if part.endswith((".service", ".scope"))]
        return units[-1] if units else ""
