"""Runs on a machine as root: reads every fact about a partition that the guard needs.

Reads, and changes nothing. Standard library of Python 3.8 only.
"""

from __future__ import annotations

import contextlib
import os
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.bench.scripts import disk_reader as reader
from harness.bench.scripts.disk_reader import BLUESTORE, SECTOR, number

if TYPE_CHECKING:
    Facts = dict[str, Any]  # by name, as JSON


def look(wanted: Facts, held: int | None = None) -> Facts:
    """Every fact about a path; facts that could not be seen are in ``unseen``, with the reason.

    ``held``: a device that is open already; then this device is read.
    """
    path: str = wanted["path"]
    seen: Facts = {"unseen": {}}
    seen["path"] = {"asked": path, "real": os.path.realpath(path)}
    note(seen, "machine", reader.machine)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK) if held is None else held
    except OSError as error:
        seen["unseen"]["kind"] = os.strerror(error.errno or 0)
        return seen
    try:
        status = os.fstat(fd)
        seen["kind"] = "block device" if stat.S_ISBLK(status.st_mode) else "something else"
        if stat.S_ISBLK(status.st_mode):
            _device(seen, wanted, fd, status.st_rdev)
            if held is not None:
                seen["busy"] = None
            elif wanted.get("exclusive"):
                note(seen, "busy", lambda: busy(path))
    finally:
        if held is None:
            os.close(fd)
    return seen


def _device(seen: Facts, wanted: Facts, fd: int, rdev: int) -> None:
    here = reader.sysfs(rdev)
    is_partition = (here / "partition").exists()
    disk = here.parent if is_partition else here
    disk_rdev = reader.rdev_in(disk)
    both = {rdev, disk_rdev}
    note(seen, "device", lambda: {"rdev": rdev, "sequence": sequence(disk)})
    note(seen, "partition", lambda: number(here / "partition") if is_partition else None)
    note(seen, "kernel", lambda: kernel(here, disk))
    note(seen, "children", lambda: sorted(it.parent.name for it in here.glob("*/partition")))
    note(seen, "holders", lambda: reader.holders(here, disk))
    note(seen, "mounts", lambda: reader.mounts(*both))
    note(seen, "swaps", lambda: reader.swaps(*both))
    note(seen, "loops", lambda: reader.loops_over(*both))
    note(seen, "backing", lambda: reader.backing(disk))
    told = wanted.get("osd_partitions")
    note(seen, "osds", lambda: None if told is None else [it for it in told if same(it, both)])
    size = number(here / "size") * SECTOR
    reader.forget(fd)
    note(seen, "signatures", lambda: signatures(fd))
    note(seen, "nested", lambda: reader.nested(fd, size))
    note(seen, "owner", lambda: owner(fd))
    try:
        whole = os.open(reader.node_of(disk_rdev), os.O_RDONLY)
    except OSError as error:
        seen["unseen"].update(dict.fromkeys(("labels", "table", "soundness"), str(error)))
        return
    try:
        _disk(seen, fd, size, whole, disk)
    finally:
        os.close(whole)


def _disk(seen: Facts, fd: int, size: int, whole: int, disk: Path) -> None:
    """The facts of the disk that the partition is on."""
    reader.forget(whole)
    disk_size = number(disk / "size") * SECTOR
    note(
        seen,
        "labels",
        lambda: {"partition": reader.labels(fd, size), "disk": reader.labels(whole, disk_size)},
    )
    note(seen, "table", lambda: table(whole, sector_of(disk)))
    note(seen, "soundness", lambda: soundness(whole, disk, disk_size))


def note(seen: Facts, what: str, item: Callable[[], object]) -> None:
    """Store a fact, or the reason why it is missing."""
    try:
        seen[what] = item()
    except Exception as error:  # any error becomes this fact's answer
        seen["unseen"][what] = str(error) or type(error).__name__


def sector_of(disk: Path) -> int:
    return number(disk / "queue/logical_block_size")


def table(fd: int, sector: int) -> list[Facts]:
    """The partitions in a disk's GPT, in bytes."""
    return [
        {
            "number": it["number"],
            "type": it["type"],
            "partuuid": it["partuuid"],
            "label": it["label"],
            "start_bytes": it["first"] * sector,
            "size_bytes": (it["last"] - it["first"] + 1) * sector,
        }
        for it in reader.partitions(fd, sector)
    ]


def soundness(fd: int, disk: Path, size: int) -> Facts:
    """The facts by which ``disk_rules.table_flaws`` judges a table."""
    sector = sector_of(disk)
    return {
        "sectors": size // sector,
        "mbr_types": reader.mbr_types(fd),
        "gpt": reader.gpt(fd, size // sector, sector),
        "partitions": [
            [it["number"], it["first"], it["last"]] for it in reader.partitions(fd, sector)
        ],
        "kernel": reader.kernel_partitions(disk, sector),
    }


def signatures(fd: int) -> list[str]:
    """The signatures that blkid and wipefs recognise."""
    found = [f"{it} (blkid)" for it in reader.recognised(fd)]
    return found + [f"{it['type']} (wipefs, at {it['offset']})" for it in reader.marks(fd)]


def owner(fd: int) -> Facts | None:
    """The OSD that a BlueStore label names; never the key beside it."""
    block = os.pread(fd, 4096, 0)
    if not block.startswith(BLUESTORE):
        return None
    at = 60 + 6 + 16 + 8 + 8  # text, version, uuid, size, time

    def text() -> str:
        nonlocal at
        (length,) = struct.unpack_from("<I", block, at)
        at += 4 + length
        return block[at - length : at].decode()

    text()
    (count,) = struct.unpack_from("<I", block, at)
    at += 4
    told = {text(): text() for _ in range(count)}
    whose = {key: told.get(key) for key in ("whoami", "ceph_fsid")}
    return {"osd_uuid": block[23:59].decode(), **whose}


def same(device: str, rdevs: set[int]) -> bool:
    """True if a path, or a number such as ``8:2``, is one of these devices."""
    numbers = {f"{os.major(it)}:{os.minor(it)}" for it in rdevs}
    return device in numbers or reader.rdev_of(device) in rdevs


def busy(path: str) -> str | None:
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_EXCL))
    except OSError as error:
        return os.strerror(error.errno or 0)
    return None


def sequence(disk: Path) -> int | None:
    """The kernel's count of the device's re-creations; older kernels do not report it."""
    with contextlib.suppress(FileNotFoundError):
        return number(disk / "diskseq")
    return None


def kernel(here: Path, disk: Path) -> Facts:
    start = here / "start"
    return {
        "start_bytes": number(start) * SECTOR if start.exists() else 0,
        "size_bytes": number(here / "size") * SECTOR,
        "disk_bytes": number(disk / "size") * SECTOR,
        "read_only": any(number(it / "ro") for it in (here, disk)),
        "serial": reader.serial(disk),
    }
