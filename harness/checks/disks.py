"""W3-DISK, W3-BENCH: each disk is the recorded one, only Ceph uses it, and it is fast enough."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from typing import TypeVar

from harness.checks.findings import Finding, Seen, conclude, looks, unknown, wanted
from harness.core.declared import OsdDisk, RecordedPartition
from harness.core.model import Case, Verdict
from harness.facts import disks as facts
from harness.facts.disks import DISK_BENCH, Osds, Partition, Place, Speed, Table, Use
from harness.facts.hostnames import is_hostname_of
from harness.facts.schema import Item, Unknown

T = TypeVar("T")

_BLUESTORE = "ceph_bluestore"
_MIB = 1 << 20  # BlueStore leaves out what does not fill a block
# Percent below a baseline: no disk can be slower than 100 %.
_NO_LIMIT = 100.0


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
    hostname = seen.machine.hostname
    pairs: dict[str, tuple[object, object]] = {
        "hostname": (machine, machine if is_hostname_of(hostname, machine) else hostname),
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
    for what, (want, found) in pairs.items():
        if want != found:
            yield Finding(machine, f"{disk.path}: expected {what} {want!r}, seen {found!r}")


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
    }
    if osd.machine is None:
        yield unknown(machine, f"Ceph does not say on which declared machine osd.{disk.osd} is")
    else:
        pairs[f"osd.{disk.osd} on {machine}"] = (machine, osd.machine)
    for what, (want, found) in pairs.items():
        if want != found:
            yield Finding(machine, f"{disk.path}: expected {what} ({want}), seen {found}")
    if seen.kernel is None:
        yield unknown(machine, "its size was not seen")
    elif not 0 <= seen.kernel.size_bytes - osd.bytes < _MIB:
        large = f"as large as it ({seen.kernel.size_bytes} bytes)"
        text = f"{disk.path}: expected osd.{disk.osd} to be {large}, seen"
        yield Finding(machine, f"{text} {osd.bytes}")


def _seen(case: Case) -> Seen[Speed]:
    """What was measured, and a gap for each disk without a recent measurement."""
    seen = looks(case, DISK_BENCH, case.cluster.osd_disks)
    gaps = list(seen.unseen)
    oldest = wanted(case, "bench_age_days")["bench_age_days"]
    values: dict[str, Speed] = {}
    if not case.cluster.osd_disks:
        gaps.append(unknown(case.cluster.name, "the profile does not say which disks are Ceph's"))
    for machine, value in seen.values.items():
        if value.iops <= 0:
            gaps.append(unknown(machine, "its bench measured nothing"))
        elif value.age_days > oldest:
            text = f"it was measured {value.age_days:.0f} days ago, which is too long"
            gaps.append(unknown(machine, text))
        else:
            values[machine] = value
    return Seen(values, tuple(gaps))


def fast_enough(case: Case) -> Verdict:
    """Judges the slowest machine, because a write waits for its slowest copy."""
    seen = _seen(case)
    target = wanted(case, "sync_write_iops", "bench_age_days")
    if any(it.p99_ms is not None for it in seen.values.values()):
        target |= wanted(case, "sync_p99_ms")
    findings = []
    for machine, value in seen.values.items():
        if value.iops < target["sync_write_iops"]:
            text = f"expected {target['sync_write_iops']:g} committed writes/s, seen"
            findings.append(Finding(machine, f"{text} {_said(value)}"))
        if value.p99_ms is not None and value.p99_ms > target["sync_p99_ms"]:
            text = f"expected a sync p99 within {target['sync_p99_ms']:g} ms, seen"
            findings.append(Finding(machine, f"{text} {value.p99_ms:.1f} ms"))
    slowest = min((it.iops for it in seen.values.values()), default=0)
    return conclude(
        findings,
        seen,
        proven=f"the slowest disk commits {slowest:.0f} writes/s",
        measured=_measured(case, seen),
        target=target,
    )


def _measured(case: Case, seen: Seen[Speed]) -> dict[str, float]:
    """The slowest values, and the age of the oldest measurement, even if it is too old."""
    iops = [it.iops for it in seen.values.values()]
    p99s = [it.p99_ms for it in seen.values.values() if it.p99_ms is not None]
    looked = looks(case, DISK_BENCH, case.cluster.osd_disks).values
    measured: dict[str, float] = {}
    if looked:
        measured["bench_age_days"] = max(it.age_days for it in looked.values())
    if iops:
        measured |= {"sync_write_iops": min(iops), "sync_write_wanted_iops": min(iops)}
    if p99s:
        measured |= {"sync_p99_ms": max(p99s), "sync_p99_wanted_ms": max(p99s)}
    return measured


def _said(value: Speed) -> str:
    return f"{'' if value.ended else 'fewer than '}{value.iops:.0f}"


def as_before(case: Case) -> Verdict:
    """A disk fails if it is slower than its baseline by more than the baseline's own spread.

    A faster disk is no defect. A baseline with so large a spread that no disk could ever fail is no
    baseline.
    """
    seen = _seen(case)
    least = wanted(case, "osd_bench_deviation_percent")["osd_bench_deviation_percent"]
    findings: list[Finding] = []
    below: dict[str, float] = {}
    limits: dict[str, float] = {}
    for machine, value in seen.values.items():
        before, noise = value.baseline_iops, value.noise_percent
        if not before or noise is None:
            findings.append(unknown(machine, "no baseline was recorded to compare it with"))
            continue
        if noise >= _NO_LIMIT:
            text = f"the runs of its baseline lay {noise:.0f} % to either side: that is no baseline"
            findings.append(unknown(machine, text))
            continue
        limits[machine] = max(least, noise)
        below[machine] = max(0.0, 100 * (before - value.iops) / before)
        if below[machine] > limits[machine]:
            text = f"expected at most {limits[machine]:.0f} % below its baseline of {before:.0f}"
            findings.append(Finding(machine, f"{text} writes/s, seen {_said(value)}"))
    worst = max(below, key=lambda it: below[it] - limits[it], default=None)
    return conclude(
        findings,
        seen,
        proven=f"the slowest is {max(below.values(), default=0):.0f} % below its baseline",
        measured={} if worst is None else {"osd_bench_deviation_percent": below[worst]},
        target={"osd_bench_deviation_percent": least if worst is None else limits[worst]},
    )


CHECKS = {
    "every disk for Ceph is the recorded one": recorded,
    "no other partition has changed": untouched,
    "each disk is used by its OSD alone": used_as_declared,
    "each disk commits fast enough": fast_enough,
    "each disk is as fast as its baseline": as_before,
}
