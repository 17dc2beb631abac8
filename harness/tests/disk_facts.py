"""A sound disk as machines tell it, for tests of what may be done to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.provision.disk import Disk, Partition, RecordedDisk, Table, record_of
from harness.provision.partition import LINUX_DATA, Done, Plan, Refusal, plan
from harness.settings import NewPartition
from harness.tests.fake_transport import FakeShell
from harness.transport import Completed

MIB = 1 << 20
GIB = 1 << 30
NEW = "11111111-2222-3333-4444-555555555555"
WANTED = NewPartition(
    device="/dev/sda", number=2, at_least_gib=0.001, at_most_gib=1000, record=Path("/nowhere")
)


def a_disk(
    *parts: Partition, size: int = 24 * GIB, sector: int = 512, shorter: int = 0, **changes: Any
) -> Disk:
    """A sound disk; the copy of its table is ``shorter`` sectors before its end."""
    sectors = size // sector
    table = Table(
        guid="GUID",
        alternate=sectors - 1 - shorter,
        first_usable=34,
        last_usable=sectors - 34 - shorter,
        copy_equal=True,
        entries_sectors=-(-128 * 128 // sector),
    )
    usual: dict[str, Any] = {
        "machine": "m1",
        "hostname": "m1",
        "machine_id": "id",
        "device": "/dev/sda",
        "whole": True,
        "read_only": False,
        "serial": "S1",
        "size_bytes": size,
        "sector_bytes": sector,
        "mbr_types": (0xEE,),
        "gpt": table,
        "partitions": parts,
        "kernel": {it.number: (it.first, it.last) for it in parts},
        "claims": (),
        "signatures": (),
        "free_holds": (),
        "boot_code_sha256": "a",
        "first_mib_sha256": "b",
        "digest": "D",
    }
    return Disk(**{**usual, **changes})


def part(number: int, first: int, last: int, **changes: Any) -> Partition:
    usual = {"type": LINUX_DATA, "partuuid": f"U{number}", "raw": f"{number:02x}", "holds": ()}
    return Partition(number=number, first=first, last=last, **{**usual, **changes})


SYSTEM = part(1, 2048, 25167871)
SOUND = a_disk(SYSTEM)


def asked(
    disk: Disk, recorded: RecordedDisk | None = None, **declared: Any
) -> Plan | Done | Refusal:
    wanted = WANTED.model_copy(update=declared)
    return plan(disk, recorded or record_of(SOUND), wanted, partuuid=NEW)


def told_of(disk: Disk) -> dict[str, Any]:
    """A disk as the script tells it."""
    return asdict(disk)


def shell(*answers: Mapping[str, Any] | str) -> FakeShell:
    """A machine whose python3 answers one after the other."""
    left = [it if isinstance(it, str) else json.dumps(it) for it in answers]
    return FakeShell(
        {("m1", "python3"): lambda *_: Completed(status=0, stdout=left.pop(0), stderr="")}
    )


def after_of(disk: Disk) -> Disk:
    made = asked(disk)
    assert isinstance(made, Plan)
    new = part(2, made.first, made.last, partuuid=NEW)
    return a_disk(SYSTEM, new)
