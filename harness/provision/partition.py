"""Plans one partition in the free space after the last one, or refuses.

Decides from the seen, the recorded and the declared disk. Pure, because every harmful decision is
made here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from harness.facts.hostnames import is_hostname_of
from harness.provision.disk import GIB, Disk, Free, Partition, RecordedDisk, free_after, table_flaws
from harness.settings import NewPartition

LINUX_DATA = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The one change: a partition in the free space; with ``grow``, the table is grown first."""

    device: str
    digest: str
    number: int
    first: int
    last: int
    type: str
    partuuid: str
    grow: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The partition exists as declared; ``known``: it is in the record, too."""

    partition: Partition
    known: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """All reasons why nothing may be done, with their arithmetic."""

    reasons: tuple[str, ...]


Planned: TypeAlias = "Plan | Done | Refusal"


def plan(
    disk: Disk, recorded: RecordedDisk | None, wanted: NewPartition, *, partuuid: str
) -> Planned:
    """The action for this disk, or a refusal; ``partuuid`` is the new partition's."""
    if recorded is None:
        return Refusal(reasons=(f"no record says which disk {disk.machine} must have",))
    reasons = [*_wrong_disk(disk, recorded), *table_flaws(disk)]
    known = any(it.number == wanted.number for it in recorded.partitions)
    others = [it for it in disk.partitions if known or it.number != wanted.number]
    reasons += _partitions_differ(disk, others, recorded.partitions)
    if reasons:
        return Refusal(reasons=tuple(reasons))
    assert disk.gpt is not None
    there = disk.partition(wanted.number)
    if known and there is not None:
        reasons = [*_wrong_size(disk, there.sectors, wanted)]
        return Refusal(reasons=tuple(reasons)) if reasons else Done(partition=there, known=True)
    free = free_after(disk, others)
    reasons = [*_wrong_place(disk, free, recorded.free), *_wrong_size(disk, free.sectors, wanted)]
    if there is not None:
        reasons += _not_ours(disk, there, free)
        return Refusal(reasons=tuple(reasons)) if reasons else Done(partition=there, known=False)
    grow = disk.gpt.alternate != disk.sectors - 1
    reasons += _not_free(disk, wanted, grow=grow)
    if reasons:
        return Refusal(reasons=tuple(reasons))
    return Plan(
        device=disk.device,
        digest=disk.digest,
        number=wanted.number,
        first=free.first,
        last=free.last,
        type=LINUX_DATA,
        partuuid=partuuid,
        grow=grow,
    )


def _wrong_disk(disk: Disk, recorded: RecordedDisk) -> Iterator[str]:
    if not is_hostname_of(disk.hostname, disk.machine):
        yield f"{disk.machine} calls itself {disk.hostname}: this is another machine"
    pairs = {
        "the machine's id": (recorded.machine_id, disk.machine_id),
        "serial number": (recorded.serial, disk.serial),
        "size in bytes": (recorded.size_bytes, disk.size_bytes),
        "sector size": (recorded.sector_bytes, disk.sector_bytes),
        "disk GUID": (recorded.guid, disk.gpt.guid if disk.gpt else recorded.guid),
    }
    for what, (then, now) in pairs.items():
        if then != now:
            yield f"{disk.device}: {what} is {now or 'none'}, recorded is {then or 'none'}"


def _partitions_differ(
    disk: Disk, seen: Sequence[Partition], recorded: Sequence[Partition]
) -> Iterator[str]:
    now, then = ({it.number: it for it in parts} for parts in (seen, recorded))
    for number in sorted(then.keys() - now.keys()):
        yield f"{disk.path(number)} was recorded and is gone"
    for number in sorted(now.keys() - then.keys()):
        yield f"{disk.path(number)} was not recorded"
    for number in sorted(now.keys() & then.keys()):
        for what in ("first", "last", "type", "partuuid"):
            is_now, was = getattr(now[number], what), getattr(then[number], what)
            if is_now != was:
                what = f"{what} sector" if what in ("first", "last") else what.upper()
                yield f"{disk.path(number)}: {what} is {is_now}, recorded is {was}"


def _wrong_size(disk: Disk, sectors: int, wanted: NewPartition) -> Iterator[str]:
    size_gib = sectors * disk.sector_bytes / GIB
    if not wanted.at_least_gib <= size_gib <= wanted.at_most_gib:
        yield (
            f"{disk.path(wanted.number)} would be {sectors} sectors × {disk.sector_bytes} bytes"
            f" = {size_gib:.2f} GiB;"
            f" declared are {wanted.at_least_gib:g} to {wanted.at_most_gib:g} GiB"
        )


def _wrong_place(disk: Disk, free: Free, recorded: Free) -> Iterator[str]:
    if free != recorded:
        yield (
            f"{disk.device}: {free.sectors} sectors are free from sector {free.first} on;"
            f" recorded are {recorded.sectors} from {recorded.first} on"
        )


def _not_free(disk: Disk, wanted: NewPartition, *, grow: bool) -> Iterator[str]:
    if disk.free_holds:
        found = ", ".join(disk.free_holds)
        yield f"{disk.device}: expected nothing in the free space, seen {found}: ask its owner"
    if grow and not wanted.grow_table:
        assert disk.gpt is not None
        yield (
            f"{disk.device}: the table's copy is in sector {disk.gpt.alternate}, not the disk's"
            f" last one ({disk.sectors - 1}): it must be moved, and the profile does not allow that"
        )


def _not_ours(disk: Disk, there: Partition, free: Free) -> Iterator[str]:
    """Why an unrecorded partition is not the one that the harness would have made."""
    path = disk.path(there.number)
    if (there.first, there.last) != (free.first, free.last):
        yield (
            f"{path} exists in sectors {there.first}–{there.last} ({there.sectors});"
            f" it would be {free.first}–{free.last} ({free.sectors})"
        )
    if there.type != LINUX_DATA:
        yield f"{path} exists with TYPE {there.type}; it would be {LINUX_DATA}"
    if there.holds:
        yield f"{path} exists and holds {', '.join(there.holds)}, but was not recorded"


def flaws_after(before: Disk, after: Disk, made: Plan) -> tuple[str, ...]:
    """Differences from a plan after its act; empty when there are none."""
    return tuple(_flaws_after(before, after, made))


def _flaws_after(before: Disk, after: Disk, made: Plan) -> Iterator[str]:
    yield from table_flaws(after)
    rest = {it.number: it.raw for it in after.partitions if it.number != made.number}
    if rest != {it.number: it.raw for it in before.partitions}:
        yield f"{after.device}: an entry of the table that was there before is not what it was"
    if before.gpt and after.gpt and before.gpt.guid != after.gpt.guid:
        yield f"{after.device}: the disk's GUID was {before.gpt.guid}, is {after.gpt.guid}"
    if after.first_mib != before.first_mib:
        yield f"{after.device}: the first MiB changed outside the table"
    new = after.partition(made.number)
    if new is None:
        yield f"{after.path(made.number)} is not in the table"
        return
    for what in ("first", "last", "type", "partuuid"):
        if getattr(new, what) != getattr(made, what):
            is_now, wanted = getattr(new, what), getattr(made, what)
            yield f"{after.path(made.number)}: {what} is {is_now}, planned was {wanted}"
