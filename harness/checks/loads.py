"""W9-LOAD: under the planned load requests are answered, in time, and no slower than before.

The generator comes first. If it was late or busy, neither its errors nor its times say anything of
the platform: NOT PROVEN.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from math import inf, isfinite

from harness.checks import rank_test
from harness.checks.findings import Finding, Seen, conclude, limited, look, names, unknown, wanted
from harness.core.model import Case, Outcome, Verdict
from harness.facts.loads import COMPARISON, LOADS, P99_NEEDS, Compared, Loads, Offered, Stage
from harness.facts.schema import Unknown

_OFFERED, _ERRORS, _SLOWER = "offered_percent", "errors_percent", "slower_ratio"
# Locust warns from here on: its single thread then delays answers. Source: locust.runners,
# CPU_WARNING.
_BUSY_PERCENT = 90.0
_NOT_ASKED = Unknown("it was not offered")

Judge = Callable[[str, str, Stage], Iterator[Finding]]


def offered_as_planned(case: Case) -> Verdict:
    """Each stage of each load was offered at its rate, by a generator with time to spare."""
    seen = look(case, LOADS)
    target = wanted(case, _OFFERED)
    rates = [
        100 * stage.on_time / stage.planned
        for _, load in _loads(case, seen)
        for stage in load.stages.values()
        if stage.planned
    ]
    return conclude(
        _findings(case, seen, lambda *_: iter(())),
        seen,
        proven=f"{names(case.cluster.loads or ('nothing',))} offered as planned",
        measured={_OFFERED: round(min(rates), 2)} if rates else {},
        target=target,
    )


def answered(case: Case) -> Verdict:
    """Of each stage at most the declared part failed; 429 is the ingress's own limit."""
    seen = look(case, LOADS)
    most = wanted(case, _ERRORS)[_ERRORS]
    parts = [
        _failed(stage)
        for _, load in _loads(case, seen)
        for stage in load.stages.values()
        if stage.planned
    ]

    def judge(load: str, name: str, stage: Stage) -> Iterator[Finding]:
        if _failed(stage) > most:
            kinds = names(f"{count} × {kind}" for kind, count in sorted(stage.errors.items()))
            says = f"expected at most {most:g} % of its requests to fail, seen {_failed(stage):.2f}"
            yield Finding(load, f"{name}: {says} % ({kinds})")

    return conclude(
        _findings(case, seen, judge),
        seen,
        proven=f"{names(case.cluster.loads or ('nothing',))}: requests were answered",
        measured={_ERRORS: round(max(parts), 3)} if parts else {},
        target=wanted(case, _ERRORS),
    )


def in_time(case: Case) -> Verdict:
    """Of each stage 99 % of the requests were answered within the load's own ``p99_ms``.

    Times count from when a request was due, so that a stall is in the times of all requests that
    waited for it. Of fewer than 100 requests the slowest one has to be in time: the reason says so.
    """
    seen = look(case, LOADS)
    declared = case.cluster.loads

    def judge(load: str, name: str, stage: Stage) -> Iterator[Finding]:
        most = declared[load]
        if most is None:
            yield unknown(load, "its file declares no p99_ms")
        elif stage.p99_ms is None:
            yield Finding(load, f"{name}: expected 99 % of answers within {most:g} ms, seen fewer")
        elif stage.p99_ms > most:
            says = f"expected 99 % of answers within {most:g} ms, seen {stage.p99_ms:g} ms"
            yield Finding(load, f"{name}: {says}{_slowest([(name, stage)])}")

    stages = [
        (f"{name}, {stage}", it)
        for name, load in _loads(case, seen)
        for stage, it in load.stages.items()
    ]
    times = [
        stage.p99_ms
        for _, load in _loads(case, seen)
        for stage in load.stages.values()
        if stage.p99_ms is not None
    ]
    return conclude(
        _findings(case, seen, judge),
        seen,
        proven=f"{names(declared or ('nothing',))}: requests were answered in time"
        f"{_slowest(stages)}",
        measured={"p99_ms": max(times)} if times else {},
    )


def no_slower(case: Case) -> Verdict:
    """Under the same load the new platform answers within the ratio of the old one's times.

    The 95th and the 99th percentile of each run are compared by ``rank_test``: FAIL when one of
    them is proven above the ratio, a pass when all are proven below. What lies between is noise, or
    too few runs: NOT PROVEN.
    """
    seen, target = look(case, COMPARISON), wanted(case, _SLOWER)
    loads = case.cluster.loads
    found = {name: it.get(name, _NOT_ASKED) for it in seen.values.values() for name in loads}
    compared = {name: it.value for name, it in found.items() if not isinstance(it, Unknown)}
    findings = [unknown(name, it.error) for name, it in found.items() if isinstance(it, Unknown)]
    ratios: list[float] = []
    for name, it in compared.items():
        about = list(_of_runs(name, it, case.targets[_OFFERED]))
        if not about:
            about, ratio = _of_times(name, it, target[_SLOWER], tests=2 * len(loads))
            ratios.append(ratio)
        findings += about
    if not loads:
        findings.append(unknown("the profile", "it declares no load (loads)"))
    runs = [(name, run.whole) for name, it in compared.items() for run in (*it.old, *it.new)]
    days = sorted({it.recorded for it in compared.values() if it.recorded})
    since = f", as recorded on {names(days)}" if days else ""
    return conclude(
        findings,
        seen,
        proven=f"{names(loads or ('nothing',))}: the new platform is no slower than the old "
        f"one{since}{_slowest(runs)}",
        measured={_SLOWER: round(max(ratios), 2)} if ratios and isfinite(max(ratios)) else {},
        target=target,
    )


def _of_runs(name: str, compared: Compared, least: float) -> Iterator[Finding]:
    """What was wrong with the generator, or with the old platform, in any of the runs."""
    for side, runs in (("old", compared.old), ("new", compared.new)):
        for number, run in enumerate(runs, start=1):
            place = f"{name}, run {number} on the {side} platform"
            yield from _of_generator(place, run, least)
            if side == "old" and None in (run.whole.p95_ms, run.whole.p99_ms):
                yield unknown(place, f"too few of its requests were answered: {run.whole.errors}")


def _of_times(
    name: str, compared: Compared, most: float, *, tests: int
) -> tuple[list[Finding], float]:
    """What the rank test says of both percentiles, and the larger of their measured ratios."""
    findings: list[Finding] = []
    ratios: list[float] = []
    before, after = ([run.whole for run in runs] for runs in (compared.old, compared.new))
    for words, old, new in (
        ("p95", _times(it.p95_ms for it in before), _times(it.p95_ms for it in after)),
        ("p99", _times(it.p99_ms for it in before), _times(it.p99_ms for it in after)),
    ):
        ratio, outcome = rank_test.judge(old, new, most, tests=tests)
        ratios.append(ratio)
        if outcome is Outcome.PASS:
            continue
        seen = f"{ratio:.2f} × the old platform's" if isfinite(ratio) else "too few answers"
        says = f"expected {words} at most {most:g} × the old platform's, seen {seen}"
        told = f"{says} ({_listed(old)} ms before, {_listed(new)} ms now)"
        if outcome is Outcome.NOT_PROVEN:
            told += ": too few runs, or too much noise, to tell"
        findings.append(Finding(name, told, outcome))
    return findings, max(ratios)


def _times(percentiles: Iterable[float | None]) -> list[float]:
    """One value a run; too few answers for a percentile are slower than anything."""
    return [inf if it is None else it for it in percentiles]


def _listed(times: Sequence[float]) -> str:
    return ", ".join(f"{it:g}" if isfinite(it) else "none" for it in times)


def _slowest(stages: Iterable[tuple[str, Stage]]) -> str:
    """Says where a 99th percentile is that of too few requests; empty without such a place."""
    few: dict[str, int] = {}
    for where, it in stages:
        if it.is_too_few_for_p99:
            number = it.answered + it.failed
            few[where] = min(number, few.get(where, number))
    told = names(f"{where}: {number} requests" for where, number in few.items()) if few else ""
    return f" (of fewer than {P99_NEEDS} requests p99 is the slowest one: {told})" if few else ""


def _failed(stage: Stage) -> float:
    """The percentage of planned requests that failed."""
    return 100 * stage.failed / stage.planned


def _loads(case: Case, seen: Seen[Loads]) -> Iterator[tuple[str, Offered]]:
    """The declared loads that were offered."""
    for found in seen.values.values():
        for name in case.cluster.loads:
            item = found.get(name, _NOT_ASKED)
            if not isinstance(item, Unknown):
                yield name, item.value


def _findings(case: Case, seen: Seen[Loads], judge: Judge) -> list[Finding]:
    """What is wrong with the generator, and, where nothing is, what the judge says."""
    least = case.targets[_OFFERED]
    findings = [
        unknown(name, item.error)
        for found in seen.values.values()
        for name in case.cluster.loads
        if isinstance(item := found.get(name, _NOT_ASKED), Unknown)
    ]
    for name, load in _loads(case, seen):
        about = [*_of_generator(name, load, least)]
        findings += about or [
            it for stage, seen_in in load.stages.items() for it in judge(name, stage, seen_in)
        ]
    if not case.cluster.loads:
        findings.append(unknown("the profile", "it declares no load (loads)"))
    return findings


def _of_generator(name: str, load: Offered, least: float) -> Iterator[Finding]:
    yield from (unknown(name, trouble) for trouble in load.troubles)
    if load.busy_percent is None:
        yield unknown(name, "the generator did not say how busy it was")
    elif load.busy_percent > _BUSY_PERCENT:
        says = f"the generator used {load.busy_percent:.0f} % of a processor"
        yield unknown(name, f"{says}, and delayed answers by itself (from {_BUSY_PERCENT:g} %)")
    if not load.stages:
        yield unknown(name, "it had no stage")
    for stage, it in load.stages.items():
        if it.planned == 0:
            yield unknown(name, f"{stage}: no request was planned")
        elif (rate := 100 * it.on_time / it.planned) < least:
            says = f"{rate:.1f} % of the planned requests were sent on time, expected {least:g} %"
            yield unknown(name, f"{stage}: {says}")
        elif it.limited:
            yield unknown(name, f"{stage}: {limited(told=str(dict(it.limited)))}")


CHECKS = {
    "every load was offered as planned": offered_as_planned,
    "requests are answered under load": answered,
    "requests are answered in time under load": in_time,
    "the new platform is no slower under the same load": no_slower,
}
