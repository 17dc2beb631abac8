"""The round trip of a customer's backup: what it held, what came back, and how long that took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from harness.facts.databases import Database
from harness.facts.schema import Fact, Item, OrUnknown


class Step(StrEnum):
    """The steps of a round trip, in their order."""

    MAKE = "making the backup"
    INSPECT = "inspecting the backup"
    RESTORE = "restoring it elsewhere"
    ANSWER = "waiting for the first right answer"
    DATABASE = "comparing the database"
    FILES = "comparing the files"
    CHALLENGE = "damaging what is read of the backup"


FileDifference = Literal["changed", "removed", "added", "unread"]


@dataclass(frozen=True, slots=True)
class Backup:
    """What an inspection found in a backup; each fault is a kind and its words.

    ``attachments`` are the files that its rows name, ``files`` those of its filestore; ``lacking``
    are those that the customer itself lacks. ``created`` is what it says of itself, in UTC seconds.
    """

    name: str
    faults: tuple[tuple[str, str], ...]
    bytes: int
    created: float | None
    tables: int
    rows: int
    attachments: int
    entries: int
    unpacked_bytes: int
    files: int
    lacking: int = 0


@dataclass(frozen=True, slots=True)
class Files:
    """The restored filestore beside the source's.

    ``counts`` are the paths that differ, by kind, and ``first`` the first of them, each with what
    differs. ``passed`` differ only in what may differ, or came or went with a declared
    row. ``newer`` were written at the source after the backup was asked for.
    """

    files: int
    bytes: int
    counts: Mapping[FileDifference, int]
    first: tuple[tuple[str, str], ...]
    passed: int
    newer: int


@dataclass(frozen=True, slots=True)
class Attachments:
    """Rows that name a file, on both sides: of them without it, and files that no row names.

    ``lacking`` rows have no file because the source has none either; they are not among those
    ``without_file``.
    """

    rows: int
    without_file: int
    first: tuple[str, ...]
    source_without_file: int
    without_row: int
    source_without_row: int
    lacking: int = 0


@dataclass(frozen=True, slots=True)
class Stopped:
    """The step at which a round trip ended early, and why.

    ``at_fault``: the platform or its backup misbehaved; otherwise it could not be judged.
    """

    step: Step
    says: str
    at_fault: bool


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """One customer's backup, restored under another name. All durations are in seconds.

    ``asked``: the platform was asked for the backup; otherwise the newest was taken. ``noticed``:
    whether the inspection notices each defect that its reading is given. ``written``: rows that the
    source wrote since the backup was asked for, by table. ``rto_s``: from the start of the restore
    to the first right answer; ``rpo_s``: from the newest restored heartbeat to the moment at which
    the backup was there. ``left``: what could not be removed. What was not reached is None.
    """

    customer: str
    database: str
    restored: str
    asked: bool
    took_s: Mapping[str, float]
    backup: Backup | None
    noticed: Mapping[str, bool]
    answer: str | None
    rto_s: float | None
    rpo_s: Item[float] | None
    written: Mapping[str, int]
    compared: OrUnknown[Database] | None
    files: OrUnknown[Files] | None
    attachments: OrUnknown[Attachments] | None
    stopped: Stopped | None
    left: tuple[str, ...]


RESTORE = Fact("restore", RoundTrip)
