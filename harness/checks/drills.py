"""W9-DRILLS, W3-PVC: a drill's faults were real, and everything recovered in time.

The numbers are the drill's own (``scenarios/drills``); each observation carries them. A fault that
no observer saw proves nothing. A drill that did not begin in the steady state proves nothing. What
machines write to claims during a fault (W3-PVC) must be there afterwards, unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from harness.checks import clients
from harness.checks.claim_contents import written_and_read
from harness.checks.findings import Finding, Seen, conclude, looks, unknown
from harness.core.model import Case, Outcome, Verdict
from harness.facts.claims import MEANWHILE
from harness.facts.drills import DRILLS, DrillFacts, FaultFacts, LoadFacts, RunFacts
from harness.facts.schema import Known, read

# A fault with an immediate undo must be gone this soon after an abort.
_ABORT_S = 5.0
# How long the machines that were not hit took to recover, and the key in older journals.
_RECOVERED, _RECOVERED_BEFORE = "bystanders_recovered_s", "others_after_s"
# The observers that a drill may require to notice: key of the target, and words.
_NOTICE: Mapping[str, str] = {
    "kubernetes": "Kubernetes",
    "ceph": "Ceph",
    "health": "the fault's target",
}


def _seen(case: Case) -> Seen[DrillFacts]:
    return looks(case, DRILLS, case.of(DRILLS.name))


def _drills(case: Case) -> Mapping[str, DrillFacts]:
    return _seen(case).values


def _runs(case: Case) -> Iterator[tuple[str, RunFacts]]:
    """Each run of each drill, under its name in a sentence."""
    for name, drill in _drills(case).items():
        for run in drill["runs"]:
            yield f"{name} on {run['machine']}", run


def _gaps(case: Case) -> Iterator[Finding]:
    """The runs that proved nothing, and why."""
    for name, drill in _drills(case).items():
        if not drill["runs"]:
            yield unknown(name, "it was run on no machine")
    for where, run in _runs(case):
        if run["before"]:
            yield unknown(where, f"there was no steady state to begin with: {run['before'][0]}")
        elif "error" in run:
            yield unknown(where, run["error"])
        elif not run["faults"]:
            yield unknown(where, "nothing was broken")


def _judged(
    case: Case, findings: list[Finding], proven: str, **numbers: Mapping[str, float]
) -> Verdict:
    return conclude(
        [*findings, *_gaps(case)],
        _seen(case),
        proven=proven,
        **numbers,
    )


def _unless(absent: str | None, verdict: Verdict) -> Verdict:
    """The verdict; NOT APPLICABLE instead of a pass if ``absent`` says why nothing is required."""
    if absent is None or verdict.outcome is not Outcome.PASS:
        return verdict
    return Verdict(outcome=Outcome.NOT_APPLICABLE, reason=absent)


def _target(case: Case, key: str) -> float | None:
    """The drill's own number; None when it has none."""
    for drill in _drills(case).values():
        if key in drill["targets"]:
            return drill["targets"][key][1]
    return None


def faults_were_real(case: Case) -> Verdict:
    """An independent observer saw each fault active, and saw it gone."""
    findings = []
    count = 0
    for where, run in _runs(case):
        for fault in run["faults"]:
            count += 1
            words = f"{fault['fault']} of {fault['target']}"
            if "unseen" in fault:
                findings.append(unknown(where, f"{words}: {fault['unseen']}"))
            elif "seen_s" not in fault:
                findings.append(unknown(where, f"{words} was not seen by any observer"))
            never_armed = "error" in run and "inject_s" not in fault
            if "gone_s" not in fault and not never_armed:
                findings.append(Finding(where, f"{words} was not seen to be gone"))
    proven = f"{count} faults were seen by an observer, and seen to be gone"
    return _judged(case, findings, proven, measured={"faults_count": float(count)})


def no_more_broke(case: Case) -> Verdict:
    """No fault was aborted; if one was, its undo took effect at once."""
    findings = []
    for where, run in _runs(case):
        for fault in run["faults"]:
            if fault["aborted"]:
                took = f"undone {fault['abort_s']:g} s after the abort"
                if "abort_gone_s" in fault:
                    took += f", seen to be gone after {fault['abort_gone_s']:g} s"
                if fault.get("ours"):
                    findings.append(unknown(where, f"{fault['aborted']}; {took}"))
                    continue
                slow = fault["at_once"] and fault["abort_s"] > _ABORT_S
                late = f" (at most {_ABORT_S:g} s)" if slow else ""
                text = f"the fault had unexpected side effects: {fault['aborted']}; {took}{late}"
                findings.append(Finding(where, text))
    return _judged(case, findings, "no fault had unexpected side effects")


def others_went_on(case: Case) -> Verdict:
    """On the machines that were not hit, the drill's checks held while the fault was active.

    A check may fail for a short time, if it holds again in time and until the end. Journals before
    December 2026 have another name for that number, or none.
    """
    key = _RECOVERED if _target(case, _RECOVERED) is not None else _RECOVERED_BEFORE
    limit = _target(case, key)
    findings = []
    took = []
    asked = {check for drill in _drills(case).values() for check in drill["during"]}
    for where, run in _runs(case):
        for fault in run["faults"] if asked else ():
            look = fault.get("bystanders", fault.get("meanwhile"))
            if look is None:
                findings.append(unknown(where, "the machines that were not hit were not checked"))
                continue
            took.append(look["took_s"])
            if limit is not None and look["took_s"] > limit:
                text = f"expected others to recover within {limit:g} s, seen {look['took_s']:g} s"
                findings.append(Finding(where, text))
            findings += [Finding(where, f"meanwhile, {says}") for says in look["failed"]]
            findings += [unknown(where, f"meanwhile, {says}") for says in look["unknown"]]
    proven = f"meanwhile, on the other machines: {', '.join(sorted(asked))}"
    measured = {key: max(took)} if took else {}
    target = {key: limit} if took and limit is not None else {}
    verdict = _judged(case, findings, proven, measured=measured, target=target)
    return _unless(None if asked else "this drill names nothing that must go on meanwhile", verdict)


def noticed_in_time(case: Case) -> Verdict:
    """Kubernetes, Ceph and the fault's target noticed, as far as the drill requires it.

    A fault that was shorter than the time they may take proves nothing about them.
    """
    findings: list[Finding] = []
    measured: dict[str, float] = {}
    target: dict[str, float] = {}
    for who, words in _NOTICE.items():
        key = f"noticed_by_{who}_s"
        limit = _target(case, key)
        if limit is None:
            continue
        target[key] = limit
        for where, run in _runs(case):
            for fault in run["faults"]:
                wanted = f"expected {words} to notice within {limit:g} s"
                seen = fault.get("noticed", {}).get(who)
                if seen is not None:
                    measured[key] = max(measured.get(key, 0.0), seen)
                    if seen > limit:
                        findings.append(Finding(where, f"{wanted}, seen {seen:g} s"))
                elif "noticed" not in fault:
                    findings.append(unknown(where, f"{wanted}: no observer looked"))
                elif (held_s := _there_for(fault, limit)) < limit:
                    held = f"it was there for {held_s:g} s only"
                    findings.append(unknown(where, f"{wanted}, and {held}"))
                else:
                    findings.append(Finding(where, f"{wanted}, and it never did"))
    verdict = _judged(case, findings, "others noticed in time", measured=measured, target=target)
    return _unless(None if target else "this drill requires no observer to notice", verdict)


def _there_for(fault: FaultFacts, otherwise: float) -> float:
    """How long a fault was there for certain: while it is injected, it is not there yet."""
    if "held_s" not in fault:
        return otherwise
    return round(fault["held_s"] - fault.get("inject_s", 0.0), 2)


def steady_again(case: Case) -> Verdict:
    """The steady state, and with it every copy of the data."""
    limit = _target(case, "steady_again_s") or 0.0
    whole_limit = _target(case, "whole_again_s")
    findings: list[Finding] = []
    measured: dict[str, float] = {}
    for where, run in _runs(case):
        if "steady_s" not in run:
            continue  # a gap says why
        measured["steady_again_s"] = max(measured.get("steady_again_s", 0.0), run["steady_s"])
        findings += _whole(where, run, whole_limit)
        if (whole_s := run.get("whole_s")) is not None:
            measured["whole_again_s"] = max(measured.get("whole_again_s", 0.0), whole_s)
        if run["after"]:
            text = f"expected the steady state within {limit:g} s, seen: {'; '.join(run['after'])}"
            findings.append(Finding(where, text))
        elif run["steady_s"] > limit:
            text = "the look that saw the steady state began in time, and ended after "
            findings.append(unknown(where, f"{text}{run['steady_s']:g} s: {limit:g} s are allowed"))
    proven = f"the steady state was back after {measured.get('steady_again_s', 0):.0f} s"
    target = {"steady_again_s": limit}
    if whole_limit is not None and "whole_again_s" in measured:
        target["whole_again_s"] = whole_limit
    return _judged(case, findings, proven, measured=measured, target=target)


def _whole(where: str, run: RunFacts, limit: float | None) -> Iterator[Finding]:
    """Whether Ceph had every copy again in time; a cluster without Ceph has no value.

    Journals of before had no such target.
    """
    if "whole_s" not in run or limit is None:
        return
    wanted = f"expected every copy of the data in Ceph again within {limit:g} s"
    whole_s = run["whole_s"]
    if whole_s is None:
        yield unknown(where, f"{wanted}, and that was not seen")
    elif whole_s > limit:
        yield Finding(where, f"{wanted}, seen {whole_s:g} s")


def _without_load(case: Case) -> str | None:
    """Why no load is judged: the drill has none, or the cluster no ingress; None when one is."""
    if all(drill.get("load") is None for drill in _drills(case).values()):
        return "this drill has no load"
    return case.cluster.absent.get("ingress")


def _loads(case: Case, findings: list[Finding]) -> Iterator[tuple[str, LoadFacts]]:
    """The load of each complete run; why other runs prove nothing goes into ``findings``."""
    if _without_load(case) is not None:
        return
    for where, run in _runs(case):
        if "steady_s" not in run:
            continue  # a gap says why
        seen = run.get("load")
        gaps = list(clients.unoffered(where, seen, clients.OF_DRILL))
        findings += gaps
        if seen is not None and not gaps:
            yield where, seen


def _limits(case: Case) -> Mapping[str, float]:
    """The declared requests a minute that the ingress accepts from one address, by host."""
    return case.cluster.ingress.limits if case.cluster.ingress is not None else {}


def few_requests_failed(case: Case) -> Verdict:
    """The error budget: over the whole run, on each machine."""
    limit = _target(case, "failed_percent") or 0.0
    findings: list[Finding] = []
    measured: dict[str, float] = {}
    for where, seen in _loads(case, findings):
        findings += clients.limited_by_ingress(where, seen, _limits(case))
        percent = clients.failed_percent(seen)
        measured["failed_percent"] = max(measured.get("failed_percent", 0.0), percent)
        if percent > limit:
            text = f"expected at most {limit:g} % of the requests to fail, seen {percent:.1f} %"
            findings.append(Finding(where, f"{text}: {clients.failures(seen)}"))
    worst = measured.get("failed_percent", 0.0)
    proven = f"at most {worst:.1f} % of the requests of a run failed"
    target = {"failed_percent": limit}
    verdict = _judged(case, findings, proven, measured=measured, target=target)
    return _unless(_without_load(case), verdict)


def requests_fast_again(case: Case) -> Verdict:
    """Judges the second steady state; a request without an answer is slower than any limit."""
    limit = _target(case, "again_p99_ms") or 0.0
    findings: list[Finding] = []
    measured: dict[str, float] = {}
    for where, seen in _loads(case, findings):
        again = seen["phases"]["again"]
        if again.get("limited"):
            findings += clients.limited_by_ingress(where, seen, _limits(case), ("again",))
            continue
        expected = f"expected 99 % of the requests answered within {limit:g} ms"
        if again["p99_ms"] is None:
            made = again["answered"] + again["failed"]
            text = f"{expected}, seen {again['failed']} of {made} not answered at all"
            findings.append(Finding(where, text))
            continue
        measured["again_p99_ms"] = max(measured.get("again_p99_ms", 0.0), again["p99_ms"])
        if again["p99_ms"] > limit:
            findings.append(Finding(where, f"{expected}, seen {again['p99_ms']:.0f} ms"))
    proven = f"once it was steady again, 99 % of the requests were answered within {limit:g} ms"
    target = {"again_p99_ms": limit}
    verdict = _judged(case, findings, proven, measured=measured, target=target)
    return _unless(_without_load(case), verdict)


def _of_ledger(check: Callable[[Case], Verdict]) -> Callable[[Case], Verdict]:
    """A check of the ledger with the drill's own numbers."""

    def judge(case: Case) -> Verdict:
        drill = _judged(case, [], "the drill was carried out")
        if drill.outcome is not Outcome.PASS:
            return drill
        own = {
            key: number
            for drill in _drills(case).values()
            for key, (_, number) in drill["targets"].items()
        }
        return check(replace(case, targets={**case.targets, **own}))

    return judge


def claims_survive(case: Case) -> Verdict:
    """Every block is intact, on machines that wrote from before the fault until its undo."""
    seen = looks(case, DRILLS, case.of(DRILLS.name))
    findings: list[Finding] = []
    blocks, slowest = 0, [0.0]
    for name, drill in seen.values.items():
        if not drill["runs"]:
            findings.append(unknown(name, "it was run on no machine"))
        for run in drill["runs"]:
            where = f"{name} on {run['machine']}"
            why = _nothing_survived(run)
            if why is not None:
                findings.append(unknown(where, why))
                continue
            exchange = read(MEANWHILE, run["claims"])
            blocks += written_and_read(case, exchange, findings)
            for machine, answer in exchange.written.items():
                if not isinstance(answer, Known):
                    continue  # it is among the findings
                slowest.append(answer.value.slowest_s)
                if not answer.value.told:
                    text = "it stopped writing by itself, maybe before the fault was over"
                    findings.append(unknown(f"{machine} writes", text))
    return conclude(
        findings,
        seen,
        proven=f"{blocks} blocks were read as they were written while something broke; "
        f"the longest wait for a write was {max(slowest):g} s",
        measured={"slowest_write_s": max(slowest)} if len(slowest) > 1 else {},
    )


def _nothing_survived(run: RunFacts) -> str | None:
    """Why a run proves nothing about survival; None if it can."""
    if run["before"]:
        return f"there was no steady state to begin with: {run['before'][0]}"
    if "error" in run:
        return run["error"]
    if not run["faults"]:
        return "nothing was broken"
    for fault in run["faults"]:
        if "seen_s" not in fault or "unseen" in fault:
            return f"{fault['fault']} of {fault['target']} was not seen"
        if "gone_s" not in fault:
            return f"{fault['fault']} of {fault['target']} was not seen to be gone"
    return None if "claims" in run else "no machine wrote to claims meanwhile"


CHECKS = {
    "every fault was seen by somebody else, and seen to be gone": faults_were_real,
    "no more broke than was meant to": no_more_broke,
    "what was not hit went on": others_went_on,
    "others noticed it in time": noticed_in_time,
    "the drill lost no acknowledged write": _of_ledger(clients.nothing_lost),
    "the drill left no write twice or from nowhere": _of_ledger(clients.nothing_invented),
    "the bank kept its total through the drill": _of_ledger(clients.total_constant),
    "writing went on in time": _of_ledger(clients.went_on_in_time),
    "no more requests failed than may": few_requests_failed,
    "requests were answered in time again": requests_fast_again,
    "the steady state came back in time": steady_again,
    "what machines wrote to claims meanwhile is unchanged": claims_survive,
}
