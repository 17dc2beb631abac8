"""Ceph's facts about its OSDs, and Ceph's own bench of one OSD."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.core.errors import Garbled, TimedOut
from harness.facts.ceph_names import in_doubt, machine_of_each
from harness.facts.disks import Osd, Osds
from harness.transport import Reach
from harness.transport.ceph import ask_ceph
from harness.transport.objects import Odd, listed, must, must_count, part, text

# 12 MB in blocks of 4 KiB, like the writes of databases. The bare bench writes 4 MiB blocks, which
# says nothing of commits; Ceph refuses more than this in small blocks.
BENCH = ("12288000", "4096", "4194304", "100")
BENCH_S = 150.0
# If a bench has not ended by then, at most all writes but one are known to be done.
NOT_ENDED_IOPS = (12288000 / 4096 - 1) / BENCH_S


@dataclass(frozen=True, slots=True)
class OsdRun:
    """One bench of an OSD; a bench that has not ``ended`` in time does not reach its ``iops``."""

    iops: float
    ended: bool
    took_s: float


def osds(reach: Reach, machine: str) -> Osds:
    """Ceph's own id, and its OSDs.

    An OSD's machine is None if it is unknown, and may be one of several declared ones.
    """
    dump = ask_ceph(reach, "osd", "dump", on=[machine], read=object)
    metadata = ask_ceph(reach, "osd", "metadata", on=[machine], read=list[object])
    try:
        told = {must_count(it, "id"): part(it) for it in metadata}
        hosts = {host for it in metadata if (host := text(it, "hostname"))}
        known = [it.name for it in reach.profile.machines]
        at = {**dict.fromkeys(in_doubt(hosts, known)), **machine_of_each(hosts, known)}
        found = {}
        for it in listed(dump, "osds"):
            number = must_count(it, "osd")
            its = told.get(number, {})
            host = text(its, "hostname")
            found[number] = Osd(
                uuid=must(it, "uuid"),
                machine=None if host is None else at.get(host, host),
                device=_device(its),
                bytes=int(text(its, "bluestore_bdev_size") or 0),
            )
        return Osds(fsid=must(dump, "fsid"), osds=found)
    except (Odd, ValueError) as error:
        raise Garbled(f"{machine}: Ceph's OSDs are not understood: {error}") from error


def _device(told: Mapping[str, object]) -> str | None:
    """The path of its partition, else the number (``8:0``) of a device, else None."""
    for kind in ("bluestore_bdev", "backend_filestore"):
        for name in ("partition_path", "dev_node", "dev"):
            found = told.get(f"{kind}_{name}", "unknown")
            if found not in ("unknown", ""):
                return str(found)
    return None


def devices_on(told: Osds, machine: str) -> list[str] | None:
    """The devices of a machine's OSDs; None when an OSD does not report its machine or device."""
    found = []
    for it in told.osds.values():
        if it.machine is None or (it.machine == machine and it.device is None):
            return None
        if it.machine == machine and it.device is not None:
            found.append(it.device)
    return found


@dataclass(frozen=True, slots=True)
class _Bench:
    """An OSD's answer about its bench."""

    iops: float
    elapsed_sec: float


def bench(reach: Reach, machine: str, osd: int) -> OsdRun:
    """Run one OSD's bench on itself, without its cache; raises TransportError.

    The bench writes objects of its own, and removes them.
    """
    tell = ("tell", f"osd.{osd}")
    ask_ceph(reach, *tell, "cache", "drop", on=[machine], read=object)
    try:
        found = ask_ceph(reach, *tell, "bench", *BENCH, on=[machine], within_s=BENCH_S, read=_Bench)
    except TimedOut:
        return OsdRun(iops=NOT_ENDED_IOPS, ended=False, took_s=BENCH_S)
    return OsdRun(iops=found.iops, ended=True, took_s=found.elapsed_sec)
