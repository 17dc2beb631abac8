"""W3-DISK: each disk is the recorded one, only Ceph uses it, and no other partition changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from typing import TypeVar

from harness.checks.findings import Finding, Seen, conclude, looks, unknown
from harness.core.model import Case, OsdDisk, RecordedPartition, Verdict
from harness.facts import disks as facts
from harness.facts.disks import Osds, Partition, Place, Table, Use
from harness.facts.schema import Item, Unknown

T = TypeVar("T")

_BLUESTORE = "ceph_bluestore"
_MIB = 1 << 20  # BlueStore leaves out what does not fill a block


def _each(
    case: Case,
    kind: type[T],
    judge: Callable[[str, OsdDisk, T, Item[Osds]], Iterable[Finding]],
    proven: str,
) -> Verdict:
    """The findings on each machine where these facts were seen and a disk is recorded."""
    seen = looks(case, facts.OSD_DISKS, case.cluster.osd_disks)
    findings: list[Finding] = []
    gaps = list(seen.unseen)
    if not case.cluster.osd_disks:
        gaps.append(unknown(case.cluster.name, "the profile does not say which disks are Ceph's"))
    for machine, value in seen.values.items():
        disk, view = case.cluster.osd_disks[machine], value.view(kind)
        if not disk.partitions:
            gaps.append(unknown(machine, "it is not recorded which disk it has"))
        elif isinstance(view, Unknown):
            gaps.append(unknown(machine, view.error))
        else:
            findings += judge(machine, disk, view, value.ceph)
    return conclude(findings, Seen(seen.values, tuple(gaps)), proven=proven)


def recorded(case: Case) -> Verdict:
    """Compares the machine, its disk, and Ceph's partition: place, size and PARTUUID."""
    words = "on every machine, the disk and its partition for Ceph are the recorded ones"
    return _each(case, Place, _recorded, words)


def _recorded(machine: str, disk: OsdDisk, seen: Place, _: Item[Osds]) -> Iterable[Finding]:
    mine = next((it for it in disk.partitions if it.number == disk.number), None)
    if mine is None:
        yield unknown(machine, f"partition {disk.number} was not recorded")
        return
    there = next((it for it in seen.table if it.number == disk.number), None)
    pairs: dict[str, tuple[object, object]] = {
        "hostname": (machine, seen.machine.hostname),
        "machine-id": (disk.machine_id, seen.machine.machine_id),
        "serial number": (disk.serial, seen.kernel.serial),
        "size of the disk": (disk.disk_bytes, seen.kernel.disk_bytes),
        "partition": (disk.number, seen.partition),
        "PARTUUID": (mine.partuuid, there and there.partuuid),
        "type": (mine.type, there and there.type),
        "size": (mine.size_bytes, seen.kernel.size_bytes),
        "size in the table": (mine.size_bytes, there and there.size_bytes),
        "offset": (mine.start_bytes, seen.kernel.start_bytes),
        "offset in the table": (mine.start_bytes, there and there.start_bytes),
    }
    for what, (wanted, found) in pairs.items():
        if wanted != found:
            yield Finding(machine, f"{disk.path}: expected {what} {wanted!r}, seen {found!r}")


def untouched(case: Case) -> Verdict:
    """Compares every other partition of the disk, including the system's and the boot ones."""
    words = "on every machine, every other partition is as it was recorded"
    return _each(case, Table, _untouched, words)


def _untouched(machine: str, disk: OsdDisk, seen: Table, _: Item[Osds]) -> Iterable[Finding]:
    wanted = {it.number: _plain(it) for it in disk.partitions if it.number != disk.number}
    found = {it.number: it for it in seen.table if it.number != disk.number}
    if not wanted:
        yield unknown(machine, "no other partition was recorded")
    for number in sorted(wanted.keys() | found.keys()):
        if number not in found:
            yield Finding(machine, f"expected partition {number} as recorded, seen none")
        elif number not in wanted:
            yield Finding(machine, f"expected no partition {number}, seen one")
        else:
            is_now = asdict(found[number])
            for what, was in asdict(wanted[number]).items():
                if is_now[what] != was:
                    text = f"partition {number}: expected {what} {was!r}, seen"
                    yield Finding(machine, f"{text} {is_now[what]!r}")


def _plain(it: RecordedPartition) -> Partition:
    return Partition(
        number=it.number,
        start_bytes=it.start_bytes,
        size_bytes=it.size_bytes,
        type=it.type,
        partuuid=it.partuuid,
    )


def used_as_declared(case: Case) -> Verdict:
    """A partition that is declared raw has no user; otherwise its one OSD is the only user."""
    return _each(case, Use, _used, "on every machine, the partition is used as declared")


def _used(machine: str, disk: OsdDisk, seen: Use, ceph: Item[Osds]) -> Iterable[Finding]:
    users = {
        "mounts": seen.mounts,
        "swaps": seen.swaps,
        "holders": seen.holders,
        "loops": seen.loops,
    }
    for what, found in users.items():
        if found:
            text = f"{disk.path}: expected no {what}, seen {', '.join(found)}"
            yield Finding(machine, text)
    foreign = [it for it in seen.signatures if disk.raw or not it.startswith(_BLUESTORE)]
    if seen.nested:
        foreign.append("a GPT on the partition itself")
    if foreign:
        whose = "no signature" if disk.raw else "no signature but Ceph's"
        yield Finding(machine, f"{disk.path}: expected {whose}, seen {', '.join(foreign)}")
    if isinstance(ceph, Unknown):
        yield unknown(machine, f"Ceph was not asked whose it is: {ceph.error}")
    elif disk.raw:
        yield from _unclaimed(machine, disk, seen)
    else:
        yield from _owned(machine, disk, seen, ceph.value)


def _unclaimed(machine: str, disk: OsdDisk, seen: Use) -> Iterator[Finding]:
    for where, labels in (("partition", seen.labels.partition), ("disk", seen.labels.disk)):
        for gib in labels:
            text = f"{disk.path}: expected no label of BlueStore, seen one at {gib} GiB of the"
            yield Finding(machine, f"{text} {where}")
    if seen.osds is None:
        yield unknown(machine, "an OSD of Ceph does not tell its device")
    elif seen.osds:
        yield Finding(machine, f"{disk.path}: expected no OSD, seen one on {seen.osds[0]}")


def _owned(machine: str, disk: OsdDisk, seen: Use, ceph: Osds) -> Iterator[Finding]:
    label, osd = seen.owner, ceph.osds.get(disk.osd)
    if label is None:
        yield Finding(machine, f"{disk.path}: expected the label of osd.{disk.osd}, seen none")
        return
    if osd is None:
        yield Finding(machine, f"expected osd.{disk.osd} to be known to Ceph, seen no such OSD")
        return
    pairs = {
        f"the label of osd.{disk.osd}": (str(disk.osd), label.whoami),
        f"the uuid of osd.{disk.osd}": (osd.uuid, label.osd_uuid),
        "this Ceph's fsid": (ceph.fsid, label.ceph_fsid),
        f"osd.{disk.osd} on {machine}": (machine, osd.machine),
    }
    for what, (wanted, found) in pairs.items():
        if wanted != found:
            yield Finding(machine, f"{disk.path}: expected {what} ({wanted}), seen {found}")
    if seen.kernel is None:
        yield unknown(machine, "its size was not seen")
    elif not 0 <= seen.kernel.size_bytes - osd.bytes < _MIB:
        large = f"as large as it ({seen.kernel.size_bytes} bytes)"
        text = f"{disk.path}: expected osd.{disk.osd} to be {large}, seen"
        yield Finding(machine, f"{text} {osd.bytes}")


CHECKS = {
    "every disk for Ceph is the recorded one": recorded,
    "no other partition has changed": untouched,
    "each disk is used by its OSD alone": used_as_declared,
}
