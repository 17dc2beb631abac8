"""W3-DISK: the disk is the recorded one, nothing else on it has changed, and only Ceph uses it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from harness.checks.findings import Finding, Seen, conclude, looks, unknown, untyped
from harness.model import Case, OsdDisk, RecordedPartition, Verdict

_PROBE = "osd-disks"
_BLUESTORE = "ceph_bluestore"
_MIB = 1 << 20  # BlueStore leaves out what does not fill a block
Judge: TypeAlias = Callable[[str, OsdDisk, Mapping[str, Any]], Iterable[Finding]]


def _each(case: Case, judge: Judge, needs: tuple[str, ...], proven: str) -> Verdict:
    """What the judge finds on each machine where its facts were seen and a disk is recorded."""
    seen = looks(case, untyped(_PROBE), case.cluster.osd_disks)
    findings: list[Finding] = []
    gaps = list(seen.unseen)
    if not case.cluster.osd_disks:
        gaps.append(unknown(case.cluster.name, "the profile does not say which disks are Ceph's"))
    for machine, value in seen.values.items():
        disk, told = case.cluster.osd_disks[machine], value["seen"]
        missing = [it for it in needs if it not in told]
        if not disk.partitions:
            gaps.append(unknown(machine, "nobody recorded which disk it has"))
        elif missing:
            why = told.get("unseen", {})
            words = ", ".join(f"{it}: {why.get(it, why.get('kind', 'not seen'))}" for it in missing)
            gaps.append(unknown(machine, words))
        else:
            findings += judge(machine, disk, value)
    return conclude(findings, Seen(seen.values, tuple(gaps)), proven=proven)


def recorded(case: Case) -> Verdict:
    """The machine, its disk, and the partition for Ceph: place, size and PARTUUID."""
    words = "on every machine, the disk and its partition for Ceph are the recorded ones"
    return _each(case, _recorded, ("machine", "kernel", "table", "partition"), words)


def _recorded(machine: str, disk: OsdDisk, value: Mapping[str, Any]) -> Iterable[Finding]:
    seen = value["seen"]
    mine = next((it for it in disk.partitions if it.number == disk.number), None)
    if mine is None:
        yield unknown(machine, f"partition {disk.number} was not recorded")
        return
    there: Mapping[str, Any] = next((it for it in seen["table"] if it["number"] == disk.number), {})
    pairs = {
        "hostname": (machine, seen["machine"]["hostname"]),
        "machine-id": (disk.machine_id, seen["machine"]["machine_id"]),
        "serial number": (disk.serial, seen["kernel"]["serial"]),
        "size of the disk": (disk.disk_bytes, seen["kernel"]["disk_bytes"]),
        "partition": (disk.number, seen["partition"]),
        "PARTUUID": (mine.partuuid, there.get("partuuid")),
        "type": (mine.type, there.get("type")),
        "size": (mine.size_bytes, seen["kernel"]["size_bytes"]),
        "size in the table": (mine.size_bytes, there.get("size_bytes")),
        "offset": (mine.start_bytes, seen["kernel"]["start_bytes"]),
        "offset in the table": (mine.start_bytes, there.get("start_bytes")),
    }
    for what, (wanted, found) in pairs.items():
        if wanted != found:
            yield Finding(machine, f"{disk.path}: expected {what} {wanted!r}, seen {found!r}")


def untouched(case: Case) -> Verdict:
    """Every other partition of the disk, the system's and the boot ones among them."""
    words = "on every machine, every other partition is as it was recorded"
    return _each(case, _untouched, ("table",), words)


def _untouched(machine: str, disk: OsdDisk, value: Mapping[str, Any]) -> Iterable[Finding]:
    wanted = {it.number: _plain(it) for it in disk.partitions if it.number != disk.number}
    found = {it["number"]: it for it in value["seen"]["table"] if it["number"] != disk.number}
    if not wanted:
        yield unknown(machine, "no other partition was recorded")
    for number in sorted(wanted.keys() | found.keys()):
        if number not in found:
            yield Finding(machine, f"expected partition {number} as recorded, seen none")
        elif number not in wanted:
            yield Finding(machine, f"expected no partition {number}, seen one")
        else:
            for what, was in wanted[number].items():
                if found[number][what] != was:
                    text = f"partition {number}: expected {what} {was!r}, seen"
                    yield Finding(machine, f"{text} {found[number][what]!r}")


def _plain(it: RecordedPartition) -> dict[str, Any]:
    return {
        "start_bytes": it.start_bytes,
        "size_bytes": it.size_bytes,
        "type": it.type,
        "partuuid": it.partuuid,
    }


def used_as_declared(case: Case) -> Verdict:
    """By nobody while it is declared raw, then by the one OSD that belongs there."""
    needs = ("mounts", "swaps", "holders", "loops", "signatures", "labels", "nested", "owner")
    return _each(case, _used, needs, "on every machine, the partition is used as declared")


def _used(machine: str, disk: OsdDisk, value: Mapping[str, Any]) -> Iterable[Finding]:
    seen = value["seen"]
    for what in ("mounts", "swaps", "holders", "loops"):
        if seen[what]:
            text = f"{disk.path}: expected no {what}, seen {', '.join(seen[what])}"
            yield Finding(machine, text)
    foreign = [it for it in seen["signatures"] if disk.raw or not it.startswith(_BLUESTORE)]
    if seen["nested"]:
        foreign.append("a GPT on the partition itself")
    if foreign:
        whose = "no signature" if disk.raw else "no signature but Ceph's"
        yield Finding(machine, f"{disk.path}: expected {whose}, seen {', '.join(foreign)}")
    if "error" in value["ceph"]:
        yield unknown(machine, f"Ceph was not asked whose it is: {value['ceph']['error']}")
    elif disk.raw:
        yield from _unclaimed(machine, disk, seen)
    else:
        yield from _owned(machine, disk, seen, value["ceph"]["value"])


def _unclaimed(machine: str, disk: OsdDisk, seen: Mapping[str, Any]) -> Iterable[Finding]:
    for where in ("partition", "disk"):
        for gib in seen["labels"][where]:
            text = f"{disk.path}: expected no label of BlueStore, seen one at {gib} GiB of the"
            yield Finding(machine, f"{text} {where}")
    if seen.get("osds") is None:
        yield unknown(machine, "an OSD of Ceph does not say what it lies on")
    elif seen["osds"]:
        yield Finding(machine, f"{disk.path}: expected no OSD, seen one on {seen['osds'][0]}")


def _owned(
    machine: str, disk: OsdDisk, seen: Mapping[str, Any], ceph: Mapping[str, Any]
) -> Iterable[Finding]:
    label, osd = seen["owner"], ceph["osds"].get(str(disk.osd))
    if label is None:
        yield Finding(machine, f"{disk.path}: expected the label of osd.{disk.osd}, seen none")
        return
    if osd is None:
        yield Finding(machine, f"expected osd.{disk.osd} to be known to Ceph, seen no such OSD")
        return
    pairs = {
        f"the label of osd.{disk.osd}": (str(disk.osd), label["whoami"]),
        f"the uuid of osd.{disk.osd}": (osd["uuid"], label["osd_uuid"]),
        "this Ceph's fsid": (ceph["fsid"], label["ceph_fsid"]),
        f"osd.{disk.osd} on {machine}": (machine, osd["machine"]),
    }
    for what, (wanted, found) in pairs.items():
        if wanted != found:
            yield Finding(machine, f"{disk.path}: expected {what} ({wanted}), seen {found}")
    size = seen["kernel"]["size_bytes"]
    if not 0 <= size - osd["bytes"] < _MIB:
        text = f"{disk.path}: expected osd.{disk.osd} to be as large as it ({size} bytes), seen"
        yield Finding(machine, f"{text} {osd['bytes']}")


CHECKS = {
    "every disk for Ceph is the recorded one": recorded,
    "no other partition has changed": untouched,
    "each disk is used by its OSD alone": used_as_declared,
}
