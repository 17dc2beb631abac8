"""The disk of one OSD becomes slow: limits how fast it reads and writes, with cgroup v1 and v2.

With v2, systemd sets the limits of the OSD's unit. With v1 it often may not, and pods may have no
units: the fault creates its own group below the group of the OSD's process, and moves that there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import ClassVar, Self

from pydantic import Field

from harness.faults import ceph, commands
from harness.faults.ceph import OsdPerf, in_rook, rook_of
from harness.faults.fault import Fault
from harness.faults.model import MARK, Act, Argv, BlastRadius
from harness.faults.pods import pods_at, pods_path
from harness.settings import Frozen
from harness.transport import Reach

_UNIFIED = "/sys/fs/cgroup/cgroup.controllers"
_BLKIO = "/sys/fs/cgroup/blkio"
_LIMITS = ("IOReadBandwidthMax", "IOWriteBandwidthMax")
# $1: the group, $2: the device's number and bytes a second, $3: the process.
_MOVE = """mkdir "$1" || exit 1
for way in read write; do
  echo "$2" > "$1/blkio.throttle.${way}_bps_device" || exit 1
done
echo "$3" > "$1/cgroup.procs"
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


@dataclass(frozen=True, slots=True)
class Process:
    """A process of a machine; ``groups`` is its /proc/ID/cgroup."""

    id: str
    groups: str

    @property
    def unit(self) -> str:
        """The unit that it runs in; empty when it has none.

        A package's own unit, or that of its container: Rook's, or one of cephadm's by Docker or
        Podman. With systemd as the kubelet's cgroup driver, a pod's containers have a unit each.
        """
        parts = re.split("[/\n]", self.groups)
        units = [part for part in parts if part.endswith((".service", ".scope"))]
        return units[-1] if units else ""


class DiskLimits(Frozen):
    """Limits for one process on one device of one machine.

    With cgroup v2, they are those of its ``unit``. With v1, ``group`` is the fault's own control
    group, and ``number`` identifies the device.
    """

    device: str
    unit: str = ""
    process: str = ""
    group: str = ""
    number: str = ""

    @classmethod
    def of(
        cls, reach: Reach, machine: str, name: str, process: Process, device: str
    ) -> Self | None:
        """The limits that the machine can set for a process; None when it can set none."""
        told = commands.unless(reach, machine, "cat", _UNIFIED, no=(1,))
        if told is not None:
            can = "io" in told.split() and process.unit
            return cls(unit=process.unit, device=device) if can else None
        groups = [it.split(":", 2) for it in process.groups.splitlines()]
        inside = [group for _, which, group in groups if "blkio" in which.split(",")]
        if not inside:
            return None
        number = commands.read(reach, machine, "stat", "--format=%t:%T", device)
        major, minor = number.strip().split(":")
        return cls(
            device=device,
            process=process.id,
            group=f"{_BLKIO}{inside[0].rstrip('/')}/{MARK}{name}",
            number=f"{int(major, 16)}:{int(minor, 16)}",
        )

    def setting(self, bytes_per_s: int) -> Argv:
        """The command that sets the limits."""
        if self.group:
            limit = f"{self.number} {bytes_per_s}"
            return "sh", "-c", _MOVE, "limit", self.group, limit, self.process
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
        process = self._process_of(reach, osd)
        limits = process and DiskLimits.of(reach, self.machine, self.id, process, disks.device)
        return self.model_copy(update={"osd": osd, "limits": limits})

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

    def _process_of(self, reach: Reach, osd: int) -> Process | None:
        """The process of an OSD; None when no such process runs.

        Under Rook it is in the container of the pod that has the OSD's label: an older Ceph on the
        same machine may have an OSD of the same number.
        """
        container = self._container_of(reach, osd) if in_rook(reach) else ""
        if container is None:
            return None
        pattern = _OSD_PROCESS.format(osd)
        found = commands.unless(reach, self.machine, "pgrep", "--full", pattern, no=(1,))
        for process in (found or "").split():
            groups = commands.read(reach, self.machine, "cat", f"/proc/{process}/cgroup")
            if container in groups:
                return Process(id=process, groups=groups)
        return None

    def _container_of(self, reach: Reach, osd: int) -> str | None:
        """The ID in containerd of the OSD's container; None when it does not run here."""
        labels = f"app=rook-ceph-osd,ceph-osd-id={osd}"
        for pod in pods_at(reach, pods_path(rook_of(reach).namespace, labels)):
            container = pod.containers.get("osd")
            if pod.machine == self.machine and container is not None and container.runs:
                return container.task or None
        return None
