"""Ceph's own report, asked once: ``harness.probes.scripts.ceph_script`` reads it, item by item."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, TypeAlias

from pydantic import Field, Tag

from harness.facts.schema import Fact, Item, Items, Part, Unknown, by_key


@dataclass(frozen=True, slots=True)
class CephReport:
    """The answers in the first place that got any. A place is a machine, or Rook's toolbox."""

    through: str | None  # the place that got an answer; None when no place did
    items: Items
    silent: Mapping[str, str]  # place → its report, where no monitor answered in time
    lost: Mapping[str, str]  # place → why Ceph could not be asked from there


CEPH = Fact("ceph", CephReport)


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """``severity`` is HEALTH_OK (a note), HEALTH_WARN or HEALTH_ERR."""

    severity: str
    says: str
    detail: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Health:
    """``checks`` by their code; ``muted`` are the codes that an operator muted."""

    status: str
    checks: Mapping[str, HealthCheck]
    muted: tuple[str, ...]


HEALTH = Part("health", Health)


@dataclass(frozen=True, slots=True)
class Quorum:
    """The names of all monitors, of those in quorum, and the addresses of each (``at``)."""

    monitors: tuple[str, ...]
    members: Annotated[tuple[str, ...], Field(validation_alias="in")]
    at: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


QUORUM = Part("quorum", Quorum)


@dataclass(frozen=True, slots=True)
class Clock:
    """A monitor's clock: ``skew_s`` ahead of the first monitor's, signed."""

    skew_s: float
    health: str


CLOCKS = Part("clocks", dict[str, Clock])  # by monitor; one not yet compared is absent


@dataclass(frozen=True, slots=True)
class Pool:
    """``size`` and ``min_size`` are numbers of copies; ``type`` 1 keeps whole copies."""

    id: int
    name: str
    size: int
    min_size: int
    type: int
    crush_rule: int


@dataclass(frozen=True, slots=True)
class OsdMap:
    """A flag of one OSD, machine or device class is ``place: flag``."""

    flags: tuple[str, ...]
    nearfull_ratio: float
    pools: tuple[Pool, ...]


OSD_MAP = Part("osd map", OsdMap)


@dataclass(frozen=True, slots=True)
class OsdAnswer:
    """Whether an OSD answered a direct question; ``says`` is the error instead."""

    answers: bool
    says: str


OSD_ANSWERS = Part("osd answers", dict[int, Item[OsdAnswer]])  # OSDs that the map calls up


@dataclass(frozen=True, slots=True)
class Osd:
    id: int
    up: bool
    is_in: Annotated[bool, Field(validation_alias="in")]


@dataclass(frozen=True, slots=True)
class OsdTree:
    """The OSDs of each host of CRUSH; ``stray`` are those of no host."""

    hosts: Mapping[str, tuple[Osd, ...]]
    stray: tuple[int, ...]


OSD_TREE = Part("osd tree", OsdTree)


@dataclass(frozen=True, slots=True)
class CrushStep:
    """A step of a CRUSH rule; ``num`` and ``type`` exist if ``op`` has them."""

    op: str
    num: int | None = None
    type: str | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    name: str
    steps: tuple[CrushStep, ...]


@dataclass(frozen=True, slots=True)
class Crush:
    """The rules by their number, and the height of each type of bucket: an OSD's is 0."""

    types: Mapping[str, int]
    rules: Mapping[int, Rule]


CRUSH = Part("crush", Crush)


@dataclass(frozen=True, slots=True)
class OsdUse:
    """An OSD's size, its used bytes, and its share of new data."""

    bytes: float
    used_bytes: float
    weight: float


OSD_USE = Part("osd use", dict[int, OsdUse])


@dataclass(frozen=True, slots=True)
class Room:
    """What a pool stores, and what more fits into it; copies are not counted."""

    stored_bytes: float
    more_bytes: float


ROOM = Part("room", dict[str, Room])  # by pool


# States that a healthy placement group may have beside "active" and "clean": a busy Ceph scrubs
# some of them at almost any time. With osd_scrub_auto_repair every deep scrub is called a repair;
# a damaged group is called inconsistent as well.
_FINE = {"active", "clean", "scrubbing", "deep", "repair", "snaptrim", "snaptrim_wait"}


@dataclass(frozen=True, slots=True)
class PlacementGroup:
    """``acting`` are the OSDs of its copies; times are UTC seconds."""

    id: str
    state: str
    acting: tuple[int, ...]
    scrubbed: float
    deep_scrubbed: float

    @property
    def is_clean(self) -> bool:
        """True if it is active and has every copy, whole."""
        words = set(self.state.split("+"))
        return words >= {"active", "clean"} and words <= _FINE


PLACEMENT_GROUPS = Part("placement groups", tuple[PlacementGroup, ...])


@dataclass(frozen=True, slots=True)
class Crash:
    """A crash of a daemon that no operator has archived; ``at`` is a text of Ceph's."""

    id: str
    entity: str
    at: str


CRASHES = Part("crashes", tuple[Crash, ...])
VERSIONS = Part("versions", dict[str, dict[str, int]])  # kind → version → number of daemons


# --- what the script answers from one place ---


@dataclass(frozen=True, slots=True)
class Answers:
    """A monitor answered there."""

    items: Items


@dataclass(frozen=True, slots=True)
class Silence:
    """No monitor answered in time; ``monitor`` is the report of the place's own monitor."""

    silent: str
    monitor: str


# An error: Ceph could not be asked there.
Said: TypeAlias = Annotated[
    Annotated[Answers, Tag("<items>")]
    | Annotated[Silence, Tag("<silent>")]
    | Annotated[Unknown, Tag("<error>")],
    by_key("items", "silent", "error"),
]


@dataclass(frozen=True, slots=True)
class StampedGroup:
    """A placement group with its times as Ceph writes them."""

    id: str
    state: str
    acting: tuple[int, ...]
    scrubbed: str
    deep_scrubbed: str


STAMPED_GROUPS = Part(PLACEMENT_GROUPS.name, tuple[StampedGroup, ...])
