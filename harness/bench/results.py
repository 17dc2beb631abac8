"""fio's measurements: its json+ output, jobs of one name merged, and reasons to distrust it.

fio reports the latency of a sync apart from the write before it: BlueStore waits for ``sync``.
Percentiles are counted from the bins of all threads, never averaged.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from harness.core.errors import Garbled, NotProven
from harness.facts.schema import read
from harness.settings.bench import BenchJob, JobSet

_NS_PER_MS = 1e6


@dataclass(frozen=True, slots=True)
class Latencies:
    """fio's histogram: latency in ns → samples."""

    bins: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Direction:
    iops: float
    bw_bytes: float
    clat_ns: Latencies


@dataclass(frozen=True, slots=True)
class _Sync:
    lat_ns: Latencies


@dataclass(frozen=True, slots=True)
class _SteadyState:
    attained: int = 0


@dataclass(frozen=True, slots=True)
class _Entry:
    """The result of one thread of a job."""

    jobname: str
    error: int
    read: _Direction
    write: _Direction
    sync: _Sync | None = None
    steadystate: _SteadyState = field(default_factory=_SteadyState)


@dataclass(frozen=True, slots=True)
class _Document:
    jobs: tuple[_Entry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One job, all its threads together; latencies in ms, None when there was no sample.

    ``p99_ms`` belongs to the measured operation: to syncs, if the job waits for them.
    """

    job: str
    iops: float
    megabytes_per_s: float
    p50_ms: float | None
    p99_ms: float | None
    samples: int


def percentile(bins: Mapping[int, int], share: float) -> int | None:
    """The lower end of the bin (ns) that reaches that share (0 < share ≤ 1) of the samples.

    fio prints the same value; a bin is less than 0.8 % wide. None when there is no sample.
    """
    total = sum(bins.values())
    if not total:
        return None
    reached = 0
    for latency in sorted(bins):
        reached += bins[latency]
        if reached >= share * total:
            return latency
    return max(bins)


def merged(histograms: Iterable[Mapping[int, int]]) -> dict[int, int]:
    """Several histograms as one: their bins, added."""
    total: Counter[int] = Counter()
    for bins in histograms:
        total.update(bins)
    return dict(total)


def parse(text: str, jobs: JobSet) -> list[Measured]:
    """The measurement of every job of the set; NotProven says what is missing or went wrong."""
    try:
        # fio prints its warnings before the document.
        entries = read(_Document, json.loads(text[text.index("{") :])).jobs
    except (ValueError, Garbled) as error:
        raise NotProven(f"fio's output is not understood ({error}): {text[:200]!r}") from error
    found = {job.name: [it for it in entries if it.jobname == job.name] for job in jobs.jobs}
    wrong = [words for job in jobs.jobs for words in _wrong(job, found[job.name])]
    if wrong:
        raise NotProven(f"fio proved nothing: {'; '.join(wrong)}")
    return [_measured(job, found[job.name]) for job in jobs.jobs]


def _wrong(job: BenchJob, entries: Sequence[_Entry]) -> Iterable[str]:
    if len(entries) != int(job.options.get("numjobs", 1)):
        yield f"{job.name}: {len(entries)} of {job.options.get('numjobs', 1)} threads reported"
    for entry in entries:
        if entry.error:
            yield f"{job.name}: fio's error {entry.error}"
        if not sum(_bins(job, entry).values()):
            yield f"{job.name}: it measured no {job.measures} at all"
        if job.steady and entry.steadystate.attained != 1:
            yield f"{job.name}: its steady state was not attained"


def _bins(job: BenchJob, entry: _Entry) -> Mapping[int, int]:
    if job.measures == "sync":
        return entry.sync.lat_ns.bins if entry.sync is not None else {}
    return _direction(job, entry).clat_ns.bins


def _direction(job: BenchJob, entry: _Entry) -> _Direction:
    return entry.read if job.measures == "read" else entry.write


def _measured(job: BenchJob, entries: Sequence[_Entry]) -> Measured:
    bins = merged(_bins(job, entry) for entry in entries)
    directions = [_direction(job, entry) for entry in entries]
    fifty, ninety_nine = percentile(bins, 0.5), percentile(bins, 0.99)
    return Measured(
        job=job.name,
        # Threads run side by side: their rates add up.
        iops=sum(it.iops for it in directions),
        megabytes_per_s=sum(it.bw_bytes for it in directions) / 1e6,
        p50_ms=None if fifty is None else fifty / _NS_PER_MS,
        p99_ms=None if ninety_nine is None else ninety_nine / _NS_PER_MS,
        samples=sum(bins.values()),
    )
