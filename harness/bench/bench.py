"""A benchmark of every machine at once: fio behind the guard on raw partitions, else Ceph's own.

An interrupted benchmark ends its processes on every machine before it reports.
"""

from __future__ import annotations

import secrets
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Literal, TypeAlias

from harness.bench import ceph
from harness.bench.results import parse
from harness.bench.scripts import disk_reader, disk_rules, facts_script, guard_script
from harness.bench.scripts.guard_script import DEVICE, FILE
from harness.core.declared import OsdDisk
from harness.core.errors import HarnessError, NotProven, Refused, TransportError
from harness.core.model import JSON
from harness.core.parallel import begin, in_each
from harness.facts import hostnames
from harness.facts.schema import read
from harness.settings.bench import JobSet
from harness.transport import Reach, own_folder
from harness.transport.remote_script import RemoteScript

GUARD = RemoteScript(hostnames, disk_reader, disk_rules, facts_script, own_folder, guard_script)
# One run of Ceph's bench on a shared disk says little: use the median of three and their spread.
RUNS = 3
_STOP_S = 25.0
Tell = Callable[[str, str], None]  # machine, what it says


# Customers' two ways to Ceph: a claim on CephFS, and a block image (RBD).
Through: TypeAlias = Literal["volume", "image"]


def ask_guard(
    reach: Reach,
    machine: str,
    mode: str,
    about: Mapping[str, JSON],
    *,
    within_s: float,
    hear: Callable[[str], None] | None = None,
) -> dict[str, object]:
    """The guard's answer on a machine; TransportError when it gives no answer.

    ``hear`` gets each line before the answer, as it arrives.
    """
    answer = GUARD.on(
        reach.shell, machine, mode, about, within_s=within_s, hear=hear, read=dict[str, object]
    ).value
    if "error" in answer:
        raise TransportError(f"{machine}: the guard broke: {answer['error']}")
    return answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """One machine's commits through Ceph, in 4 KiB writes, one after the other.

    The median of its runs, their spread, and the p99 of the slowest run if it is known; or the
    reason why nothing is known (``unproven``).
    """

    iops: float | None = None
    p99_ms: float | None = None
    spread_percent: float = 0.0
    unproven: str = ""
    runs: Sequence[Mapping[str, float]] = ()

    @classmethod
    def of(cls, runs: Sequence[Mapping[str, float]]) -> Committed:
        """The result of runs that each have ``iops``, and ``p99_ms`` if it was measured."""
        iops = [run["iops"] for run in runs]
        if min(iops, default=0) <= 0:
            return cls(unproven="nothing was committed", runs=runs)
        return cls(
            iops=statistics.median(iops),
            p99_ms=max((run["p99_ms"] for run in runs if "p99_ms" in run), default=None),
            spread_percent=spread_percent(iops),
            runs=runs,
        )


def spread_percent(rates: Sequence[float]) -> float:
    """The spread of rates, in percent of their median."""
    return 100 * (max(rates) - min(rates)) / statistics.median(rates)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The result for one machine's disk; ``iops`` counts committed 4 KiB writes.

    ``p99_ms`` is the latency of a sync, None if Ceph measured. ``spread_percent`` is the spread of
    the runs, in percent of their median. ``through`` has the rates through Ceph, if they were
    measured. ``evidence`` is the tool's input and its whole output.
    """

    machine: str
    iops: float | None = None
    p99_ms: float | None = None
    spread_percent: float = 0.0
    refused: tuple[str, ...] = ()
    unproven: str = ""
    through: Mapping[Through, Committed] = field(default_factory=dict)
    evidence: Mapping[str, object] = field(default_factory=dict)


def measure(
    reach: Reach, disks: Mapping[str, OsdDisk], jobs: JobSet, *, least_bytes: int, tell: Tell
) -> list[Result]:
    """Measure every machine's disk while all others work too; one result a machine."""
    token = f"cutover-bench-{secrets.token_hex(6)}"
    looks = {
        machine: partial(_raw, reach, machine, disk, jobs, token, least_bytes, tell)
        if disk.raw
        else partial(_osd, reach, machine, disk, tell)
        for machine, disk in disks.items()
    }
    work = {machine: begin(look) for machine, look in looks.items()}
    try:
        wait(work.values())
        return [_result(machine, it) for machine, it in work.items()]
    except KeyboardInterrupt:
        stop(reach, [machine for machine, disk in disks.items() if disk.raw], token)
        raise


def stop(reach: Reach, machines: list[str], token: str) -> None:
    """End the guards of this token and their fio; an unreachable machine ends its own."""

    def end(machine: str) -> None:
        ask_guard(reach, machine, "stop", {"token": token}, within_s=_STOP_S)

    in_each(machines, end)


def _result(machine: str, work: Future[Result]) -> Result:
    try:
        return work.result()
    except Refused as error:
        return Result(machine=machine, refused=(str(error.args[0]),))
    except HarnessError as error:
        return Result(machine=machine, unproven=str(error))


def record_for_guard(
    machine: str, disk: OsdDisk, least_bytes: int, osds: list[str] | None
) -> dict[str, JSON]:
    """The record for the guard; Refused when the partition was never recorded."""
    mine = [it for it in disk.partitions if it.number == disk.number]
    if not mine:
        raise Refused(
            f"the partition {disk.path} of {machine} is not recorded",
            remedy="run ./cutover provision disk --record, then read the file that it wrote",
        )
    return {
        "machine": machine,
        "machine_id": disk.machine_id,
        "path": disk.path,
        "number": disk.number,
        "partuuid": mine[0].partuuid,
        "serial": disk.serial,
        "start_bytes": mine[0].start_bytes,
        "size_bytes": mine[0].size_bytes,
        "disk_bytes": disk.disk_bytes,
        "least_bytes": least_bytes,
        "osd_partitions": osds,
    }


@dataclass(frozen=True, slots=True)
class _Guarded:
    """The guard's answer: why it ``refused``, why it was ``stopped``, or fio's result."""

    refused: tuple[str, ...] | None = None
    stopped: str | None = None
    status: int | None = None
    output: str = ""
    errors: str = ""


def _raw(
    reach: Reach,
    machine: str,
    disk: OsdDisk,
    jobs: JobSet,
    token: str,
    least_bytes: int,
    tell: Tell,
) -> Result:
    told = ceph.osds(reach, machine)
    record = record_for_guard(machine, disk, least_bytes, ceph.devices_on(told, machine))
    text = job_file(jobs)
    about = record | {"job": text, "limit_s": jobs.limit_s, "token": token}
    said = ask_guard(
        reach,
        machine,
        "guard",
        about,
        within_s=jobs.limit_s + 60,
        hear=lambda line: tell(machine, line),
    )
    evidence = {"job": text, **said}
    done = read(_Guarded, said)
    if done.refused is not None:
        return Result(machine=machine, refused=done.refused, evidence=evidence)
    if done.stopped is not None:
        return Result(machine=machine, unproven=f"fio: {done.stopped}", evidence=evidence)
    if done.status != 0:
        why = f"fio ended with {done.status}: {done.errors[-300:]}"
        return Result(machine=machine, unproven=why, evidence=evidence)
    try:
        measured = parse(done.output, jobs)
    except NotProven as error:
        return Result(machine=machine, unproven=str(error), evidence=evidence)
    evidence["measured"] = [asdict(it) for it in measured]
    commit = next((it for it in measured if it.job == "commit"), None)
    if commit is None:
        return Result(machine=machine, unproven="the job set has no commit", evidence=evidence)
    return Result(machine=machine, iops=commit.iops, p99_ms=commit.p99_ms, evidence=evidence)


def _osd(reach: Reach, machine: str, disk: OsdDisk, tell: Tell) -> Result:
    runs = []
    for number in range(1, RUNS + 1):
        tell(machine, f"osd.{disk.osd}: run {number} of {RUNS}")
        runs.append(ceph.bench(reach, machine, disk.osd))
        if not runs[-1].ended:
            told = {"runs": [asdict(it) for it in runs]}
            return Result(machine=machine, iops=runs[-1].iops, evidence=told)
    iops = [it.iops for it in runs]
    if min(iops) <= 0:
        return Result(machine=machine, unproven="Ceph's bench measured nothing")
    return Result(
        machine=machine,
        iops=statistics.median(iops),
        spread_percent=spread_percent(iops),
        evidence={
            "runs": [asdict(it) for it in runs],
            "bench": ceph.BENCH,
            "at": time.time(),
        },
    )


def job_file(jobs: JobSet) -> str:
    """The input for fio; the guard adds the device that it holds, or a file on the system disk."""
    lines = ["[global]", f"filename={DEVICE}", *_lines(jobs.options)]
    for job in jobs.jobs:
        lines += [f"[{job.name}]", "stonewall", *_lines(job.options)]
        lines += [f"filename={FILE}"] if job.file else []
    return "\n".join(lines) + "\n"


def _lines(options: Mapping[str, str | int]) -> list[str]:
    return [f"{key}={value}" for key, value in options.items()]
