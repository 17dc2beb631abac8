"""The disk that comes without a partition for Ceph, and gets one as an operator would make it."""

from __future__ import annotations

import sys
from pathlib import Path

from harness.core.errors import LabError
from harness.core.model import Exit
from harness.lab import disks
from harness.lab.host import run
from harness.lab.shape import Lab, Node
from harness.provision import apply
from harness.settings import ROOT, Profile
from harness.transport import connect


def provide(lab: Lab, node: Node, log: Path) -> None:
    """Make the partition if it is missing."""
    if len(disks.partitions(disks.attach(lab, node, log), log)) > 1:
        return
    # In its own process: it enters the lab's network, which a process with threads cannot.
    program = f"from harness.lab.new_disk import main; main({node.name!r})"
    declared = lab.profile.model_dump_json(by_alias=True)
    run([sys.executable, "-c", program], stdin=declared, cwd=ROOT, within_s=120, log=log)


def main(machine: str) -> None:
    """Record the disk and make its partition; LabError when either was refused."""
    profile = Profile.model_validate_json(sys.stdin.read())
    wanted = profile.disks
    if wanted is None:
        raise LabError(f"the profile {profile.name} declares no disks")
    with connect(profile) as reach:
        for line in (
            *apply.record(reach.shell, wanted, [machine]),
            *apply.apply(reach.shell, wanted, [machine], yes=True),
        ):
            sys.stdout.write(f"{line.machine}: {line.state}: {'; '.join(line.says)}\n")
            if line.exit is not Exit.GO:
                raise LabError(f"{machine} was not given its partition: {'; '.join(line.says)}")
