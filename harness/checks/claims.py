"""W3-PVC: claims are bound in time, as declared, with a quota; they grow, and give space back.

A refusal by the file system is a failure; a question that could not be asked is unknown.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TypeVar

from harness.checks.findings import Finding, Seen, conclude, look, names, unknown, wanted
from harness.core.declared import StorageClass
from harness.core.model import Case, Verdict
from harness.facts.claims import (
    CLAIMS,
    Answer,
    Bound,
    Claim,
    Claims,
    Deletion,
    Filled,
    Full,
    GivenBack,
    Grown,
    GrowthUnknown,
    Left,
    NotGrown,
    NotTried,
    Unasked,
    Waiting,
    WriteRefused,
)
from harness.facts.claims import StorageClass as Found
from harness.facts.schema import Known, Unknown

T = TypeVar("T")

_SHARED = "ReadWriteMany"
_MIB = 1 << 20
# A claim that is full before this share of its size is written is smaller than declared.
_FULL_FROM = 0.9


def seen_of(case: Case) -> Seen[Claims]:
    """The look at claims."""
    return look(case, CLAIMS)


def problem_of(where: str, answer: Answer[T] | None) -> Finding | None:
    """Why an answer has no value: a refusal is a failure, an error proves nothing."""
    if answer is None:
        return unknown(where, "it was not looked at")
    if isinstance(answer, WriteRefused):
        return Finding(where, f"expected it to be done, seen {answer.refused}")
    return unknown(where, answer.error) if isinstance(answer, Unknown) else None


def class_as_declared(case: Case) -> Verdict:
    seen = seen_of(case)
    declared = case.cluster.storage
    findings: list[Finding] = []
    if declared is None:
        findings.append(unknown("the profile", "it declares no StorageClass (storage)"))
    elif seen.only is not None:
        where, found = f"StorageClass {declared.name}", seen.only.storage_class
        if isinstance(found, Unknown):
            findings.append(unknown(where, found.error))
        elif found.value is None:
            findings.append(Finding(where, "expected it, seen no such class"))
        else:
            findings += [
                Finding(where, f"expected {key} {_said(want)}, seen {_said(has)}")
                for key, want, has in _parts(declared, found.value)
                if want != has
            ]
    return conclude(findings, seen, proven="the StorageClass is the declared one")


def _parts(
    declared: StorageClass, found: Found
) -> Iterator[tuple[str, str | bool | None, str | bool | None]]:
    yield "provisioner", declared.provisioner, found.provisioner
    yield "reclaimPolicy", declared.reclaim_policy, found.reclaim_policy
    yield "allowVolumeExpansion", True, found.expands
    for key in sorted({*declared.parameters, *found.parameters}):
        yield key, declared.parameters.get(key), found.parameters.get(key)


def _said(value: str | bool | None) -> str:
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else value


def bound_in_time(case: Case) -> Verdict:
    """Claims that every machine may mount, all asked for at once."""
    target = wanted(case, "bind_s")
    seen = seen_of(case)
    claims = seen.only.bound if seen.only is not None else {}
    findings = [
        finding
        for name, claim in claims.items()
        for finding in _bound(f"claim {name}", claim, target["bind_s"])
    ]
    if seen.values and not claims:
        findings.append(unknown("claims", "none was asked for"))
    took_s = sorted(claim.after_s for claim in claims.values() if isinstance(claim, Bound))
    return conclude(
        findings,
        seen,
        proven=f"{len(took_s)} claims, asked for at once, were bound in time",
        measured=_spread(took_s),
        target=target,
    )


def _bound(where: str, claim: Claim, limit_s: float) -> Iterator[Finding]:
    if claim.modes is not None and _SHARED not in claim.modes:
        text = f"expected a volume that is {_SHARED}, seen one that is {names(claim.modes)}"
        yield Finding(where, text)
    elif isinstance(claim, Unasked):
        yield unknown(where, claim.error)
    elif isinstance(claim, Waiting) and claim.waited_s < limit_s:
        yield unknown(where, f"it was not waited for {limit_s:g} s")
    elif isinstance(claim, Waiting):
        text = f"expected it bound within {limit_s:g} s, seen that it is not after"
        yield Finding(where, f"{text} {claim.waited_s:g} s (said of it: {claim.said})")
    elif claim.modes is None:
        yield unknown(where, "it is bound, and its volume was not seen")
    elif claim.after_s > limit_s:
        text = f"expected it bound within {limit_s:g} s, seen {claim.after_s:g} s"
        yield Finding(where, text)


def _spread(took: Sequence[float]) -> dict[str, float]:
    """The maximum, and p50 and p95 by nearest rank."""
    if not took:
        return {}
    ranks = {f"bind_p{p}_s": took[math.ceil(p / 100 * len(took)) - 1] for p in (50, 95)}
    return {"bind_s": took[-1], **ranks}


def full_gives_edquot(case: Case) -> Verdict:
    """A claim is full at its size, on every machine; its size is the quota of its own folder."""
    key = "overshoot_percent"
    target = wanted(case, key)
    seen = seen_of(case)
    measured: dict[str, float] = {}
    findings: list[Finding] = []
    if seen.only is not None:
        full = seen.only.full
        problems = [problem_of("a full claim", it) for it in (full.first, full.second)]
        findings += [problem for problem in problems if problem is not None]
        if isinstance(full.first, Known) and isinstance(full.second, Known):
            one, two = full.first.value, full.second.value
            measured = {key: _past(one.bytes + two.bytes, full.size)}
            findings += _edquot(full, one, two)
            if not findings and measured[key] > target[key]:
                findings.append(_too_far(measured[key], target[key]))
    return conclude(
        findings,
        seen,
        proven="a full claim gives EDQUOT on every machine that writes to it",
        measured=measured,
        target=target,
    )


def _edquot(full: Full, one: Filled, two: Filled) -> list[Finding]:
    first = [*_quota(one.quota, full.size), *_stopped(one, full.size)]
    if first or two.ended == "EDQUOT":
        return first
    text = f"expected EDQUOT for a second machine too, seen {_end(two)}"
    return [Finding("a full claim", text)]


def _quota(quota: int | str, size: int) -> Iterator[Finding]:
    if quota != size:
        seen = quota if isinstance(quota, str) else f"{quota} bytes"
        text = f"expected the quota of its own folder (ceph.quota.max_bytes) to be {size} bytes"
        yield Finding("a full claim", f"{text}, seen {seen}")


def _stopped(filled: Filled, size: int) -> Iterator[Finding]:
    mib = f"{filled.bytes / _MIB:.0f} MiB of {size / _MIB:.0f}"
    if filled.ended != "EDQUOT":
        yield Finding("a full claim", f"expected EDQUOT, seen {_end(filled)} after {mib}")
    elif filled.bytes < _FULL_FROM * size:
        yield Finding("a full claim", f"expected EDQUOT when it is full, seen it after {mib}")


def _end(filled: Filled) -> str:
    return filled.ended or "no end"


def _past(written: int, size: int) -> float:
    return round(max(0.0, 100 * (written - size) / size), 1)


def _too_far(past: float, limit: float) -> Finding:
    text = f"expected at most {limit:g} % past its size, seen {past:g} % more written"
    return Finding("a full claim", text)


def grows_in_use(case: Case) -> Verdict:
    target = wanted(case, "grow_s")
    limit_s = target["grow_s"]
    where = "a growing claim"
    seen = seen_of(case)
    grown = seen.only.grown if seen.only is not None else None
    findings: list[Finding] = []
    if isinstance(grown, GrowthUnknown):
        findings.append(unknown(where, grown.error))
    elif isinstance(grown, NotGrown) and grown.waited_s < limit_s:
        findings.append(unknown(where, f"it was not waited for {limit_s:g} s"))
    elif isinstance(grown, NotGrown):
        text = f"expected it to have grown within {limit_s:g} s, seen that it has not after"
        findings.append(Finding(where, f"{text} {grown.waited_s:g} s (said of it: {grown.said})"))
    elif isinstance(grown, Grown):
        findings += _grown(where, grown, limit_s)
    elif grown is not None:
        findings.append(unknown(where, "none was asked to grow"))
    return conclude(
        findings,
        seen,
        proven="a claim grew while it was mounted, and took as much more",
        measured={"grow_s": grown.after_s} if isinstance(grown, Grown) else {},
        target=target,
    )


def _grown(where: str, grown: Grown, limit_s: float) -> Iterator[Finding]:
    if grown.after_s > limit_s:
        text = f"expected it to have grown within {limit_s:g} s, seen {grown.after_s:g} s"
        yield Finding(where, text)
    problem = problem_of(where, grown.filled)
    if problem is not None:
        yield problem
    elif isinstance(grown.filled, Known):
        filled = grown.filled.value
        yield from _quota(filled.quota, grown.size)
        yield from _stopped(filled, grown.size)


def space_comes_back(case: Case) -> Verdict:
    """The claim's volume is removed, and Ceph's own count falls by the amount written.

    If the class is declared to keep volumes (Retain), the volume stays until the harness sets its
    policy to Delete.
    """
    target = wanted(case, "give_back_s")
    seen = seen_of(case)
    gone = seen.only.deleted if seen.only is not None else NotTried()
    declared = case.cluster.storage
    keeps = declared is not None and declared.reclaim_policy == "Retain"
    findings = [*_deleted(gone, target["give_back_s"], keeps=keeps)] if seen.values else []
    measured: dict[str, float] = {}
    if isinstance(gone, GivenBack) and not findings:
        measured = {"give_back_s": gone.given_back_after_s}
    return conclude(
        findings,
        seen,
        proven=_returned(gone, keeps=keeps),
        measured=measured,
        target=target,
    )


def _deleted(gone: Deletion, limit_s: float, *, keeps: bool) -> Iterator[Finding]:
    where = "a deleted claim"
    if isinstance(gone, Unknown):
        yield unknown(where, gone.error)
    elif isinstance(gone, NotTried):
        yield unknown(where, "none was deleted")
    elif keeps:
        yield from _kept(gone, limit_s, where)
    elif isinstance(gone, Left):
        text = f"expected its volume to be gone within {limit_s:g} s, seen it {gone.left}"
        judged = Finding if gone.waited_s >= limit_s else unknown
        yield judged(where, f"{text} after {gone.waited_s:g} s")
    else:
        yield from _given_back(gone, limit_s, where)


def _kept(gone: Left | GivenBack, limit_s: float, where: str) -> Iterator[Finding]:
    """The volume must be Released and kept, and go once its policy is Delete."""
    kept = gone.kept or (gone.left if isinstance(gone, Left) else None)
    if kept is None or not kept.startswith("Released, reclaim policy Retain"):
        text = "expected its volume Released and kept (Retain), as declared"
        yield Finding(where, f"{text}, seen it {kept or 'gone'}")
    elif isinstance(gone, GivenBack):
        yield from _given_back(gone, limit_s, where)


def _returned(gone: Deletion, *, keeps: bool) -> str:
    """The sentence of a pass."""
    if not isinstance(gone, Left | GivenBack):
        return ""
    size = f"{gone.filled / _MIB:.0f} MiB"
    if not keeps:
        return f"deleting a claim of {size} gave the space back"
    then = (
        f"and gives {size} back once its policy is Delete"
        if isinstance(gone, GivenBack)
        else f"and the harness could not remove it: {gone.left}"
    )
    return f"the volume of a deleted claim stays, as declared (Retain), {then}"


def _given_back(gone: GivenBack, limit_s: float, where: str) -> Iterator[Finding]:
    filled, came, went = gone.filled, gone.full - gone.before, gone.full - gone.after
    after_s = gone.given_back_after_s
    if came < filled / 2:
        text = f"Ceph counted {came / _MIB:.0f} MiB more for {filled / _MIB:.0f} MiB that were"
        yield unknown(where, f"{text} written: its count shows nothing")
    elif went < filled / 2:
        text = f"expected {filled / _MIB:.0f} MiB to be free again, seen {went / _MIB:.0f} MiB"
        judged = Finding if after_s >= limit_s else unknown
        yield judged(where, f"{text} after {after_s:g} s")
    elif after_s > limit_s:
        text = f"expected the space within {limit_s:g} s, seen {after_s:g} s"
        yield Finding(where, text)


CHECKS = {
    "the storage class is as declared": class_as_declared,
    "claims are bound in time": bound_in_time,
    "a full claim gives EDQUOT": full_gives_edquot,
    "a claim grows while it is in use": grows_in_use,
    "a deleted claim gives its space back": space_comes_back,
}
