"""What clients got: their acknowledged writes (a ledger) and their answers (a load).

W5-DURABLE, W9-DRILLS: acknowledged writes stay, and writing goes on after a fault. Each observation
is the tally (``harness.ledger.result``) of one kind of writer. A tally without any acknowledged
write, or without any since the fault, proves nothing.

W9-DRILLS, W9-SOAK: requests were answered, if they were made as planned. The value is that of a
load beside a drill or a soak (``harness.drill.traffic``). If less than 99 % of the requests began
as planned, the load generator was too busy and the load proves nothing about the platform. A 429 is
the ingress's limit for the one address that all visitors share here. It is no failure, and no proof
that customers are served.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from harness.checks.findings import Finding, Seen, conclude, limited, looks, names, unknown, wanted
from harness.core.model import Case, Verdict
from harness.facts.drills import LEDGER, LoadFacts, PhaseFacts, TallyFacts

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
# Longer than any writer pauses between two writes. If a gap was still open when writing stopped,
# its full length is unknown.
_OPEN_S = 10.0
# The numbers that are summed over the kinds of writers.
_Number: TypeAlias = Literal["ok", "found", "lost", "duplicated", "phantom"]


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


@dataclass(frozen=True, slots=True)
class _Seen:
    """The tallies by kind of writer, and what is not known."""

    facts: Seen[TallyFacts]
    gaps: tuple[Finding, ...]

    @property
    def tallies(self) -> Mapping[str, TallyFacts]:
        return self.facts.values

    def sum(self, key: _Number) -> float:
        return float(sum(tally[key] for tally in self.tallies.values()))

    def measured(self, **keys: _Number) -> dict[str, float]:
        """Sums of the tallies' numbers, under their names in a report."""
        return {name: self.sum(key) for name, key in keys.items()} if self.tallies else {}


def _seen(case: Case) -> _Seen:
    observed = case.of(LEDGER.name)
    kept: dict[str, None] = dict.fromkeys(observed)
    for tally in looks(case, LEDGER, observed).values.values():
        kept |= dict.fromkeys(tally.get("kept", ()))
    facts = looks(case, LEDGER, kept)
    gaps = [unknown(where, why) for where, tally in facts.values.items() for why in _unknown(tally)]
    return _Seen(facts, tuple(gaps))


def _mute(tally: TallyFacts) -> str:
    """Why a tally proves nothing; empty if it can."""
    if tally["ok"] == 0:
        return f"not one of {tally['invoked']} writes was acknowledged"
    if tally["ok_after_fault"] == 0:
        return "not one write was acknowledged after the fault"
    return ""


def _unknown(tally: TallyFacts) -> Iterator[str]:
    if why := _mute(tally):
        yield why
    yield from tally["troubles"]


def _unread(seen: _Seen) -> Iterator[Finding]:
    for where, tally in seen.tallies.items():
        if tally["unread"]:
            yield unknown(where, tally["unread"])


def _examples(tally: TallyFacts, what: str) -> str:
    return "; ".join(tally["examples"].get(what, ()))


def nothing_lost(case: Case) -> Verdict:
    """No acknowledged write is lost at the end, and every reader saw all of them throughout."""
    target = wanted(case, "lost_count")
    seen = _seen(case)
    findings = [*seen.gaps, *_unread(seen)]
    for where, tally in seen.tallies.items():
        of = f"of {tally['ok']} acknowledged writes"
        if tally["lost"]:
            text = f"expected all {of}, seen {tally['lost']} lost ({_examples(tally, 'lost')})"
            findings.append(Finding(where, text))
        if tally["stale"]:
            text = f"expected all {of} in every read, seen {tally['stale']} missed by a read"
            findings.append(Finding(where, f"{text} ({_examples(tally, 'stale')})"))
    return conclude(
        findings,
        seen.facts,
        proven=f"all {seen.sum('ok'):.0f} acknowledged writes are there",
        measured=seen.measured(lost_count="lost", acknowledged_count="ok")
        | {"rpo_s": max((it["rpo_s"] for it in seen.tallies.values()), default=0.0)},
        target=target,
    )


def nothing_invented(case: Case) -> Verdict:
    target = wanted(case, "duplicated_count", "invented_count")
    seen = _seen(case)
    findings = [*seen.gaps, *_unread(seen)]
    for where, tally in seen.tallies.items():
        for number, what, words in (
            (tally["duplicated"], "duplicated", "there twice"),
            (tally["phantom"], "phantom", "that no writer made"),
        ):
            if number:
                text = f"expected each write once, seen {number} {words}"
                findings.append(Finding(where, f"{text} ({_examples(tally, what)})"))
    return conclude(
        findings,
        seen.facts,
        proven=f"each of {seen.sum('found'):.0f} writes is there once, and was made",
        measured=seen.measured(duplicated_count="duplicated", invented_count="phantom"),
        target=target,
    )


def went_on_in_time(case: Case) -> Verdict:
    """Judges the longest write gap since the fault or, without a fault, of the whole time."""
    target = wanted(case, "outage_s")
    limit = target["outage_s"]
    seen = _seen(case)
    findings = list(seen.gaps)
    outages: dict[str, float] = {}
    for where, tally in seen.tallies.items():
        if _mute(tally):
            continue
        outage = tally["gap_s"] if tally["outage_s"] is None else tally["outage_s"]
        outages[where] = outage
        if outage > limit:
            text = f"expected writing to go on within {limit:g} s, seen {outage:.1f} s without it"
            findings.append(Finding(where, text + (", up to the end" * tally["gap_open"])))
        elif tally["gap_open"] and outage > _OPEN_S:
            text = f"nothing was acknowledged in the last {outage:.1f} s: its length is unknown"
            findings.append(unknown(where, text))
    measured = {"outage_s": round(max(outages.values()), 3)} if outages else {}
    return conclude(
        findings,
        seen.facts,
        proven=f"no writer waited longer than {limit:g} s for an acknowledgement",
        measured=measured,
        target=target,
    )


def total_constant(case: Case) -> Verdict:
    """Transfers move money between accounts. The total stays constant."""
    seen = _seen(case)
    findings = list(seen.gaps)
    banks = {where: it for where, it in seen.tallies.items() if it["due"] is not None}
    for where, tally in banks.items():
        if tally["wrong_totals"]:
            text = f"expected {tally['due']} in each of {tally['totals']} looks, seen another total"
            text += f" in {tally['wrong_totals']} ({_examples(tally, 'wrong totals')})"
            findings.append(Finding(where, text))
        elif not tally["totals"]:
            findings.append(unknown(where, "the bank's total was never counted"))
    if seen.tallies and not banks:
        findings.append(unknown("the ledger", "no bank was kept"))
    return conclude(
        findings,
        seen.facts,
        proven="the bank had its total at every look",
        measured={"looks_count": float(sum(it["totals"] for it in banks.values()))},
    )


CHECKS = {
    "no acknowledged write is lost": nothing_lost,
    "no write is there twice or was never made": nothing_invented,
    "writing went on again in time": went_on_in_time,
    "the bank's total never changed": total_constant,
}
