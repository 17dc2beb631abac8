"""W3-BENCH: every disk commits fast enough, and as fast as its baseline."""

from __future__ import annotations

from harness.checks.findings import Finding, Seen, conclude, looks, unknown, wanted
from harness.core.model import Case, Verdict
from harness.facts.disks import DISK_BENCH, Speed

# Percent below a baseline: no disk can be slower than 100 %.
_NO_LIMIT = 100.0


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
    "each disk commits fast enough": fast_enough,
    "each disk is as fast as its baseline": as_before,
}
