"""Runs on a machine as root: every fact about a partition that the guard decides by.

Reads, and changes nothing. Standard library of Python 3.8 only.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import struct
import subprocess
import uuid
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

SYS, PROC = Path("/sys"), Path("/proc")
SECTOR, GIB = 512, 1 << 30
COMMAND_S = 20.0
BLUESTORE = b"bluestore block device"
# Ceph keeps copies of its label at these places (GiB); Rook's teardown wipes the same ones.
LABELS_GIB = (0, 1, 10, 100, 1000)


def number(path: Path) -> int:
    return int(path.read_text())


def sysfs(rdev: int) -> Path:
    """The kernel's own folder about a block device."""
    return (SYS / f"dev/block/{os.major(rdev)}:{os.minor(rdev)}").resolve()


def node_of(rdev: int) -> str:
    """A device node in /dev, whatever its name."""
    with os.scandir("/dev") as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISBLK(status.st_mode) and status.st_rdev == rdev:
                    return entry.path
    raise FileNotFoundError(f"no node in /dev is device {os.major(rdev)}:{os.minor(rdev)}")


def rdev_of(path: str) -> int | None:
    """The block device that a path leads to, None when it leads to none."""
    with contextlib.suppress(OSError, ValueError):
        status = Path(path).stat()
        return status.st_rdev if stat.S_ISBLK(status.st_mode) else None
    return None


def serial(disk: Path) -> str:
    """The disk's own number; empty when it has none."""
    for place in ("serial", "device/serial"):
        with contextlib.suppress(OSError):
            if found := (disk / place).read_text().strip():
                return found
    with contextlib.suppress(OSError):
        # A header of four bytes, then the unit serial number.
        page = (disk / "device/vpd_pg80").read_bytes()
        return page[4:].decode(errors="replace").strip("\0 ")
    for place in ("device/wwid", "wwid"):
        with contextlib.suppress(OSError):
            return (disk / place).read_text().strip()
    return ""


def table(fd: int, sector: int) -> list[dict[str, Any]]:
    """The partitions that a disk's GPT names; ValueError when it has no whole one."""
    header = os.pread(fd, 92, sector)
    if header[:8] != b"EFI PART":
        raise ValueError("the disk has no GPT")
    size, crc = struct.unpack("<II", header[12:20])
    if zlib.crc32(header[:16] + b"\0\0\0\0" + header[20:size]) != crc:
        raise ValueError("the disk's GPT is damaged")
    at, count, each, entries_crc = struct.unpack("<QIII", header[72:92])
    entries = os.pread(fd, count * each, at * sector)
    if zlib.crc32(entries) != entries_crc:
        raise ValueError("the entries of the disk's GPT are damaged")
    found = []
    for index in range(count):
        entry = entries[index * each : (index + 1) * each]
        if entry[:16] == bytes(16):
            continue
        first, last = struct.unpack("<QQ", entry[32:48])
        found.append(
            {
                "number": index + 1,
                "type": str(uuid.UUID(bytes_le=entry[:16])),
                "partuuid": str(uuid.UUID(bytes_le=entry[16:32])),
                "start_bytes": first * sector,
                "size_bytes": (last - first + 1) * sector,
                "label": entry[56:128].decode("utf-16-le", "replace").rstrip("\0"),
            }
        )
    return found


def mounts(*rdevs: int) -> list[str]:
    """Where file systems of these devices are mounted, in any process's view of the machine."""
    numbers = {f"{os.major(it)}:{os.minor(it)}" for it in rdevs}
    found, views = [], set()
    for process in [PROC / "self", *sorted(PROC.glob("[0-9]*"))]:
        # A process that has ended meanwhile mounts nothing.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            with contextlib.suppress(PermissionError):
                view = (process / "ns/mnt").stat().st_ino
                if view in views:
                    continue
                views.add(view)
            for line in (process / "mountinfo").read_text().splitlines():
                fields, _, rest = line.partition(" - ")
                words = fields.split()
                # A file system over several devices (btrfs) has a number of its own.
                source = rest.split()[1] if len(rest.split()) > 1 else ""
                if words[2] in numbers or rdev_of(source) in rdevs:
                    found.append(words[4])
    return sorted(set(found))


def signatures(fd: int) -> list[str]:
    """What blkid and wipefs recognise; a partition's entry in its disk's table is no signature."""
    path = f"/proc/self/fd/{fd}"
    done = tool(["blkid", "-p", "-o", "export", path], fd)
    if done.returncode not in (0, 2, 8):
        raise OSError(f"blkid ended with {done.returncode}: {done.stderr.strip()}")
    found = ["several at once (blkid)"] if done.returncode == 8 else []
    for line in done.stdout.splitlines():
        key, _, value = line.partition("=")
        if key in ("TYPE", "PTTYPE"):
            found.append(f"{value} (blkid)")
    wiped = tool(["wipefs", "--no-act", "--json", path], fd)
    if wiped.returncode != 0:
        raise OSError(f"wipefs ended with {wiped.returncode}: {wiped.stderr.strip()}")
    listed = json.loads(wiped.stdout)["signatures"] if wiped.stdout.strip() else []
    return found + [f"{it['type']} (wipefs, at {it['offset']})" for it in listed]


def tool(argv: list[str], fd: int) -> Any:
    return subprocess.run(argv, capture_output=True, text=True, pass_fds=[fd], timeout=COMMAND_S)


def labels(fd: int, size: int) -> list[int]:
    """The places (GiB) at which a label of BlueStore lies."""
    inside = [it for it in LABELS_GIB if it * GIB + len(BLUESTORE) <= size]
    return [it for it in inside if os.pread(fd, len(BLUESTORE), it * GIB) == BLUESTORE]


def owner(fd: int) -> dict[str, Any] | None:
    """Whose OSD a label of BlueStore names; never the key that lies beside it."""
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


def nested(fd: int, size: int) -> bool:
    """A GPT on the partition itself, at its begin or its end."""
    places = [it for sector in (512, 4096) for it in (sector, size - sector)]
    return any(os.pread(fd, 8, place) == b"EFI PART" for place in places)


def loops_over(*rdevs: int) -> list[str]:
    """Loop devices whose bytes are these devices' bytes."""
    found = []
    for place in SYS.glob("block/loop*/loop/backing_file"):
        with contextlib.suppress(OSError):
            if rdev_of(place.read_text().strip()) in rdevs:
                found.append(place.parent.parent.name)
    return sorted(found)


def backing(disk: Path) -> str | None:
    """The file that a loop device's bytes lie in, when a disk of this machine holds that."""
    with contextlib.suppress(FileNotFoundError):
        file = (disk / "loop/backing_file").read_text().strip()
        # A file system in memory has no device; a file that is not here is another machine's.
        return file if os.major(Path(file).stat().st_dev) else None
    return None


def same(device: str, rdevs: set[int]) -> bool:
    """Whether a path, or a number such as ``8:2``, is one of these devices."""
    numbers = {f"{os.major(it)}:{os.minor(it)}" for it in rdevs}
    return device in numbers or rdev_of(device) in rdevs


def swaps(rdev: int) -> list[str]:
    rows = (PROC / "swaps").read_text().splitlines()[1:]
    return [row.split()[0] for row in rows if rdev_of(row.split()[0]) == rdev]


def busy(path: str) -> str | None:
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_EXCL))
    except OSError as error:
        return os.strerror(error.errno or 0)
    return None


def look(wanted: dict[str, Any], held: int | None = None) -> dict[str, Any]:
    """Every fact about a path; what could not be seen is in ``unseen``, with the reason.

    ``held``: the device that is open already, which then is what is looked at.
    """
    path: str = wanted["path"]
    seen: dict[str, Any] = {"unseen": {}}
    seen["path"] = {"asked": path, "real": os.path.realpath(path)}
    note(seen, "machine", machine)
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


def _device(seen: dict[str, Any], wanted: dict[str, Any], fd: int, rdev: int) -> None:
    here = sysfs(rdev)
    is_partition = (here / "partition").exists()
    disk = here.parent if is_partition else here
    major, _, minor = (disk / "dev").read_text().partition(":")
    disk_rdev = os.makedev(int(major), int(minor))
    both = {rdev, disk_rdev}
    note(seen, "device", lambda: {"rdev": rdev, "sequence": sequence(disk)})
    note(seen, "partition", lambda: number(here / "partition") if is_partition else None)
    note(seen, "kernel", lambda: kernel(here, disk))
    note(seen, "children", lambda: sorted(it.parent.name for it in here.glob("*/partition")))
    note(seen, "holders", lambda: sorted(it.name for it in (here / "holders").iterdir()))
    note(seen, "mounts", lambda: mounts(*both))
    note(seen, "swaps", lambda: swaps(rdev))
    note(seen, "loops", lambda: loops_over(*both))
    note(seen, "backing", lambda: backing(disk))
    told = wanted.get("osd_partitions")
    note(seen, "osds", lambda: None if told is None else [it for it in told if same(it, both)])
    size = number(here / "size") * SECTOR
    # What was written to the disk past this partition must not hide behind an older copy in memory.
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    note(seen, "signatures", lambda: signatures(fd))
    note(seen, "nested", lambda: nested(fd, size))
    note(seen, "owner", lambda: owner(fd))
    with contextlib.ExitStack() as closing:
        try:
            whole = os.open(node_of(disk_rdev), os.O_RDONLY)
        except OSError as error:
            seen["unseen"].update(dict.fromkeys(("labels", "table"), str(error)))
            return
        closing.callback(os.close, whole)
        os.posix_fadvise(whole, 0, 0, os.POSIX_FADV_DONTNEED)
        disk_size, sector = number(disk / "size") * SECTOR, disk / "queue/logical_block_size"
        note(
            seen,
            "labels",
            lambda: {"partition": labels(fd, size), "disk": labels(whole, disk_size)},
        )
        note(seen, "table", lambda: table(whole, number(sector)))


def note(seen: dict[str, Any], what: str, item: Callable[[], Any]) -> None:
    """Keep a fact, or why it could not be had."""
    try:
        seen[what] = item()
    except Exception as error:  # whatever it is, it is this fact's answer
        seen["unseen"][what] = str(error) or type(error).__name__


def machine() -> dict[str, Any]:
    return {
        "hostname": socket.gethostname(),
        "machine_id": Path("/etc/machine-id").read_text().strip(),
    }


def sequence(disk: Path) -> int | None:
    """Counts what a device has been made of; older kernels do not tell."""
    with contextlib.suppress(FileNotFoundError):
        return number(disk / "diskseq")
    return None


def kernel(here: Path, disk: Path) -> dict[str, Any]:
    start = here / "start"
    return {
        "start_bytes": number(start) * SECTOR if start.exists() else 0,
        "size_bytes": number(here / "size") * SECTOR,
        "disk_bytes": number(disk / "size") * SECTOR,
        "read_only": bool(number(here / "ro")),
        "serial": serial(disk),
    }
