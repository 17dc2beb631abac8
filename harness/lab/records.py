"""Records that gates compare with later: the machines' disks, their speed, the data on CephFS.

Recorded once, as an operator would before the work begins, and stored with the disks.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from harness.backup import manifest as manifests
from harness.bench import baseline as speeds
from harness.bench.bench import measure
from harness.core.errors import LabError
from harness.core.model import Exit
from harness.lab.host import run
from harness.lab.shape import Lab
from harness.probes.legacy_manifest import making
from harness.provision import apply
from harness.settings import ROOT, Profile
from harness.settings.bench import load_jobs
from harness.transport import Reach, connect

GIB = 1 << 30
TRIES = 3


def keep(lab: Lab, log: Path) -> None:
    """Record what is not recorded yet.

    In its own process: it enters the lab's network, which a process with threads cannot.
    """
    program = "from harness.lab.records import main; main()"
    declared = lab.profile.model_dump_json(by_alias=True)
    run([sys.executable, "-c", program], stdin=declared, cwd=ROOT, within_s=600, log=log)


def main() -> None:
    """Record for the profile on standard input."""
    profile = Profile.model_validate_json(sys.stdin.read())
    with connect(profile) as reach:
        record_disks(reach)
        record_speeds(reach)
        record_storage(reach)


def record_disks(reach: Reach) -> None:
    """Record each machine's disk; LabError if that could not be seen."""
    if (wanted := reach.profile.disks) is None:
        return
    names = [machine.name for machine in reach.profile.machines]
    failed = [it for it in apply.record(reach.shell, wanted, names) if it.exit is not Exit.GO]
    if failed:
        raise LabError(f"disks were not recorded: {failed}")


def record_speeds(reach: Reach) -> None:
    """Record how fast each disk commits; LabError if that could not be measured.

    The measurement is repeated if the machine was busy: a noisy baseline compares with nothing.
    """
    disks = reach.profile.disks
    if disks is None or disks.baseline.exists():
        return
    useless: Sequence[str] = ()
    for _ in range(TRIES):
        results = measure(
            reach,
            reach.profile.cluster().osd_disks,
            load_jobs("quick"),
            least_bytes=int(disks.at_least_gib * GIB),
            tell=_tell,
        )
        unmeasured = [it for it in results if not it.iops]
        if unmeasured:
            raise LabError(f"disks were not measured: {unmeasured}")
        useless = speeds.useless(results)
        if not useless:
            speeds.write(disks.baseline, results, disks.state)
            return
    raise LabError(
        f"no usable disk measurement in {TRIES} tries: {'; '.join(useless)}",
        remedy="run it again while nothing else runs on this machine: finished stages are kept",
    )


def _tell(machine: str, line: str) -> None:
    sys.stderr.write(f"{machine}: {line}\n")


def record_storage(reach: Reach) -> None:
    """Record the content of the existing storage."""
    legacy = reach.profile.legacy
    if legacy is None or legacy.baseline.exists():
        return
    one = making(reach, legacy, f"baseline-{reach.profile.name}")
    one.make()
    manifests.record_baseline(one.lines(), legacy.baseline)
    one.drop()
