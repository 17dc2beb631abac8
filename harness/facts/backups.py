"""Backups: etcd's snapshots, and the claims that hold backups.

Of the snapshots: where they lie, which one was restored, and what it held. Of the claims: the
shared one with its contents, and any other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, TypeAlias

from pydantic import Tag

from harness.facts.schema import Fact, Item, OrUnknown, by_key

# RKE2 ends each name with the second in which it took the snapshot; it may compress it.
_TAKEN = re.compile(r"-\d{9,}(\.zip|\.db)?$")


@dataclass(frozen=True, slots=True)
class Claim:
    """The declared claim, or one whose name or labels (``why``) say backup.

    ``bytes`` is its size, or its request before it is bound.
    """

    namespace: str | None
    name: str
    modes: tuple[str, ...]
    bytes: int
    phase: str
    why: str


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a folder; ``kind`` is "folder", "file" or "other"."""

    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class Layout:
    """The entries at the top of the claim, and in its active folder; None without that folder."""

    top: tuple[Entry, ...]
    active: tuple[Entry, ...] | None


@dataclass(frozen=True, slots=True)
class BackupClaims:
    """``odd`` are the claims that could not be understood, and why, by "namespace/name".

    ``layout`` is None without the declared claim.
    """

    claims: tuple[Claim, ...]
    odd: Mapping[str, str]
    layout: Item[Layout] | None


BACKUP_CLAIMS = Fact("backup-claims", BackupClaims)


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
