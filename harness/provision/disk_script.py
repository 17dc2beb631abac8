"""Runs on a machine, as ``python3 -``: tells all of one disk, or makes the partition of a plan.

What is told is read from the disk itself and from the kernel; nothing is decided here. The act is
done only on the very disk that the plan was made of: the facts are read again under the disk's
lock, and one that differs ends it. Standard library of Python 3.8 only.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import stat
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any, BinaryIO

# sgdisk waits for every file system of the machine to be synced.
COMMAND_S = 120.0
MIB = 1 << 20
GIB = 1 << 30
# Where BlueStore keeps copies of its label: one that is left behind is found again by an OSD.
BLUESTORE = b"bluestore block device"
BLUESTORE_AT = (0, GIB, 10 * GIB, 100 * GIB, 1000 * GIB)
HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
ENTRY = struct.Struct("<16s16sQQQ")
BLKSSZGET, BLKGETSIZE64 = 0x1268, 0x80081272
KEPT = Path("/var/lib/cutover")


class Stopped(Exception):
    """The act was not begun: why."""


def command(*argv: str, fine: tuple[int, ...] = (0,)) -> str:
    """What a command printed; RuntimeError when it ends with another status."""
    done = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    )
    if done.returncode not in fine:
        said = (done.stderr or done.stdout).strip()
        raise RuntimeError(f"{argv[0]}: exit status {done.returncode}: {said}")
    return done.stdout


def text(path: Path) -> str:
    """A file's text without its end; empty when there is no such file."""
    try:
        return path.read_bytes().decode(errors="replace").strip("\0\n ")
    except OSError:
        return ""


def at(disk: BinaryIO, offset: int, length: int) -> bytes:
    return os.pread(disk.fileno(), length, offset)


def guid(raw: bytes) -> str:
    """A GUID as GPT stores it: the first three parts in little endian."""
    first, second, third = struct.unpack("<IHH", raw[:8])
    return f"{first:08x}-{second:04x}-{third:04x}-{raw[8:10].hex()}-{raw[10:].hex()}".upper()


# --- the table ----------------------------------------------------------------------------------


def header(disk: BinaryIO, lba: int, sector: int) -> dict[str, Any] | None:
    """A GPT header and its entries; None where no intact one is."""
    raw = at(disk, lba * sector, sector)
    if len(raw) < HEADER.size or raw[:8] != b"EFI PART":
        return None
    fields = HEADER.unpack_from(raw)
    size, checksum = fields[2], fields[3]
    if not HEADER.size <= size <= sector or fields[5] != lba:
        return None
    if zlib.crc32(raw[:16] + bytes(4) + raw[20:size]) != checksum:
        return None
    start, count, entry_bytes = fields[10:13]
    if not 0 < count <= 1024 or entry_bytes < 128:
        return None
    entries = at(disk, start * sector, count * entry_bytes)
    if zlib.crc32(entries) != fields[13]:
        return None
    return {
        "guid": guid(fields[9]),
        "alternate": fields[6],
        "first_usable": fields[7],
        "last_usable": fields[8],
        "entries_at": start,
        "entries_sectors": -(-count * entry_bytes // sector),
        "entry_bytes": entry_bytes,
        "entries": entries,
    }


def partitions(table: dict[str, Any]) -> list[dict[str, Any]]:
    """The entries in use, in the order of their numbers; sectors are inclusive."""
    size, entries = table["entry_bytes"], table["entries"]
    found = []
    for number, start in enumerate(range(0, len(entries), size), start=1):
        raw = entries[start : start + size]
        kind, unique, first, last, flags = ENTRY.unpack_from(raw)
        if kind != bytes(16):
            found.append(
                {
                    "number": number,
                    "first": first,
                    "last": last,
                    "type": guid(kind),
                    "partuuid": guid(unique),
                    "flags": flags,
                    "raw": raw.hex(),
                }
            )
    return found


def mbr_types(disk: BinaryIO) -> list[int] | None:
    """The types of the master boot record's partitions; None when there is no such record."""
    raw = at(disk, 0, 512)
    if raw[510:] != b"\x55\xaa":
        return None
    return [raw[place + 4] for place in range(446, 510, 16) if raw[place + 4]]


def gpt(disk: BinaryIO, sectors: int, sector: int) -> dict[str, Any] | None:
    """The table by its first header, and whether its copy is intact where that says it is."""
    table = header(disk, 1, sector)
    if table is None:
        return None
    copy = header(disk, table["alternate"], sector) if table["alternate"] < sectors else None
    told = {key: value for key, value in table.items() if key != "entries"}
    return {**told, "copy_equal": copy is not None and copy["entries"] == table["entries"]}


# --- what else is on it, and who uses it --------------------------------------------------------


def contents(device: str, disk: BinaryIO, offset: int, length: int) -> list[str]:
    """What an area of the disk seems to hold, by its magic numbers; bytes."""
    probe = ("blkid", "--probe", "--output", "export")
    said = command(*probe, "--offset", str(offset), "--size", str(length), device, fine=(0, 2, 8))
    found = [
        line.partition("=")[2]
        for line in said.splitlines()
        if line.startswith(("TYPE=", "PTTYPE="))
    ]
    for place in BLUESTORE_AT:
        if place < length and at(disk, offset + place, len(BLUESTORE)) == BLUESTORE:
            found.append(f"BlueStore label at {place // GIB} GiB")
    return sorted(set(found))


def signatures(device: str) -> list[str]:
    """What the disk as a whole is marked as, other than GPT."""
    said = command("wipefs", "--no-act", "--json", device)
    marks = json.loads(said)["signatures"] if said.strip() else []
    return sorted({mark["type"] for mark in marks} - {"gpt", "PMBR"})


def claims(device: str, sys: Path) -> list[str]:
    """Who uses the disk as a whole, past its partitions."""
    number = text(sys / "dev")
    found = []
    for line in Path("/proc/self/mountinfo").read_text(errors="replace").splitlines():
        words = line.split()
        if words[2] == number:
            found.append(f"mounted at {words[4]}")
    for line in Path("/proc/swaps").read_text().splitlines()[1:]:
        if os.path.realpath(line.split()[0]) == device:
            found.append("swapped on")
    found += [f"held by {holder.name}" for holder in (sys / "holders").glob("*")]
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        if text(backing) == device:
            found.append(f"under {backing.parent.parent.name}")
    return sorted(set(found))


def serial(sys: Path) -> str:
    """The disk's own number, where it has one."""
    for name in ("serial", "device/serial"):
        if found := text(sys / name):
            return found
    try:
        # A header of four bytes, then the unit serial number.
        page = (sys / "device/vpd_pg80").read_bytes()
    except OSError:
        return text(sys / "device/wwid") or text(sys / "wwid")
    return page[4:].decode(errors="replace").strip("\0 ")


def known_to_kernel(sys: Path, sector: int) -> dict[str, list[int]]:
    """First and last sector of each partition, as the kernel has them, by number."""
    found = {}
    for mark in sys.glob("*/partition"):
        first = int(text(mark.parent / "start")) * 512 // sector
        count = int(text(mark.parent / "size")) * 512 // sector
        found[text(mark)] = [first, first + count - 1]
    return dict(sorted(found.items()))


def number_of(disk: BinaryIO, request: int, form: str) -> int:
    raw = fcntl.ioctl(disk.fileno(), request, bytes(struct.calcsize(form)))
    return int(struct.unpack(form, raw)[0])


# --- looking and acting -------------------------------------------------------------------------


def look(device: str) -> dict[str, Any]:
    """All of a disk; ``digest`` stands for everything else that is told."""
    status = Path(device).stat()
    if not stat.S_ISBLK(status.st_mode):
        raise Stopped(f"{device} is no block device")
    sys = Path(f"/sys/dev/block/{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}").resolve()
    with Path(device).open("rb", buffering=0) as raw:
        disk: Any = raw
        size, sector = number_of(disk, BLKGETSIZE64, "Q"), number_of(disk, BLKSSZGET, "i")
        table = header(disk, 1, sector)
        parts = partitions(table) if table else []
        taken = max((part["last"] + 1 for part in parts), default=0) * sector
        free = -(-taken // MIB) * MIB or MIB
        rest_at = (table["entries_at"] + table["entries_sectors"]) * sector if table else 512
        for part in parts:
            length = (part["last"] - part["first"] + 1) * sector
            part["holds"] = contents(device, disk, part["first"] * sector, length)
        facts = {
            "hostname": os.uname().nodename,
            "machine_id": text(Path("/etc/machine-id")),
            "device": device,
            "whole": not (sys / "partition").exists(),
            "read_only": text(sys / "ro") == "1",
            "serial": serial(sys),
            "size_bytes": size,
            "sector_bytes": sector,
            "mbr_types": mbr_types(disk),
            "gpt": gpt(disk, size // sector, sector),
            "partitions": parts,
            "kernel": known_to_kernel(sys, sector),
            "claims": claims(os.path.realpath(device), sys),
            "signatures": signatures(device),
            "free_holds": contents(device, disk, free, size - free) if size > free else [],
            "boot_code_sha256": hashlib.sha256(at(disk, 0, 446)).hexdigest(),
            "first_mib_sha256": hashlib.sha256(at(disk, rest_at, MIB - rest_at)).hexdigest(),
        }
    told = json.dumps(facts, sort_keys=True).encode()
    return {**facts, "digest": hashlib.sha256(told).hexdigest()}


def act(plan: dict[str, Any]) -> dict[str, Any]:
    """Make the plan's partition; the disk as it is after that, and where the old table is kept."""
    device, number = plan["device"], plan["number"]
    # Locked, udev and other careful tools leave the disk alone.
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
    # Only the new one: the kernel keeps what it knows of those that are in use.
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
