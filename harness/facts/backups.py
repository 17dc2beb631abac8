"""Claims that hold backups: the shared one with its contents, and any other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.facts.schema import Fact, Item


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
