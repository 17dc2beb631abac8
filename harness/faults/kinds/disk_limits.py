"""Limits how fast a systemd unit reads and writes, with cgroup v1 and v2.

With v2, systemd sets the limits. With v1 it often may not: the fault creates its own group below
the group of the unit's main process, and moves that process there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

from harness.faults import answers
from harness.faults.model import MARK, Argv
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
        told = answers.unless(reach, machine, "cat", _UNIFIED, no=(1,))
        if told is not None:
            return cls(unit=unit, device=device) if "io" in told.split() else None
        show = ("systemctl", "show", "--property=MainPID", "--value", unit)
        process = answers.read(reach, machine, *show).strip()
        if process in ("", "0"):
            return None
        lines = answers.read(reach, machine, "cat", f"/proc/{process}/cgroup").splitlines()
        groups = [it.split(":", 2) for it in lines]
        inside = [group for _, which, group in groups if "blkio" in which.split(",")]
        if not inside:
            return None
        number = answers.read(reach, machine, "stat", "--format=%t:%T", device)
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
