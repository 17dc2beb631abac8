"""The file with each machine's recorded disk: written once, then compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import yaml

from harness.core.errors import Refused
from harness.provision.disk import Free, Partition, RecordedDisk
from harness.settings import parse
from harness.settings.provision import DiskFile

_HEAD = """\
# Which disk each machine has, as `./cutover provision disk --record` saw it. Sectors are inclusive.
# Read it before you give --yes; a disk that differs from it is refused.
"""


def read(path: Path) -> dict[str, RecordedDisk]:
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


def add(path: Path, seen: Mapping[str, RecordedDisk]) -> list[str]:
    """Record new disks; returns which. Refused when a recorded disk has changed."""
    known = read(path)
    for name, disk in seen.items():
        if name in known and _plain(known[name]) != _plain(disk):
            raise Refused(
                f"the disk of {name} differs from its record in {path}",
                remedy="find out why; if the change is meant, remove the machine's entry by hand",
            )
    new = sorted(seen.keys() - known.keys())
    if new:
        write(path, {**known, **seen})
    return new


def write(path: Path, disks: Mapping[str, RecordedDisk]) -> None:
    """Replace the file; a reader sees the old one or the new one."""
    document = {"disks": {name: _plain(disk) for name, disk in sorted(disks.items())}}
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(_HEAD + yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    new.replace(path)


def _plain(disk: RecordedDisk) -> dict[str, object]:
    document = asdict(disk)
    for partition in document["partitions"]:
        del partition["raw"], partition["holds"]
    return {**document, "partitions": list(document["partitions"])}
