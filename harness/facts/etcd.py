"""etcd: what its members report about themselves, how fast they write, and its snapshots.

The members' lists, states and alarms come from etcd's JSON gateway, which gives 64-bit integers as
texts and leaves out zero, false and empty values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, TypeAlias

from pydantic import Field, Tag

from harness.facts.host import HOST
from harness.facts.schema import Entry, Fact, Item, OrUnknown, by_key

# Upper bounds in the metric's unit with the number of samples at or below each, ascending; the
# bound None stands for +Inf, which JSON has not.
Buckets: TypeAlias = Sequence[tuple[float | None, int]]

# RKE2 ends each name with the second in which it took the snapshot; it may compress it.
_TAKEN = re.compile(r"-\d{9,}(\.zip|\.db)?$")

LISTENS = Entry(HOST, "etcd listens", bool)


@dataclass(frozen=True, slots=True)
class Member:
    peer_urls: Annotated[tuple[str, ...], Field(validation_alias="peerURLs")] = ()
    is_learner: Annotated[bool, Field(validation_alias="isLearner")] = False


@dataclass(frozen=True, slots=True)
class Members:
    members: tuple[Member, ...] = ()


MEMBERS = Entry(HOST, "etcd members", Members)


NO_LEADER = "0"


@dataclass(frozen=True, slots=True)
class Status:
    """``leader`` is the identity of the member that this one follows."""

    leader: str = NO_LEADER


STATUS = Entry(HOST, "etcd status", Status)


@dataclass(frozen=True, slots=True)
class Alarm:
    alarm: str = "NONE"


@dataclass(frozen=True, slots=True)
class Alarms:
    alarms: tuple[Alarm, ...] = ()


ALARMS = Entry(HOST, "etcd alarms", Alarms)


@dataclass(frozen=True, slots=True)
class Metrics:
    """Sizes of the database, and the histogram of WAL fsyncs since etcd started."""

    db_bytes: float | None
    quota_bytes: float | None
    wal_fsync_s: Buckets = ()


METRICS = Entry(HOST, "etcd metrics", Metrics)


def round_trips(peer: str) -> Entry[tuple[float, ...]]:
    """Seconds of each of many small exchanges with another member."""
    return Entry(HOST, f"etcd round trips to {peer}", tuple[float, ...])


@dataclass(frozen=True, slots=True)
class LogWrites:
    """The WAL fsyncs of one member during a burst of small writes."""

    wal_fsync_s: Buckets


@dataclass(frozen=True, slots=True)
class WriteBurst:
    """A burst of small writes through the API, and each server's member's log writes."""

    writes: int
    took_s: float
    members: Mapping[str, OrUnknown[LogWrites]]


WRITES = Fact("etcd-writes", WriteBurst)


@dataclass(frozen=True, slots=True)
class File:
    """``modified`` is in UTC seconds."""

    name: str
    bytes: int
    modified: float


@dataclass(frozen=True, slots=True)
class SnapshotFile(File):
    """A file in a folder of a server; ``database``: it begins like a database of etcd's."""

    database: bool = True


@dataclass(frozen=True, slots=True)
class Upload(File):
    """What RKE2 records of an upload to S3; ``error`` says why it failed."""

    ready: bool
    error: str | None


@dataclass(frozen=True, slots=True)
class Listing:
    """The files in the two folders of a server: its own snapshots, and copies from others."""

    snapshots: Item[tuple[SnapshotFile, ...]]
    copies: Item[tuple[SnapshotFile, ...]]


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest copy, or the newest snapshot if there is no copy."""

    name: str
    origin: tuple[str, ...]  # servers that hold the snapshot itself
    seen_by: tuple[str, ...]  # servers that see its copy
    restored_on: str


@dataclass(frozen=True, slots=True)
class Restored:
    """The content of a snapshot once restored, and the expected content.

    ``expected_keys`` is None if the tools on that server do not count keys alone; ``uid`` is that
    of the namespace kube-system in it.
    """

    sha256: str
    bytes: int
    expected_revision: int
    expected_keys: int | None
    revision: int
    keys: int
    uid: str | None


@dataclass(frozen=True, slots=True)
class Rejected:
    """A snapshot that etcd rejects, and its message."""

    sha256: str
    bytes: int
    refused: str


Restore: TypeAlias = Annotated[
    Annotated[Restored, Tag("<>")] | Annotated[Rejected, Tag("<refused>")], by_key("refused")
]


@dataclass(frozen=True, slots=True)
class Snapshots:
    """``s3`` is None if the profile declares none; ``newest`` and what follows, without a snapshot.

    ``original`` is the SHA-256 of the newest snapshot where it was taken. ``cluster_uid`` is the
    UID of the cluster's namespace kube-system, None if the cluster did not say.
    """

    listed: Mapping[str, OrUnknown[Listing]]  # by server
    newest: Newest | None
    original: Item[str] | None
    restored: Item[Restore] | None
    cluster_uid: str | None
    s3: Item[tuple[Upload, ...]] | None = None


SNAPSHOTS = Fact("etcd-snapshots", Snapshots)


def not_whole(file: File) -> str | None:
    """Why a listed file is no whole snapshot; None for a whole one.

    A file with a snapshot's name counts as a snapshot even if it does not begin like one: the
    restore then shows what is wrong with it.
    """
    if file.name.endswith((".part", ".tmp")):
        return "is not finished"
    if not file.bytes:
        return "is empty"
    if isinstance(file, SnapshotFile) and not file.database and not _TAKEN.search(file.name):
        return "is no snapshot"
    return None
