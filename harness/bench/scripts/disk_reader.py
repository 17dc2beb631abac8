"""Reads a block device: its partition table, its users, and its content.

The only reader of disks, for the guard of a bench and for ``provision disk``. It changes nothing
and decides nothing. Part of scripts that are sent: standard library of Python 3.8 only.
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
from pathlib import Path
from typing import TypedDict

SYS, PROC = Path("/sys"), Path("/proc")
# The unit of sysfs; the disk's own sectors may differ.
SECTOR, GIB = 512, 1 << 30
COMMAND_S = 20.0
BLUESTORE = b"bluestore block device"
# Ceph keeps copies of its label at these places (GiB); Rook's teardown wipes the same ones. An OSD
# finds a copy that is left behind.
LABELS_GIB = (0, 1, 10, 100, 1000)
GPT = b"EFI PART"
HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
ENTRY = struct.Struct("<16s16sQQQ")


# --- the kernel's view --------------------------------------------------------------------------


def number(path: Path) -> int:
    return int(path.read_text())


def sysfs(rdev: int) -> Path:
    """The kernel's folder of a block device."""
    return (SYS / f"dev/block/{os.major(rdev)}:{os.minor(rdev)}").resolve()


def rdev_in(folder: Path) -> int:
    """The device of such a folder."""
    major, _, minor = (folder / "dev").read_text().partition(":")
    return os.makedev(int(major), int(minor))


def node_of(rdev: int) -> str:
    """A device node in /dev, of any name."""
    with os.scandir("/dev") as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISBLK(status.st_mode) and status.st_rdev == rdev:
                    return entry.path
    raise FileNotFoundError(f"no node in /dev is device {os.major(rdev)}:{os.minor(rdev)}")


def rdev_of(path: str) -> int | None:
    """The block device behind a path; None when there is none."""
    with contextlib.suppress(OSError, ValueError):
        status = Path(path).stat()
        return status.st_rdev if stat.S_ISBLK(status.st_mode) else None
    return None


def machine() -> dict[str, str]:
    return {
        "hostname": socket.gethostname(),
        "machine_id": Path("/etc/machine-id").read_text().strip(),
    }


def serial(disk: Path) -> str:
    """The disk's serial number; empty when it has none."""
    for place in ("serial", "device/serial"):
        if found := _text(disk / place):
            return found
    with contextlib.suppress(OSError):
        # A header of four bytes, then the unit serial number.
        page = (disk / "device/vpd_pg80").read_bytes()
        return page[4:].decode(errors="replace").strip("\0 ")
    return _text(disk / "device/wwid") or _text(disk / "wwid")


def _text(path: Path) -> str:
    """A file's text without its trailing whitespace; empty when there is no such file."""
    with contextlib.suppress(OSError):
        return path.read_bytes().decode(errors="replace").strip("\0\n ")
    return ""


def kernel_partitions(disk: Path, sector: int) -> dict[int, list[int]]:
    """First and last sector of each partition that the kernel knows, by number."""
    found = {}
    for mark in disk.glob("*/partition"):
        first = number(mark.parent / "start") * SECTOR // sector
        count = number(mark.parent / "size") * SECTOR // sector
        found[number(mark)] = [first, first + count - 1]
    return dict(sorted(found.items()))


# --- the table ----------------------------------------------------------------------------------


class Header(TypedDict):
    """A GPT's header; ``alternate`` is the sector that it names for its copy."""

    guid: str
    alternate: int
    first_usable: int
    last_usable: int
    entries_at: int
    entries_sectors: int
    entry_bytes: int


class Gpt(Header):
    """The header at a disk's begin, and whether its copy has the same entries."""

    copy_equal: bool


class Partition(TypedDict):
    """An entry of the table; ``raw`` is its bytes in hexadecimal."""

    number: int
    first: int
    last: int
    type: str
    partuuid: str
    label: str
    flags: int
    raw: str


def header(fd: int, lba: int, sector: int) -> tuple[Header, bytes]:
    """A GPT's header and entries at a sector; ValueError when they are not intact."""
    raw = os.pread(fd, sector, lba * sector)
    if len(raw) < HEADER.size or raw[:8] != GPT:
        raise ValueError("the disk has no GPT")
    fields = HEADER.unpack_from(raw)
    size, start, (count, each) = fields[2], fields[10], fields[11:13]
    if not HEADER.size <= size <= sector or fields[5] != lba:
        raise ValueError("the disk's GPT is damaged")
    if zlib.crc32(raw[:16] + bytes(4) + raw[20:size]) != fields[3]:
        raise ValueError("the disk's GPT is damaged")
    if not 0 < count <= 1024 or not 128 <= each <= sector:
        raise ValueError("the disk's GPT has entries that no tool writes")
    entries = os.pread(fd, count * each, start * sector)
    if zlib.crc32(entries) != fields[13]:
        raise ValueError("the entries of the disk's GPT are damaged")
    found: Header = {
        "guid": str(uuid.UUID(bytes_le=fields[9])),
        "alternate": fields[6],
        "first_usable": fields[7],
        "last_usable": fields[8],
        "entries_at": start,
        "entries_sectors": -(-count * each // sector),
        "entry_bytes": each,
    }
    return found, entries


def gpt(fd: int, sectors: int, sector: int) -> Gpt:
    """The header at the disk's begin, without the entries, and whether its copy has the same ones.

    ValueError without an intact header.
    """
    first, entries = header(fd, 1, sector)
    copy = b""
    if first["alternate"] < sectors:
        with contextlib.suppress(ValueError):
            _, copy = header(fd, first["alternate"], sector)
    return {**first, "copy_equal": copy == entries}


def partitions(fd: int, sector: int) -> list[Partition]:
    """The partitions in the GPT, in the order of their numbers; sectors are inclusive.

    ValueError when the GPT is not intact.
    """
    table, entries = header(fd, 1, sector)
    size = table["entry_bytes"]
    found: list[Partition] = []
    for index, start in enumerate(range(0, len(entries), size), start=1):
        raw = entries[start : start + size]
        kind, unique, first, last, flags = ENTRY.unpack_from(raw)
        if kind != bytes(16):
            found.append(
                {
                    "number": index,
                    "first": first,
                    "last": last,
                    "type": str(uuid.UUID(bytes_le=kind)),
                    "partuuid": str(uuid.UUID(bytes_le=unique)),
                    "label": raw[56:128].decode("utf-16-le", "replace").rstrip("\0"),
                    "flags": flags,
                    "raw": raw.hex(),
                }
            )
    return found


def mbr_types(fd: int) -> list[int] | None:
    """The types of the master boot record's partitions; None without a master boot record."""
    raw = os.pread(fd, 512, 0)
    if raw[510:] != b"\x55\xaa":
        return None
    return [raw[place + 4] for place in range(446, 510, 16) if raw[place + 4]]


# --- who uses it --------------------------------------------------------------------------------


def mounts(*rdevs: int) -> list[str]:
    """Mount points of these devices, in every process's view of the machine."""
    numbers = {f"{os.major(it)}:{os.minor(it)}" for it in rdevs}
    found, views = [], set()
    for process in [PROC / "self", *sorted(PROC.glob("[0-9]*"))]:
        # A process that has ended meanwhile has no mounts.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            with contextlib.suppress(PermissionError):
                view = (process / "ns/mnt").stat().st_ino
                if view in views:
                    continue
                views.add(view)
            for line in (process / "mountinfo").read_text(errors="replace").splitlines():
                fields, _, rest = line.partition(" - ")
                words = fields.split()
                # A file system over several devices (btrfs) has a number of its own.
                source = rest.split()[1] if len(rest.split()) > 1 else ""
                if words[2] in numbers or rdev_of(source) in rdevs:
                    found.append(words[4])
    return sorted(set(found))


def swaps(*rdevs: int) -> list[str]:
    rows = (PROC / "swaps").read_text().splitlines()[1:]
    return [row.split()[0] for row in rows if rdev_of(row.split()[0]) in rdevs]


def holders(*folders: Path) -> list[str]:
    """The devices (LVM, md, multipath) that lie on these ones, according to the kernel."""
    return sorted({it.name for folder in folders for it in (folder / "holders").iterdir()})


def loops_over(*rdevs: int) -> list[str]:
    """Loop devices over these devices."""
    found = []
    for place in SYS.glob("block/loop*/loop/backing_file"):
        with contextlib.suppress(OSError):
            if rdev_of(place.read_text().strip()) in rdevs:
                found.append(place.parent.parent.name)
    return sorted(found)


def backing(disk: Path) -> str | None:
    """The file behind a loop device, if it is on a disk of this machine."""
    with contextlib.suppress(FileNotFoundError):
        file = (disk / "loop/backing_file").read_text().strip()
        # A file system in memory has no device; a file that is missing here is on another machine.
        return file if os.major(Path(file).stat().st_dev) else None
    return None


# --- what it holds ------------------------------------------------------------------------------


def forget(fd: int) -> None:
    """Drop the kernel's cached copy, which may be older than what other paths wrote to the disk."""
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


def tool(
    argv: list[str], fd: int, fine: tuple[int, ...] = (0,)
) -> subprocess.CompletedProcess[str]:
    """Run a command on an open device, whose path is the last word; OSError for another status."""
    done = subprocess.run(
        [*argv, f"/proc/self/fd/{fd}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        pass_fds=[fd],
        timeout=COMMAND_S,
        env={**os.environ, "LC_ALL": "C"},
    )
    if done.returncode not in fine:
        raise OSError(f"{argv[0]} ended with {done.returncode}: {done.stderr.strip()}")
    return done


def recognised(fd: int, *area: str) -> list[str]:
    """The types that blkid recognises by magic numbers; ``area``: its options for a part.

    A partition's entry in its disk's table is not counted.
    """
    done = tool(["blkid", "-p", "-o", "export", *area], fd, fine=(0, 2, 8))
    # Bytes that match several types have no type, and are not free.
    found = ["several at once"] if done.returncode == 8 else []
    lines = [line.partition("=") for line in done.stdout.splitlines()]
    return found + [value for key, _, value in lines if key in ("TYPE", "PTTYPE")]


def marks(fd: int) -> list[dict[str, str]]:
    """The signatures that wipefs would wipe: {"type", "offset"} of each."""
    said = tool(["wipefs", "--no-act", "--json"], fd).stdout
    found: list[dict[str, str]] = json.loads(said)["signatures"] if said.strip() else []
    return found


def labels(fd: int, size: int, start: int = 0) -> list[int]:
    """The places (GiB after ``start``) of BlueStore's labels; sizes are bytes."""
    inside = [it for it in LABELS_GIB if it * GIB + len(BLUESTORE) <= size]
    return [it for it in inside if os.pread(fd, len(BLUESTORE), start + it * GIB) == BLUESTORE]


def nested(fd: int, size: int, start: int = 0, *, end: bool = True) -> bool:
    """A GPT within an area, at its begin or at its end."""
    places = [512, 4096, *((size - 512, size - 4096) if end else ())]
    return any(os.pread(fd, len(GPT), start + it) == GPT for it in places if it > 0)


def contents(fd: int, start: int, size: int, *, last: bool = False) -> list[str]:
    """The apparent content of an area of a disk; bytes.

    ``last``: the area ends at the disk's end, with the copy of the disk's own table.
    """
    found = recognised(fd, "--offset", str(start), "--size", str(size))
    found += [f"BlueStore label at {it} GiB" for it in labels(fd, size, start)]
    # On a disk that was an OSD as a whole, the copies are at places counted from the disk's begin.
    inside = [it for it in labels(fd, start + size) if it * GIB >= start]
    found += [f"BlueStore label at {it} GiB of the disk" for it in inside]
    if nested(fd, size, start, end=not last):
        found.append("a GPT of its own")
    return sorted(set(found))
