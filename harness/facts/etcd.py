"""etcd: what each server's member reports about itself, and how fast it writes its log.

The members' lists, states and alarms come from etcd's JSON gateway, which gives 64-bit integers as
texts and leaves out zero, false and empty values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, TypeAlias

from pydantic import Field

from harness.facts.host import HOST
from harness.facts.schema import Entry, Fact, OrUnknown

# Upper bounds in the metric's unit with the number of samples at or below each, ascending; the
# bound None stands for +Inf, which JSON has not.
Buckets: TypeAlias = Sequence[tuple[float | None, int]]

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
