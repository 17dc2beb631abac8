"""Settings for ``provision``: the node's needs, and the partition for Ceph.

The needs are packages and rules (``scenarios/provision/nodes.yaml``). A record of each machine's
disk belongs to the partition.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from harness.core.declared import OsdDisk, RecordedPartition
from harness.settings.field_types import Name, ProfilePath
from harness.settings.files import SCENARIOS, Frozen, parse


class NewPartition(Frozen):
    """The partition that ``provision disk`` makes on each machine, after the disk's last one.

    ``record`` is the file that says which disk each machine has, and what is on it.
    """

    # The disk: the same path on every machine.
    device: str = Field(pattern=r"^/dev/[a-z0-9/_-]+$")
    # The partition's number in the disk's table.
    number: int = Field(ge=1, le=128)
    # The smallest size that it may have.
    at_least_gib: float = Field(gt=0)
    # The largest size that it may have.
    at_most_gib: float = Field(gt=0)
    # True if the table's copy may be moved to the end of a disk that was enlarged.
    grow_table: bool = False
    record: ProfilePath

    @model_validator(mode="after")
    def _some_size_fits(self) -> NewPartition:
        if self.at_least_gib > self.at_most_gib:
            raise ValueError("at_least_gib is more than at_most_gib")
        return self


class Disks(NewPartition):
    """The partition on each machine that Ceph gets, and the file with its measurements.

    ``osds`` says which OSD belongs on which machine. While ``state`` is ``raw``, nothing may use
    the partition; afterwards (``osd``) only that OSD may. ``allow_writes`` lets ``bench osd`` write
    over all of it.
    """

    state: Literal["raw", "osd"]
    osds: Mapping[Name, int]
    # The file with the measurements that later ones are compared with.
    baseline: ProfilePath
    allow_writes: bool = False


class PartitionRecord(Frozen):
    """One entry of the partition table; sectors are inclusive."""

    number: int
    first: int
    last: int
    type: str
    partuuid: str


class FreeRecord(Frozen):
    """The free space after the last partition."""

    first: int
    sectors: int


class DiskRecord(Frozen):
    """One machine's disk."""

    machine_id: str
    serial: str
    size_bytes: int
    sector_bytes: int
    guid: str
    partitions: tuple[PartitionRecord, ...]
    free: FreeRecord


class DiskFile(Frozen):
    """The disks by machine, as ``./cutover provision disk --record`` writes them."""

    disks: Mapping[str, DiskRecord]


def recorded_disks(
    path: Path, *, device: str, number: int, osds: Mapping[str, int], raw: bool
) -> dict[str, OsdDisk]:
    """Each machine's partition for an OSD, in use or planned; ConfigError for a wrong file.

    A machine that is not in the file has a disk without partitions: nothing was recorded.
    """
    known = parse(DiskFile, path).disks if path.exists() else {}
    partition = f"{device}{'p' if device[-1].isdigit() else ''}{number}"
    found = {}
    for machine, osd in osds.items():
        disk = known.get(machine)
        found[machine] = OsdDisk(
            path=partition,
            number=number,
            osd=osd,
            raw=raw,
            machine_id=disk.machine_id if disk else "",
            serial=disk.serial if disk else "",
            disk_bytes=disk.size_bytes if disk else 0,
            partitions=tuple(
                RecordedPartition(
                    number=it.number,
                    start_bytes=it.first * disk.sector_bytes,
                    size_bytes=(it.last - it.first + 1) * disk.sector_bytes,
                    type=it.type.lower(),
                    partuuid=it.partuuid.lower(),
                )
                for it in disk.partitions
            )
            if disk
            else (),
        )
    return found


Package = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.+-]+$")]
# One command by its full path; a comma or a backslash would begin another in sudoers.
SudoCommand = Annotated[str, Field(pattern=r"^/[^\n,\\:=!]+$")]


class NodeNeeds(Frozen):
    """The needed packages, each with its purpose; the harness's user; its commands as root."""

    schema_version: Literal[1] = Field(alias="schema")
    packages: Mapping[Package, str]
    user: str = Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")
    sudo: tuple[SudoCommand, ...] = Field(min_length=1)


def load_needs() -> NodeNeeds:
    """The content of the file; raises ConfigError."""
    return parse(NodeNeeds, SCENARIOS / "provision/nodes.yaml")
