"""How fast each machine's disk for Ceph commits 4 KiB writes, and how fast it was.

A disk that an OSD has is measured now, through Ceph, all at once; a raw one never by a gate: there
the newest result of ``./cutover bench osd`` speaks, with its age. The value:

``iops``      committed writes a second
``ended``     whether the bench came to its end; else it is slower than ``iops`` says
``p99_ms``    latency of a sync; None where Ceph measured
``age_days``  how old the measurement is
``baseline_iops``  what it was when the baseline was recorded; None when it was not
``noise_percent``  how far below the baseline a run may lie by chance; None without a baseline
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from harness.bench import baseline, ceph
from harness.errors import NotProven
from harness.model import JSON
from harness.probes.osd_disks import declared
from harness.probes.probe import Timing
from harness.settings import Profile, state_dir
from harness.transport import Reach

_DAY_S = 86_400


class DiskBench:
    """Measures every OSD at the same time, or tells what was measured of raw disks."""

    name: ClassVar[str] = "disk-bench"
    sentence: ClassVar[str] = "the disk for Ceph on every machine, measured at the same time"
    timing: ClassVar[Timing] = Timing.ALONE
    within_s: ClassVar[float] = 240.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return list(declared(reach.profile))

    def observe(self, reach: Reach, target: str) -> JSON:
        disk, known = declared(reach.profile)[target], _baseline(reach.profile)
        found: dict[str, Any]
        if disk.raw:
            found = newest(state_dir() / "bench" / reach.profile.name, target, time.time())
        else:
            measured = ceph.bench(reach, target, disk.osd)
            kept = {key: measured[key] for key in ("iops", "ended")}
            found = {**kept, "p99_ms": None, "age_days": 0.0}
        before = known.get(target)
        return {
            **found,
            "baseline_iops": before.iops if before else None,
            "noise_percent": before.noise_percent if before else None,
        }


def _baseline(profile: Profile) -> dict[str, baseline.Known]:
    disks = profile.disks
    known = baseline.read(disks.baseline) if disks else None
    if disks is None or known is None or known.measured != disks.state:
        return {}
    return dict(known.machines)


def newest(folder: Path, machine: str, now: float) -> dict[str, Any]:
    """The newest whole benchmark of a raw disk; NotProven when there is none."""
    for path in sorted(folder.glob("*.json"), reverse=True):
        told = json.loads(path.read_text(encoding="utf-8"))
        for it in told["results"] if (told["measured"], told["length"]) == ("raw", "full") else ():
            if it["machine"] == machine and it["iops"] and not it["unproven"]:
                at = datetime.fromisoformat(told["at"]).timestamp()
                age_days = (now - at) / _DAY_S
                kept = {"iops": it["iops"], "ended": True, "p99_ms": it["p99_ms"]}
                return {**kept, "age_days": age_days}
    raise NotProven(
        f"{machine}: its raw disk was never measured whole",
        remedy="./cutover bench osd --length full --allow-writes",
    )
