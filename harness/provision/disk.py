"""A disk as seen and as recorded: its table, its partitions, its free space.

Sectors are logical ones and inclusive.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import yaml

from harness.bench.scripts import disk_rules
from harness.core.errors import Refused
from harness.settings import parse
from harness.settings.provision import DiskFile

MIB = 1 << 20
GIB = 1 << 30
_ENTRIES_BYTES = 128 * 128
_RECORDS_HEAD = """\
# Which disk each machine has, as `./cutover provision disk --record` saw it. Sectors are inclusive.
# Read it before you give --yes; a disk that differs from it is refused.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """One entry of the table; ``raw`` is its bytes in hexadecimal, ``holds`` is its content."""

    number: int
    first: int
    last: int
    type: str
    partuuid: str
    raw: str = ""
    holds: tuple[str, ...] = ()

    @property
    def sectors(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The GPT's header. ``alternate`` is the sector that it names for its copy."""

    guid: str
    alternate: int
    first_usable: int
    last_usable: int
    copy_equal: bool
    entries_sectors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskReport:
    """The answer of ``disk_script``; ``kernel`` are the partitions that the kernel knows.

    The two sums are of the boot code and of the rest of the first MiB.
    """

    hostname: str
    machine_id: str
    device: str
    whole: bool
    read_only: bool
    serial: str
    size_bytes: int
    sector_bytes: int
    mbr_types: tuple[int, ...] | None
    gpt: Table | None
    partitions: tuple[Partition, ...]
    kernel: Mapping[int, tuple[int, int]]
    claims: tuple[str, ...]
    signatures: tuple[str, ...]
    free_holds: tuple[str, ...]
    boot_code_sha256: str
    first_mib_sha256: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk(DiskReport):
    """A disk of a machine; its GUIDs are in capitals, as the record and the tools write them."""

    machine: str

    @property
    def sectors(self) -> int:
        return self.size_bytes // self.sector_bytes

    @property
    def first_mib(self) -> tuple[str, str]:
        return self.boot_code_sha256, self.first_mib_sha256

    def partition(self, number: int) -> Partition | None:
        return next((it for it in self.partitions if it.number == number), None)

    def path(self, number: int) -> str:
        """The device of one of its partitions."""
        return f"{self.device}{'p' if self.device[-1].isdigit() else ''}{number}"


def disk_of(machine: str, told: DiskReport) -> Disk:
    """A disk from the script's answer."""
    capitals = replace(
        told,
        gpt=told.gpt and replace(told.gpt, guid=told.gpt.guid.upper()),
        partitions=tuple(
            replace(it, type=it.type.upper(), partuuid=it.partuuid.upper())
            for it in told.partitions
        ),
    )
    return Disk(machine=machine, **{it.name: getattr(capitals, it.name) for it in fields(capitals)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Free:
    """Room for a new partition: whole MiB after the last one, up to the disk's end."""

    first: int
    sectors: int

    @property
    def last(self) -> int:
        return self.first + self.sectors - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedDisk:
    """A disk at the time of its record."""

    machine_id: str
    serial: str
    size_bytes: int
    sector_bytes: int
    guid: str
    partitions: tuple[Partition, ...]
    free: Free


def free_after(disk: Disk, partitions: Iterable[Partition]) -> Free:
    """The room after the last of these partitions, in whole MiB, with the table at the disk's end.

    ``sectors`` is 0 when there is none.
    """
    step = max(1, MIB // disk.sector_bytes)
    entries = disk.gpt.entries_sectors if disk.gpt else -(-_ENTRIES_BYTES // disk.sector_bytes)
    taken = max([step, *(it.last + 1 for it in partitions)])
    first = -(-taken // step) * step
    # The copy of the table takes the entries' sectors and one for its header.
    end = (disk.sectors - 1 - entries) // step * step
    return Free(first=first, sectors=max(0, end - first))


def record_of(disk: Disk) -> RecordedDisk:
    """The record of a disk; ValueError when it has no intact GPT."""
    flaws = tuple(table_flaws(disk))
    if disk.gpt is None or flaws:
        raise ValueError("; ".join(flaws))
    return RecordedDisk(
        machine_id=disk.machine_id,
        serial=disk.serial,
        size_bytes=disk.size_bytes,
        sector_bytes=disk.sector_bytes,
        guid=disk.gpt.guid,
        partitions=disk.partitions,
        free=free_after(disk, disk.partitions),
    )


def table_flaws(disk: Disk) -> Iterator[str]:
    """Reasons why the table must not get another partition."""
    if not disk.whole:
        yield f"{disk.device} is a partition, no disk"
    if disk.read_only:
        yield f"{disk.device} is read-only"
    yield from (f"{disk.device} itself is {claim}" for claim in disk.claims)
    yield from (f"{disk.device} itself is marked as {mark}" for mark in disk.signatures)
    if disk.gpt is None:
        types = set(disk.mbr_types or ()) - {disk_rules.PROTECTIVE}
        kind = "an MBR (DOS) table" if types else "none"
        yield f"{disk.device} has no intact GPT at its begin, but {kind}"
        return
    sound = {
        "sectors": disk.sectors,
        "mbr_types": disk.mbr_types,
        "gpt": asdict(disk.gpt),
        "partitions": [(it.number, it.first, it.last) for it in disk.partitions],
        "kernel": disk.kernel,
    }
    yield from (f"{disk.device}: {flaw}" for flaw in disk_rules.table_flaws(sound, disk.path))


def read_records(path: Path) -> dict[str, RecordedDisk]:
    """The recorded disks by machine; none when there is no file yet. Raises ConfigError."""
    if not path.exists():
        return {}
    return {
        name: RecordedDisk(
            machine_id=disk.machine_id,
            serial=disk.serial,
            size_bytes=disk.size_bytes,
            sector_bytes=disk.sector_bytes,
            guid=disk.guid,
            partitions=tuple(Partition(**it.model_dump()) for it in disk.partitions),
            free=Free(first=disk.free.first, sectors=disk.free.sectors),
        )
        for name, disk in parse(DiskFile, path).disks.items()
    }


def add_records(path: Path, seen: Mapping[str, RecordedDisk]) -> list[str]:
    """Record new disks; returns which. Refused when a recorded disk has changed."""
    known = read_records(path)
    for name, disk in seen.items():
        if name in known and _plain_record(known[name]) != _plain_record(disk):
            raise Refused(
                f"the disk of {name} differs from its record in {path}",
                remedy="find out why; if the change is meant, remove the machine's entry by hand",
            )
    new = sorted(seen.keys() - known.keys())
    if new:
        write_records(path, {**known, **seen})
    return new


def write_records(path: Path, disks: Mapping[str, RecordedDisk]) -> None:
    """Replace the file; a reader sees the old one or the new one."""
    document = {"disks": {name: _plain_record(disk) for name, disk in sorted(disks.items())}}
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(_RECORDS_HEAD + yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    new.replace(path)


def _plain_record(disk: RecordedDisk) -> dict[str, object]:
    document = asdict(disk)
    for partition in document["partitions"]:
        del partition["raw"], partition["holds"]
    return {**document, "partitions": list(document["partitions"])}
