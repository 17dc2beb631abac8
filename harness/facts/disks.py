"""Ceph's partition on each machine: its facts, its owner, and its speed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import TypeVar

from harness.core.errors import Garbled
from harness.facts.schema import Fact, Item, Unknown, null, read

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Machine:
    hostname: str
    machine_id: str


@dataclass(frozen=True, slots=True)
class Kernel:
    """The partition as the kernel has it; ``disk_bytes`` and ``serial`` are of its disk."""

    start_bytes: int
    size_bytes: int
    disk_bytes: int
    serial: str


@dataclass(frozen=True, slots=True)
class Partition:
    """An entry of the disk's GPT."""

    number: int
    start_bytes: int
    size_bytes: int
    type: str
    partuuid: str


@dataclass(frozen=True, slots=True)
class Table:
    """The partitions that the disk's GPT names."""

    table: tuple[Partition, ...]


@dataclass(frozen=True, slots=True)
class Place(Table):
    """Where the partition is; ``partition`` is its number, None for a whole disk."""

    machine: Machine
    kernel: Kernel
    partition: int | None


@dataclass(frozen=True, slots=True)
class Labels:
    """The GiB offsets of BlueStore labels, in the partition and in its whole disk."""

    partition: tuple[int, ...]
    disk: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Owner:
    """The OSD that the label at the partition's start names."""

    osd_uuid: str
    whoami: str | None
    ceph_fsid: str | None


@dataclass(frozen=True, slots=True)
class Use:
    """What uses the partition, or its disk; ``owner`` is None without a label of BlueStore.

    ``osds`` are the machine's OSDs on it; None if an OSD does not tell its device.
    """

    mounts: tuple[str, ...]
    swaps: tuple[str, ...]
    holders: tuple[str, ...]
    loops: tuple[str, ...]
    signatures: tuple[str, ...]
    labels: Labels
    nested: bool
    owner: Owner | None
    osds: tuple[str, ...] | None = None
    kernel: Kernel | None = None


@dataclass(frozen=True, slots=True)
class Osd:
    """Without information, ``machine`` and ``device`` are None and ``bytes`` is 0."""

    uuid: str
    machine: str | None
    device: str | None
    bytes: int


@dataclass(frozen=True, slots=True)
class Osds:
    """Ceph's own id, and its OSDs by number."""

    fsid: str
    osds: Mapping[int, Osd]


@dataclass(frozen=True, slots=True)
class OsdDisk:
    """``seen`` is the report of ``bench.scripts.facts_script``, without the facts that it missed.

    A caller reads them as the view that it needs: ``Table``, ``Place`` or ``Use``.
    """

    seen: Mapping[str, object]
    ceph: Item[Osds]

    def view(self, kind: type[T]) -> T | Unknown:
        """These facts; Unknown with the reason if one of them was not seen."""
        needed = [it.name for it in fields(kind) if it.default is MISSING]  # type: ignore[arg-type]
        missing = [name for name in needed if name not in self.seen]
        if not missing:
            return _read(kind, self.seen)
        why = _read(dict[str, str], self.seen.get("unseen", {}))
        if isinstance(why, Unknown):
            return why
        told = (f"{it}: {why.get(it, why.get('kind', 'not seen'))}" for it in missing)
        return Unknown(", ".join(told))


def _read(kind: type[T], value: object) -> T | Unknown:
    try:
        return read(kind, value)
    except Garbled as error:
        return Unknown(str(error))


OSD_DISKS = Fact("osd-disks", OsdDisk)


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast a disk commits 4 KiB writes, and how fast it was.

    ``ended``: the bench completed; otherwise the disk is slower than ``iops``. ``p99_ms`` is the
    latency of a sync, None if Ceph measured. ``noise_percent`` is how far below the baseline a run
    may be by chance. Both are None without a baseline.
    """

    iops: float
    ended: bool
    p99_ms: float | None
    age_days: float
    baseline_iops: float | None = field(default_factory=null)
    noise_percent: float | None = field(default_factory=null)


DISK_BENCH = Fact("disk-bench", Speed)
