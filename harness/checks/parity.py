"""W7-PARITY: the new platform answers the same requests as the old one did."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from statistics import median

from harness.checks.findings import (
    Finding,
    Seen,
    conclude,
    failed,
    limited,
    look,
    names,
    not_removed,
    unknown,
    wanted,
)
from harness.core.declared_platform import ParityRule
from harness.core.model import Case, Verdict
from harness.facts.edge import TOO_MANY
from harness.facts.parity import PARITY, WRITES, Compared, Difference, Parity
from harness.facts.schema import Item, Unknown

_NOT_ASKED = Unknown("it was not sent")
# An ingress says so where no service answered it (RFC 9110, 15.6.3 to 15.6.5).
_NOT_SERVED = (502, 503, 504)
# A rule never hides these.
_WHOLE = ("status", "answer")


def same_answers(case: Case) -> Verdict:
    """Each request has the same answer, but for what a declared rule names.

    The old platform is asked twice. Where its own two answers differ, a difference to the new one
    proves nothing, and a rule has to say that it may be there. Without a rule that is NOT PROVEN.
    So is a request that the old platform's ingress did not bring to a service.
    """
    seen = look(case, PARITY)
    return _same(case, seen, case.cluster.parity_requests, "requests")


def same_answers_to_writes(case: Case) -> Verdict:
    """Each request that writes, sent once to each side, has the same answer but for the rules."""
    seen = look(case, WRITES)
    requests = Seen({at: it.requests for at, it in seen.values.items()}, seen.unseen)
    return _same(case, requests, case.cluster.parity_writes, "requests that write")


def removed_again(case: Case) -> Verdict:
    """What the requests made is removed by the declared requests, on both sides."""
    seen = look(case, WRITES)
    findings = [
        it for found in seen.values.values() for it in not_removed("its writes", found.left)
    ]
    return conclude(findings, seen, proven="what the requests made is removed again")


def _same(case: Case, seen: Seen[Parity], requests: Sequence[str], what: str) -> Verdict:
    key = "differing_count"
    target = wanted(case, key)
    rules = case.cluster.parity_rules
    hidden: Counter[ParityRule] = Counter()
    found = [(name, it.get(name, _NOT_ASKED)) for it in seen.values.values() for name in requests]
    findings = [it for name, item in found for it in _of_request(name, item, rules, hidden)]
    if not requests:
        findings.append(unknown("the profile", f"it declares no {what} (parity)"))
    answered = [it.value for _, it in found if not isinstance(it, Unknown)]
    told = [f"{hidden[it]} at {it.at} ({it.because})" for it in rules if hidden[it]]
    unused = [it.at for it in rules if not hidden[it]]
    but = f"; hidden by rules: {names(told)}" if told else ""
    but += f"; rules without use: {names(unused)}" if unused else ""
    return conclude(
        findings,
        seen,
        proven=f"{len(requests)} {what} have the same answers{but}",
        measured={key: failed(findings), **_times(answered)} if seen.values else {},
        target=target,
    )


def _times(answered: Sequence[Compared]) -> dict[str, float]:
    """The median times of both platforms, in milliseconds."""
    both = [(it.old_ms, it.new_ms) for it in answered if it.new_ms is not None]
    if not both:
        return {}
    return {
        "old_p50_ms": median(old for old, _ in both),
        "new_p50_ms": median(new for _, new in both),
    }


def _of_request(
    name: str, item: Item[Compared], rules: Sequence[ParityRule], hidden: Counter[ParityRule]
) -> Iterator[Finding]:
    if isinstance(item, Unknown):
        yield unknown(name, f"the old platform: {item.error}")
        return
    compared = item.value
    if TOO_MANY in compared.statuses:
        yield unknown(name, limited())
        return
    if (status := compared.statuses[0]) in _NOT_SERVED:
        says = f"expected an answer of its service to compare with, seen status {status}"
        yield unknown(name, f"the old platform: {says}")
        return
    noisy = {it.at for it in compared.noise if not _hiding(name, it, rules, Counter())}
    for place in sorted(noisy):
        yield unknown(name, f"two answers of the old platform differ at {place}: no rule names it")
    for it in compared.differences:
        if not _hiding(name, it, rules, hidden) and it.at not in noisy:
            yield Finding(
                name, f"{it.at}: expected {it.old} as on the old platform, seen {it.other}"
            )


def _hiding(
    name: str, it: Difference, rules: Sequence[ParityRule], hidden: Counter[ParityRule]
) -> bool:
    """Whether a rule names the difference; the first that does is counted."""
    for rule in rules:
        if _names(rule, name, it):
            hidden[rule] += 1
            return True
    return False


def _names(rule: ParityRule, name: str, it: Difference) -> bool:
    if it.at in _WHOLE or not fnmatchcase(name, rule.requests) or not fnmatchcase(it.at, rule.at):
        return False
    if rule.text is None:
        return True
    return re.sub(rule.text, "", it.old) == re.sub(rule.text, "", it.other)


CHECKS = {
    "both platforms give the same answers": same_answers,
    "both platforms give the same answers to writes": same_answers_to_writes,
    "what the requests made is removed again": removed_again,
}
