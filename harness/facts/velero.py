"""Velero: its schedules, their backups, the volumes in these, and where they are kept.

Times are UTC seconds; a claim is "namespace/name".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.facts.schema import Fact, OrUnknown


@dataclass(frozen=True, slots=True)
class Schedule:
    """``location`` is where it keeps its backups; None: where Velero does by default.

    ``last`` is when it last asked for a backup.
    """

    phase: str
    paused: bool
    location: str | None
    errors: tuple[str, ...]
    last: float | None = None


@dataclass(frozen=True, slots=True)
class Volume:
    """A claim's data, as Velero moved it to the backup's location.

    ``snapshot`` is the copy's identifier there, without which nothing was copied; ``bytes`` is 0 if
    Velero does not say how many.
    """

    claim: str
    phase: str
    snapshot: str
    bytes: int
    message: str


@dataclass(frozen=True, slots=True)
class Backup:
    """A schedule's backup. ``reason`` is why it failed; ``snapshots`` stay in the cluster.

    ``moves_snapshots``: its snapshots are copied out of the cluster by a data mover. ``made`` is
    when its object was made in this cluster.
    """

    schedule: str
    phase: str
    started: float
    ended: float | None
    expires: float | None
    errors: int
    reason: str
    snapshots: int
    volumes: tuple[Volume, ...]
    moves_snapshots: bool = False
    made: float = 0.0

    @property
    def last(self) -> float:
        """When it ended, or began if Velero did not say when it ended."""
        return self.started if self.ended is None else self.ended

    @property
    def was_found(self) -> bool:
        """True if Velero found it in the bucket: its object is younger than its end."""
        return self.ended is not None and self.made > self.ended


@dataclass(frozen=True, slots=True)
class Location:
    """``looked`` is when Velero last looked whether it can reach it."""

    phase: str
    is_default: bool
    message: str
    looked: float | None = None


@dataclass(frozen=True, slots=True)
class Velero:
    """``claims``: when each claim of the cluster was made. ``odd``: what was not understood.

    ``has_uploads``: its API has DataUpload, by which version 1.12 and later copy snapshots.
    """

    schedules: Mapping[str, OrUnknown[Schedule]]
    backups: Mapping[str, Backup]
    locations: Mapping[str, OrUnknown[Location]]
    claims: Mapping[str, float]
    odd: Mapping[str, str]
    has_uploads: bool = True


VELERO = Fact("velero", Velero)
