"""Disks of the lab: a pool that copies files in no time, an image a machine, and its partitions.

    host file system ── NAME.pool (XFS, reflinks) ─┬─ live/MACHINE.img      = /dev/sda
                                                   │    ├─ p1 (ext4)        = /dev/sda1
                                                   │    └─ p2 (raw)         = /dev/sda2: Ceph's
                                                   └─ golden-KEY/…          as just built

A machine that fills, remounts or formats its disk reaches only its own image.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from harness.core.errors import LabError
from harness.core.model import Exit
from harness.core.waiting import until
from harness.lab.host import run
from harness.lab.shape import Lab, Node
from harness.provision import apply
from harness.settings import ROOT, Profile
from harness.transport import connect

POOL_GB = 200  # sparse: only what is written takes room
GIB = 1024**3


def mounts_below(folder: Path) -> list[Path]:
    """Mount points in or below a folder, the deepest last."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        path = Path(line.split()[4].encode().decode("unicode_escape"))
        if path == folder or folder in path.parents:
            found.append(path)
    return found[::-1]


def mounted(path: Path) -> bool:
    """True if something is mounted there; os.path.ismount does not see binds."""
    return path in mounts_below(path)


def loops(lab: Lab, log: Path) -> dict[str, str]:
    """Loop devices over the lab's files as they are now: backing file → device.

    Compared by inode too: a device over a deleted file keeps that file's name.
    """
    columns = "NAME,BACK-FILE,BACK-INO,BACK-MAJ:MIN"
    out = run(["losetup", "--list", "--json", "--output", columns], log=log).stdout
    devices = json.loads(out)["loopdevices"] if out.strip() else []
    ours = (str(lab.pool), str(lab.pool_image))
    return {
        device["back-file"]: device["name"]
        for device in devices
        if (device["back-file"] or "").startswith(ours) and _backs(device)
    }


def _backs(device: Mapping[str, object]) -> bool:
    try:
        file = Path(str(device["back-file"])).stat()
    except OSError:
        return False
    number = f"{os.major(file.st_dev)}:{os.minor(file.st_dev)}"
    return (file.st_ino, number) == (device["back-ino"], str(device["back-maj:min"]).strip())


def open_pool(lab: Lab, log: Path) -> None:
    """Make and mount the pool; an existing pool is only mounted."""
    if mounted(lab.pool):
        return
    lab.pool.mkdir(parents=True, exist_ok=True)
    if not mounted(lab.state):
        # Shared: an unmount here also applies to another lab's machine that booted meanwhile with a
        # copy of this host's mounts. Otherwise that copy would keep the disks busy.
        run(["mount", "--bind", lab.state, lab.state], log=log)
        run(["mount", "--make-private", lab.state], log=log)
        run(["mount", "--make-shared", lab.state], log=log)
    if not lab.pool_image.exists():
        lab.pool_image.parent.mkdir(parents=True, exist_ok=True)
        new = lab.pool_image.with_suffix(".new")
        new.unlink(missing_ok=True)
        run(["truncate", "--size", f"{POOL_GB}G", new], log=log)
        run(["mkfs.xfs", "-q", "-m", "reflink=1", new], log=log)
        new.rename(lab.pool_image)
    run(["mount", "-o", "loop,discard,noatime", lab.pool_image, lab.pool], log=log)


def close_pool(lab: Lab, log: Path) -> None:
    """Delete the live disks and unmount the pool; the golden copies stay in it."""
    if mounted(lab.pool):
        for folder in [lab.live, *lab.pool.glob("*.new")]:
            shutil.rmtree(folder, ignore_errors=True)
        run(["umount", lab.pool], log=log)
    if mounted(lab.state):
        run(["umount", lab.state], log=log)


def make(lab: Lab, node: Node, log: Path) -> None:
    """Make a machine's empty disk with its partitions; an existing disk stays as it is.

    The disk that ``new_disk`` names is as a hoster delivers it: without a partition for Ceph.
    """
    if node.disk.exists():
        return
    new = node.disk.with_suffix(".new")
    new.unlink(missing_ok=True)
    run(["truncate", "--size", f"{lab.shape.disk_gb}G", new], log=log)
    system_gb = lab.shape.disk_gb - lab.shape.osd_gb
    for_ceph = [] if node.name == lab.shape.new_disk else ["--new=2:0:0"]
    run(["sgdisk", f"--new=1:1M:+{system_gb}G", *for_ceph, new], log=log)
    new.rename(node.disk)


def partitions(device: str, log: Path) -> list[Path]:
    """The partitions in a disk's table; the kernel may not know them yet."""
    command = ["partx", "--show", "--noheadings", "--output=NR", device]
    return [Path(f"{device}p{number}") for number in run(command, log=log).stdout.split()]


def attach(lab: Lab, node: Node, log: Path) -> str:
    """The loop device over a machine's disk, with its partitions known to the kernel."""
    device = loops(lab, log).get(str(node.disk))
    if device is None:
        device = run(["losetup", "--find", "--show", node.disk], log=log).stdout.strip()
    # A machine's power loss never loses data in this host's kernel: flushing every write of three
    # machines through to one disk would only slow the lab.
    Path(f"/sys/block/{Path(device).name}/queue/write_cache").write_text("write through")
    wanted = partitions(device, log)
    if all(partition.exists() for partition in wanted):
        # A second request would make new nodes, while running machines hold the old ones.
        return device
    run(["partx", "--update", device], log=log)
    until(
        lambda: all(partition.exists() for partition in wanted),
        within_s=10,
        every_s=0.05,
        what=f"the kernel shows the partitions of {device}",
    )
    return device


def provide_partition(lab: Lab, node: Node, log: Path) -> None:
    """Give the new disk its partition for Ceph as an operator would, if it is missing."""
    if len(partitions(attach(lab, node, log), log)) > 1:
        return
    # In its own process: it enters the lab's network, which a process with threads cannot.
    program = f"from harness.lab.disks import provision; provision({node.name!r})"
    declared = lab.profile.model_dump_json(by_alias=True)
    run([sys.executable, "-c", program], stdin=declared, cwd=ROOT, within_s=120, log=log)


def provision(machine: str) -> None:
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


def mount(lab: Lab, node: Node, rootfs: Path, log: Path) -> None:
    """Mount a machine's system partition and lay its root over the built system."""
    device = attach(lab, node, log)
    node.system.mkdir(parents=True, exist_ok=True)
    if not mounted(node.system):
        probe = ["blkid", "--probe", "--match-tag", "TYPE", f"{device}p1"]
        if not run(probe, log=log, check=False).stdout.strip():
            # This host keeps the mount while the machine is off: no journal is needed.
            run(["mkfs.ext4", "-q", "-O", "^has_journal", "-L", "system", f"{device}p1"], log=log)
        run(["mount", "-o", "discard,noatime", f"{device}p1", node.system], log=log)
    for folder in ("upper", "work", "rancher", "kubelet", "docker"):
        (node.system / folder).mkdir(exist_ok=True)
    node.root.mkdir(exist_ok=True)
    if not mounted(node.root):
        options = f"lowerdir={rootfs},upperdir={node.system}/upper,workdir={node.system}/work"
        run(["mount", "-t", "overlay", "overlay", "-o", options, node.root], log=log)


def release(lab: Lab, log: Path) -> None:
    """Unmount everything below the lab's folder except the pool, and detach the machines' disks."""
    for path in mounts_below(lab.state):
        # A shared mount may be listed twice and be gone after the first unmount.
        if path not in (lab.pool, lab.state) and mounted(path):
            run(["umount", path], log=log)
    for file, device in loops(lab, log).items():
        if file != str(lab.pool_image):
            run(["partx", "--delete", device], log=log, check=False)
            run(["losetup", "--detach", device], log=log)
    until(
        lambda: set(loops(lab, log)) <= {str(lab.pool_image)},
        within_s=20,
        what="the machines' loop devices are free",
        remedy="a process still holds one: losetup --list, then fuser -vm DEVICE",
    )


def copy(source: Path, target: Path, log: Path) -> None:
    """Copy a folder of the pool with reflinks; the target appears whole or not at all."""
    new = target.with_suffix(".new")
    shutil.rmtree(new, ignore_errors=True)
    run(["cp", "--archive", "--reflink=always", source, new], log=log, within_s=120)
    if target.exists():
        shutil.rmtree(target)
    new.rename(target)


def enough_room(lab: Lab, need_gb: int = 25) -> None:
    """LabError if the host's disk can become full before the machines reach their own limits."""
    folder = lab.pool_image.parent
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < need_gb * GIB and not lab.pool_image.exists():
        raise LabError(
            f"{folder} has {free / GIB:.0f} GiB free; the lab needs {need_gb} GiB",
            remedy="free some room, or point XDG_CACHE_HOME at a larger disk",
        )
