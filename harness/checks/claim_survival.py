"""W3-PVC: data that machines write to claims during a fault is there afterwards, unchanged."""

from __future__ import annotations

from harness.checks.claim_contents import written_and_read
from harness.checks.findings import Finding, conclude, looks, unknown
from harness.core.model import Case, Verdict
from harness.facts.claims import MEANWHILE
from harness.facts.drills import DRILLS, RunFacts
from harness.facts.schema import Known, read


def survives(case: Case) -> Verdict:
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


CHECKS = {"what machines wrote to claims meanwhile is unchanged": survives}
