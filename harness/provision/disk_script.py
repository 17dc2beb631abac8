"""Runs on a machine, as ``python3 -``: reads one disk, or makes the partition of a plan.

The facts come from the disk itself and from the kernel; the script decides nothing. It acts only on
the disk of the plan: it reads the facts again under the disk's lock, and stops if one differs.
Standard library of Python 3.8 only.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import TypedDict

from harness.bench.scripts import disk_reader as reader
from harness.bench.scripts.disk_reader import SECTOR

# sgdisk waits until every file system of the machine is synced.
COMMAND_S = 120.0
MIB = 1 << 20
KEPT = Path("/var/lib/cutover")


class Stopped(Exception):
    """The act was not begun, and why."""


def command(*argv: str) -> str:
    """A command's output; RuntimeError when it ends with another status than 0."""
    done = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    )
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        raise RuntimeError(f"{argv[0]}: exit status {done.returncode}: {said}")
    return done.stdout


def claims(rdev: int, disk: Path) -> list[str]:
    """Users of the whole disk, past its partitions."""
    file = reader.backing(disk)
    return [
        *(f"mounted at {it}" for it in reader.mounts(rdev)),
        *("swapped on" for _ in reader.swaps(rdev)),
        *(f"held by {it}" for it in reader.holders(disk)),
        *(f"under {it}" for it in reader.loops_over(rdev)),
        *([] if file is None else [f"the file {file} on a disk of this machine"]),
    ]


class Plan(TypedDict):
    """The one change: a partition in the free space; with ``grow``, the table is grown first."""

    device: str
    digest: str
    number: int
    first: int
    last: int
    type: str
    partuuid: str
    grow: bool


def look(device: str) -> dict[str, object]:
    """All facts of a disk; ``digest`` is the digest of all other facts."""
    fd = os.open(device, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        if not stat.S_ISBLK(status.st_mode):
            raise Stopped(f"{device} is no block device")
        facts = {**reader.machine(), "device": device, **told_of(fd, status.st_rdev)}
    finally:
        os.close(fd)
    told = json.dumps(facts, sort_keys=True).encode()
    return {**facts, "digest": hashlib.sha256(told).hexdigest()}


def told_of(fd: int, rdev: int) -> dict[str, object]:
    """The kernel's and the disk's own facts about an open disk."""
    disk = reader.sysfs(rdev)
    size = reader.number(disk / "size") * SECTOR
    whole = not (disk / "partition").exists()
    sector = reader.number((disk if whole else disk.parent) / "queue/logical_block_size")
    reader.forget(fd)
    table, parts = None, []
    with contextlib.suppress(ValueError):  # without an intact one there is none
        table, parts = reader.gpt(fd, size // sector, sector), reader.partitions(fd, sector)
    taken = max((part["last"] + 1 for part in parts), default=0) * sector
    free = -(-taken // MIB) * MIB or MIB
    rest_at = (table["entries_at"] + table["entries_sectors"]) * sector if table else 512
    return {
        "whole": whole,
        "read_only": bool(reader.number(disk / "ro")),
        "serial": reader.serial(disk),
        "size_bytes": size,
        "sector_bytes": sector,
        "mbr_types": reader.mbr_types(fd),
        "gpt": table,
        "partitions": [{**it, "holds": content(fd, it, sector)} for it in parts],
        "kernel": reader.kernel_partitions(disk, sector),
        "claims": claims(rdev, disk),
        "signatures": sorted({it["type"] for it in reader.marks(fd)} - {"gpt", "PMBR"}),
        "free_holds": reader.contents(fd, free, size - free, last=True) if size > free else [],
        "boot_code_sha256": digest(fd, 0, 446),
        "first_mib_sha256": digest(fd, rest_at, MIB),
    }


def content(fd: int, part: reader.Partition, sector: int) -> list[str]:
    start, length = part["first"] * sector, (part["last"] - part["first"] + 1) * sector
    return reader.contents(fd, start, length)


def digest(fd: int, start: int, end: int) -> str:
    return hashlib.sha256(os.pread(fd, end - start, start)).hexdigest()


def act(plan: Plan) -> dict[str, object]:
    """Make the plan's partition; the disk afterwards, and the place of the old table."""
    device, number = plan["device"], plan["number"]
    # The lock keeps udev and other careful tools away from the disk.
    with Path(device).open("rb", buffering=0) as disk:
        try:
            fcntl.flock(disk, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Stopped(f"{device} is locked by another program") from None
        if look(device)["digest"] != plan["digest"]:
            raise Stopped(f"{device} is not what it was when the plan was made")
        KEPT.mkdir(mode=0o700, parents=True, exist_ok=True)
        kept = KEPT / f"{Path(device).name}.{plan['digest'][:12]}.gpt"
        command("sgdisk", f"--backup={kept}", device)
        command(
            "sgdisk",
            "--set-alignment=1",  # the plan's sectors are aligned, and none of them may move
            *(["--move-second-header"] if plan["grow"] else []),
            f"--new={number}:{plan['first']}:{plan['last']}",
            f"--typecode={number}:{plan['type']}",
            f"--partition-guid={number}:{plan['partuuid']}",
            device,
        )
    # Only the new one: the kernel keeps its data about partitions that are in use.
    told = subprocess.run(
        ["partx", "--update", "--nr", f"{number}:{number}", device],
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
    )
    return {"after": look(device), "kept": str(kept), "partx": told.stderr.strip()}


def main() -> None:
    wanted = json.loads(sys.argv[1])
    try:
        told = act(wanted["plan"]) if "plan" in wanted else look(wanted["device"])
    except Stopped as why:
        told = {"stopped": str(why)}
    except (OSError, RuntimeError, subprocess.TimeoutExpired) as error:
        told = {"error": str(error)}
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
