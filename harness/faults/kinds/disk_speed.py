"""The disk of one OSD becomes slow: limits how fast a unit reads and writes, with cgroup v1 and v2.

With v2, systemd sets the limits. With v1 it often may not: the fault creates its own group below
the group of the unit's main process, and moves that process there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from random import Random
from typing import ClassVar, Self

from pydantic import Field

from harness.faults import ceph, commands
from harness.faults.ceph import OsdPerf
from harness.faults.fault import Fault
from harness.faults.model import MARK, Act, Argv, BlastRadius
from harness.settings import Frozen
from harness.transport import Reach

_UNIFIED = "/sys/fs/cgroup/cgroup.controllers"
_BLKIO = "/sys/fs/cgroup/blkio"
_LIMITS = ("IOReadBandwidthMax", "IOWriteBandwidthMax")
# $1: the group, $2: the device's number and bytes a second, $3: the unit.
_MOVE = """mkdir "$1" || exit 1
for way in read write; do
  echo "$2" > "$1/blkio.throttle.${way}_bps_device" || exit 1
done
echo "$(systemctl show --property=MainPID --value "$3")" > "$1/cgroup.procs"
"""
_MOVE_BACK = """[ -d "$1" ] || exit 0
for process in $(cat "$1/cgroup.procs"); do
  echo $process > "$1/../cgroup.procs"
done
rmdir "$1"
"""
# An OSD's process, by how packages and Rook start it (``--id 0``), and cephadm (``-n osd.0``).
_OSD_PROCESS = "^([^ ]*/)?ceph-osd (.* )?(--id |-i |-n osd[.]){}( |$)"
# The OSD is slower than any other by this factor.
_SLOWER_TIMES = 2.0


class DiskLimits(Frozen):
    """Limits for one unit on one device of one machine.

    With cgroup v1, ``group`` is the fault's own control group and ``number`` identifies the device;
    with v2 both are empty.
    """

    unit: str
    device: str
    group: str = ""
    number: str = ""

    @classmethod
    def of(cls, reach: Reach, machine: str, name: str, unit: str, device: str) -> Self | None:
        """The limits that the machine can set for a running unit; None when it can set none."""
        told = commands.unless(reach, machine, "cat", _UNIFIED, no=(1,))
        if told is not None:
            return cls(unit=unit, device=device) if "io" in told.split() else None
        show = ("systemctl", "show", "--property=MainPID", "--value", unit)
        process = commands.read(reach, machine, *show).strip()
        if process in ("", "0"):
            return None
        lines = commands.read(reach, machine, "cat", f"/proc/{process}/cgroup").splitlines()
        groups = [it.split(":", 2) for it in lines]
        inside = [group for _, which, group in groups if "blkio" in which.split(",")]
        if not inside:
            return None
        number = commands.read(reach, machine, "stat", "--format=%t:%T", device)
        major, minor = number.strip().split(":")
        return cls(
            unit=unit,
            device=device,
            group=f"{_BLKIO}{inside[0].rstrip('/')}/{MARK}{name}",
            number=f"{int(major, 16)}:{int(minor, 16)}",
        )

    def setting(self, bytes_per_s: int) -> Argv:
        """The command that sets the limits."""
        if self.group:
            limit = f"{self.number} {bytes_per_s}"
            return "sh", "-c", _MOVE, "limit", self.group, limit, self.unit
        limits = [f"{limit}={self.device} {bytes_per_s}" for limit in _LIMITS]
        return "systemctl", "set-property", "--runtime", self.unit, *limits

    def lifting(self) -> Iterable[Argv]:
        """The commands that lift the limits; a unit that has ended has no limits."""
        if self.group:
            yield "sh", "-c", _MOVE_BACK, "lift", self.group
            return
        lift = (
            '[ "$(systemctl show --property=ActiveState --value "$1")" != active ] || '
            f'systemctl set-property --runtime "$1" {" ".join(f"{it}=" for it in _LIMITS)}'
        )
        yield "sh", "-c", lift, "lift", self.unit
        # The drop-in files that systemd wrote for the unit.
        written = f"/run/systemd/system.control/{self.unit}.d/50-"
        yield "rm", "--force", *(f"{written}{limit}.conf" for limit in _LIMITS)
        yield "systemctl", "daemon-reload"


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
        return took.get(self.osd, 0.0) >= max(self.slow_ms, _SLOWER_TIMES * others)

    def healed(self, reach: Reach) -> bool:
        return self._commit_ms(reach).get(self.osd, self.slow_ms) < self.slow_ms

    def _commit_ms(self, reach: Reach) -> dict[int | None, float]:
        """Each OSD's recent commit latency, as Ceph reports it; 0 without writes."""
        told = ceph.ask(reach, self.machine, "osd", "perf", read=OsdPerf)
        return {it.id: it.perf_stats.commit_latency_ms for it in told.infos}

    def _unit_of(self, reach: Reach, osd: int) -> str:
        """The unit of an OSD's process; empty when it has no unit, or no such process runs.

        A package's own unit, or that of its container: Rook's, or one of cephadm's by Docker or
        Podman. A pod's containers have a unit each.
        """
        pattern = _OSD_PROCESS.format(osd)
        found = commands.unless(reach, self.machine, "pgrep", "--full", pattern, no=(1,))
        if not found:
            return ""
        path = f"/proc/{found.split()[0]}/cgroup"
        parts = re.split("[/\n]", commands.read(reach, self.machine, "cat", path))
        units = [part for part in parts if part.endswith((".service", ".scope"))]
        return units[-1] if units else ""
