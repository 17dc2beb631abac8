"""The existing storage: how it is mounted, and what has changed in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from harness.facts.schema import Fact, Item, null

# --- on each machine ---


@dataclass(frozen=True, slots=True)
class Mount:
    """The latest mount at the declared path; ``root`` is the mounted folder of the file system."""

    type: str
    source: str
    root: str
    read_only: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """The number of names in the folder, and a file below it that was read, if any."""

    names: int
    read: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Whether a file could be written: ``value``, ``error``, or why it was not tried."""

    folder: str | None = None
    value: bool | None = None
    error: str | None = None
    unasked: str | None = None


@dataclass(frozen=True, slots=True)
class LegacyMount:
    """``mount`` and ``read`` are None when nothing is mounted.

    ``write`` is None without a declared folder for it, if the mount is not the declared one, or if
    its options are read-only.
    """

    mount: Mount | None
    read: Item[Reading] | None
    write: Written | None = field(default_factory=null)


LEGACY_MOUNT = Fact("legacy-mount", LegacyMount)


# --- against the baseline ---

Kind: TypeAlias = Literal["changed", "removed", "added", "unread"]


@dataclass(frozen=True, slots=True)
class Sums:
    """Of a whole manifest."""

    entries: int
    files: int
    bytes: int
    errors: int
    unstable: int


@dataclass(frozen=True, slots=True)
class Baseline:
    """What was recorded before the work began; ``started`` is in UTC seconds.

    ``more_left_out`` are patterns that the profile no longer has.
    """

    path: str
    sha256: str
    root: str
    started: float
    sums: Sums
    more_left_out: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Counts:
    """How many paths differ, by kind."""

    changed: int
    removed: int
    added: int
    unread: int


@dataclass(frozen=True, slots=True)
class Difference:
    path: str
    kind: Kind
    what: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The manifest of ``machine``, compared; ``first`` are the first differences of each kind."""

    baseline: Baseline
    counts: Counts
    first: tuple[Difference, ...]
    sums: Sums
    machine: str


@dataclass(frozen=True, slots=True)
class NoBaseline:
    """There is no baseline to compare with, so no manifest was made."""

    machine: str | None = field(default_factory=null)
    baseline: None = field(default_factory=null)


LEGACY_MANIFEST = Fact("legacy-manifest", Comparison | NoBaseline)
