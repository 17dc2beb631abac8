"""Partition tables written by hand: sound ones, and those that no tool would write."""

from __future__ import annotations

import struct
import uuid
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

LINUX_DATA = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
SECTOR = 512
ENTRIES = 128
_ENTRY_BYTES = 128


@dataclass(frozen=True)
class Entry:
    """One partition; sectors are inclusive."""

    first: int
    last: int
    type: str = LINUX_DATA
    partuuid: str = field(default_factory=lambda: str(uuid.uuid4()).upper())
    label: str = ""


def write(path: Path, entries: Mapping[int, Entry], *, guid: str, sectors: int) -> None:
    """Write a GPT whose copy is in the last of ``sectors``, and its protective MBR."""
    table = bytearray(ENTRIES * _ENTRY_BYTES)
    for number, it in entries.items():
        raw = struct.pack("<16s16sQQQ", _raw(it.type), _raw(it.partuuid), it.first, it.last, 0)
        raw += it.label.encode("utf-16-le")
        start = (number - 1) * _ENTRY_BYTES
        table[start : start + len(raw)] = raw
    copy_at = sectors - 1 - len(table) // SECTOR
    protective = struct.pack("<4B4BII", 0, 0, 2, 0, 0xEE, 255, 255, 255, 1, sectors - 1)
    with path.open("r+b") as disk:
        disk.seek(446)
        disk.write(protective.ljust(64, b"\0") + b"\x55\xaa")
        disk.write(_header(guid, 1, sectors - 1, 2, bytes(table), sectors))
        disk.seek(2 * SECTOR)
        disk.write(table)
        disk.seek(copy_at * SECTOR)
        disk.write(table)
        disk.write(_header(guid, sectors - 1, 1, copy_at, bytes(table), sectors))


def _header(guid: str, here: int, other: int, table_at: int, table: bytes, sectors: int) -> bytes:
    reserved = 2 + len(table) // SECTOR
    fields = (here, other, reserved, sectors - reserved, _raw(guid), table_at, ENTRIES)
    tail = struct.pack("<QQQQ16sQII", *fields, _ENTRY_BYTES) + struct.pack("<I", zlib.crc32(table))
    head = struct.pack("<8sII", b"EFI PART", 0x10000, 92)
    checksum = zlib.crc32(head + bytes(8) + tail)
    return (head + struct.pack("<II", checksum, 0) + tail).ljust(SECTOR, b"\0")


def _raw(guid: str) -> bytes:
    return uuid.UUID(guid).bytes_le
