"""W9-DRILLS, W9-SOAK: how requests were answered, if they were made as planned.

The value is that of a load beside a drill or a soak (``harness.drill.traffic``). If less than 99 %
of the requests began as planned, the load generator was too busy and the load proves nothing about
the platform. A 429 is the ingress's limit for the one address that all visitors share here. It is
no failure, and no proof that customers are served.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping

from harness.checks.findings import Finding, limited, names, unknown
from harness.facts.load import LoadFacts, PhaseFacts

OFFERED_PERCENT = 99.0
OF_DRILL = ("before", "during", "healing", "again")
OF_SOAK = ("all",)
# If the steady state returns in the same second as the undo, the recovery has no whole second.
_MAY_BE_BRIEF = ("healing",)
_WORDS = {
    "before": "before anything was broken",
    "during": "while it was broken",
    "healing": "until the steady state was back",
    "again": "in the steady state again",
    "all": "at all",
}


def unoffered(where: str, load: LoadFacts | None, phases: Collection[str]) -> Iterator[Finding]:
    """Why a load proves nothing; empty if it can."""
    if load is None:
        yield unknown(where, "no load was offered")
        return
    for trouble in load["troubles"]:
        yield unknown(where, trouble)
    if load["troubles"] and not load["phases"]:
        return  # they say why there are none
    for phase in phases:
        seen = load["phases"].get(phase)
        if seen is not None and seen["planned"] == 0 and phase in _MAY_BE_BRIEF:
            continue
        if seen is None or _made(seen) == 0:
            yield unknown(where, f"no request was made {_WORDS[phase]}")
    planned = sum(it["planned"] for it in load["phases"].values())
    offered = sum(it["on_time"] for it in load["phases"].values())
    if planned and 100 * offered / planned < OFFERED_PERCENT:
        text = f"only {offered} of {planned} planned requests began in time: at least "
        yield unknown(where, f"{text}{OFFERED_PERCENT:g} % are needed to judge any")


def limited_by_ingress(
    where: str, load: LoadFacts, limits: Mapping[str, float], phases: Collection[str] = ()
) -> Iterator[Finding]:
    """The words for 429 answers in some phases (in all, if none is named): they prove nothing.

    ``limits`` are the declared ones, in requests a minute from one address, by host.
    """
    cuts = [it for phase, it in load["phases"].items() if phase in phases or not phases]
    hosts: Counter[str] = Counter()
    for cut in cuts:
        hosts.update(cut.get("limited", {}))
    if not hosts:
        return
    waits = [wait for it in cuts if (wait := it.get("retry_after_s")) is not None]
    told = f"Retry-After up to {max(waits):g} s" if waits else ""
    words = limited({limits[host] for host in hosts if host in limits}, told)
    asked = names(sorted(hosts))
    made = sum(map(_made, cuts))
    yield unknown(where, f"{words}: {hosts.total()} of {made} requests, to {asked}")


def _made(cut: PhaseFacts) -> int:
    """How many requests ended: answered, failed or limited; older journals have no "limited"."""
    return cut["answered"] + cut["failed"] + sum(cut.get("limited", {}).values())


def failed_percent(load: LoadFacts) -> float:
    """The share of all requests that failed, in percent; a 429 does not count as failed."""
    made = sum(map(_made, load["phases"].values()))
    failed = sum(it["failed"] for it in load["phases"].values())
    return round(100 * failed / made, 3)


def failures(load: LoadFacts) -> str:
    """What failed in which phase, in words."""
    return "; ".join(
        f"{it['failed']} of {_made(it)} {_WORDS[phase]} ("
        + ", ".join(f"{kind}: {number}" for kind, number in sorted(it["errors"].items()))
        + ")"
        for phase, it in load["phases"].items()
        if it["failed"]
    )
