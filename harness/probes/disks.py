"""Each machine's disk for Ceph: its facts, its owner, and how fast it commits 4 KiB writes.

A disk with an OSD is measured now, through Ceph, all disks at once. A gate never measures a raw
disk: it reports the newest result of ``./cutover bench osd``, with its age.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import ClassVar

from harness.bench import baseline, bench, ceph
from harness.core.declared import OsdDisk
from harness.core.errors import ConfigError, NotProven
from harness.core.model import JSON
from harness.facts import disks as facts
from harness.facts.disks import Speed
from harness.facts.schema import Known, attempt, dump, read
from harness.probes.probe import Timing
from harness.settings import Profile, state_dir
from harness.transport import Reach

_DAY_S = 86_400


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


class DiskBench:
    """Measures every OSD at the same time, or reports stored results of raw disks."""

    name: ClassVar[str] = facts.DISK_BENCH.name
    sentence: ClassVar[str] = "the disk for Ceph on every machine, measured at the same time"
    timing: ClassVar[Timing] = Timing.ALONE
    within_s: ClassVar[float] = 240.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return list(declared(reach.profile))

    def observe(self, reach: Reach, target: str) -> JSON:
        disk, known = declared(reach.profile)[target], _baseline(reach.profile)
        if disk.raw:
            speed = newest(state_dir() / "bench" / reach.profile.name, target, time.time())
        else:
            run = ceph.bench(reach, target, disk.osd)
            speed = Speed(iops=run.iops, ended=run.ended, p99_ms=None, age_days=0.0)
        before = known.get(target)
        if before is not None:
            iops, noise = before.iops, before.noise_percent
            speed = replace(speed, baseline_iops=iops, noise_percent=noise)
        return dump(speed)


def _baseline(profile: Profile) -> dict[str, baseline.Known]:
    disks = profile.disks
    known = baseline.read(disks.baseline) if disks else None
    if disks is None or known is None or known.measured != disks.state:
        return {}
    return dict(known.machines)


@dataclass(frozen=True, slots=True)
class _Result:
    """The result of one disk, as ``./cutover bench osd`` stored it."""

    machine: str
    iops: float | None
    p99_ms: float | None
    unproven: str


@dataclass(frozen=True, slots=True)
class _Document:
    """A stored benchmark; ``at`` is a time of ISO 8601."""

    measured: str
    length: str
    at: str
    results: tuple[_Result, ...]


def newest(folder: Path, machine: str, now: float) -> Speed:
    """The newest whole benchmark of a raw disk; NotProven when there is none."""
    for path in sorted(folder.glob("*.json"), reverse=True):
        told = read(_Document, json.loads(path.read_text(encoding="utf-8")))
        for it in told.results if (told.measured, told.length) == ("raw", "full") else ():
            if it.machine == machine and it.iops and not it.unproven:
                age_s = now - datetime.fromisoformat(told.at).timestamp()
                return Speed(iops=it.iops, ended=True, p99_ms=it.p99_ms, age_days=age_s / _DAY_S)
    raise NotProven(
        f"{machine}: its raw disk was never measured completely",
        remedy="./cutover bench osd --length full --allow-writes",
    )
