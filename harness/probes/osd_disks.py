"""Ceph's partition on each machine: all its facts, and its owner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from harness.bench import bench, ceph
from harness.core.errors import ConfigError
from harness.core.model import JSON, OsdDisk
from harness.facts import disks as facts
from harness.facts.schema import Known, attempt, dump
from harness.probes.probe import Timing
from harness.settings import Profile
from harness.transport import Reach


class OsdDisks:
    """Looks at the declared partition of each machine, and asks Ceph about its OSDs there."""

    name: ClassVar[str] = facts.OSD_DISKS.name
    sentence: ClassVar[str] = "the disk for Ceph on every machine"
    timing: ClassVar[Timing] = Timing.AT_START
    within_s: ClassVar[float] = 120.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return list(declared(reach.profile))

    def observe(self, reach: Reach, target: str) -> JSON:
        disk = declared(reach.profile)[target]
        told = attempt(lambda: ceph.osds(reach, target))
        ours = ceph.devices_on(told.value, target) if isinstance(told, Known) else []
        about = {"path": disk.path, "osd_partitions": ours}
        seen = bench.ask_guard(reach, target, "look", about, within_s=60.0)
        return dump(facts.OsdDisk(seen=seen, ceph=told))


def declared(profile: Profile) -> dict[str, OsdDisk]:
    """The partitions by machine; ConfigError when the profile declares none."""
    disks = dict(profile.cluster().osd_disks)
    if not disks:
        why = f"the profile {profile.name} does not say which disks are Ceph's"
        raise ConfigError(why, remedy="declare them in `disks:`")
    return disks
