"""W3-PVC: claims are served in time, as declared, limited, grown, and taken back.

What the file system refused is a failure; what could not be asked is not known.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from harness.checks.claim_answers import Answers, problem_of, seen_of
from harness.checks.findings import Finding, conclude, names, unknown, wanted
from harness.model import Case, Verdict

_SHARED = "ReadWriteMany"
_MIB = 1 << 20
# A claim that says it is full before this share of its size is written is smaller than it says.
_FULL_FROM = 0.9


def class_as_declared(case: Case) -> Verdict:
    seen, value = seen_of(case)
    declared = case.cluster.storage
    findings: list[Finding] = []
    if declared is None:
        findings.append(unknown("the profile", "it declares no StorageClass (storage)"))
    elif value:
        where = f"StorageClass {declared.name}"
        answer = value["class"]
        found = answer.get("value")
        if "error" in answer:
            findings.append(unknown(where, answer["error"]))
        elif found is None:
            findings.append(Finding(where, "expected it, seen no such class"))
        else:
            parts: list[tuple[str, Any, Any]] = [
                ("provisioner", declared.provisioner, found["provisioner"]),
                ("reclaimPolicy", declared.reclaim_policy, found["reclaim_policy"]),
                ("allowVolumeExpansion", True, found["expands"]),
            ]
            keys = sorted({*declared.parameters, *found["parameters"]})
            parts += [(k, declared.parameters.get(k), found["parameters"].get(k)) for k in keys]
            findings += [
                Finding(where, f"expected {key} {_said(want)}, seen {_said(has)}")
                for key, want, has in parts
                if want != has
            ]
    return conclude(findings, seen, proven="the StorageClass is the declared one")


def _said(value: Any) -> str:
    return "none" if value is None else str(value).lower() if value in (True, False) else str(value)


def bound_in_time(case: Case) -> Verdict:
    """Claims that every machine may mount, all asked for at once."""
    target = wanted(case, "bind_s")
    limit = target["bind_s"]
    seen, value = seen_of(case)
    claims: Answers = value.get("bound", {})
    findings = []
    if value and not claims:
        findings.append(unknown("claims", "none was asked for"))
    for name, claim in claims.items():
        where = f"claim {name}"
        modes = claim.get("modes")
        if modes is not None and _SHARED not in modes:
            text = f"expected a volume that is {_SHARED}, seen one that is {names(modes)}"
            findings.append(Finding(where, text))
        elif "error" in claim:
            findings.append(unknown(where, claim["error"]))
        elif "said" in claim and claim["waited_s"] < limit:
            findings.append(unknown(where, f"it was not waited for {limit:g} s"))
        elif "said" in claim:
            text = f"expected it bound within {limit:g} s, seen that it is not after"
            findings.append(
                Finding(where, f"{text} {claim['waited_s']:g} s (said of it: {claim['said']})")
            )
        elif modes is None:
            findings.append(unknown(where, "it is bound, and its volume was not seen"))
        elif claim["after_s"] > limit:
            text = f"expected it bound within {limit:g} s, seen {claim['after_s']:g} s"
            findings.append(Finding(where, text))
    took = sorted(claim["after_s"] for claim in claims.values() if "after_s" in claim)
    return conclude(
        findings,
        seen,
        proven=f"{len(took)} claims, asked for at once, were bound in time",
        measured=_spread(took),
        target=target,
    )


def _spread(took: Sequence[float]) -> dict[str, float]:
    """The slowest, and p50 and p95 by nearest rank."""
    if not took:
        return {}
    ranks = {f"bind_p{p}_s": took[math.ceil(p / 100 * len(took)) - 1] for p in (50, 95)}
    return {"bind_s": took[-1], **ranks}


def full_gives_edquot(case: Case) -> Verdict:
    """At its size, on whichever machine, and the size is the quota of the claim's own folder."""
    target = wanted(case, "overshoot_percent")
    seen, value = seen_of(case)
    measured: dict[str, float] = {}
    findings: list[Finding] = []
    if value:
        full: Answers = value["full"]
        first, second = full.get("first", {}), full.get("second", {})
        problems = [problem_of("a full claim", it) for it in (first, second)]
        findings += [problem for problem in problems if problem is not None]
        if not findings:
            size, one, two = full["size"], first["value"], second["value"]
            findings += _quota(one["quota"], size)
            findings += _stopped(one, one["bytes"], size)
            if not findings and two["ended"] != "EDQUOT":
                text = f"expected EDQUOT for a second machine too, seen {_end(two)}"
                findings.append(Finding("a full claim", text))
            past = _past(one["bytes"] + two["bytes"], size)
            measured = {"overshoot_percent": past}
            if not findings and past > target["overshoot_percent"]:
                findings.append(_too_far(past, target["overshoot_percent"]))
    return conclude(
        findings,
        seen,
        proven="a full claim gives EDQUOT on every machine that writes to it",
        measured=measured,
        target=target,
    )


def _quota(quota: Any, size: int) -> Iterator[Finding]:
    if quota != size:
        seen = quota if isinstance(quota, str) else f"{quota} bytes"
        text = f"expected the quota of its own folder (ceph.quota.max_bytes) to be {size} bytes"
        yield Finding("a full claim", f"{text}, seen {seen}")


def _stopped(filled: Answers, written: int, size: int) -> Iterator[Finding]:
    mib = f"{written / _MIB:.0f} MiB of {size / _MIB:.0f}"
    if filled["ended"] != "EDQUOT":
        yield Finding("a full claim", f"expected EDQUOT, seen {_end(filled)} after {mib}")
    elif written < _FULL_FROM * size:
        yield Finding("a full claim", f"expected EDQUOT when it is full, seen it after {mib}")


def _end(filled: Answers) -> str:
    return filled["ended"] or "no end"


def _past(written: int, size: int) -> float:
    return round(max(0.0, 100 * (written - size) / size), 1)


def _too_far(past: float, limit: float) -> Finding:
    text = f"expected at most {limit:g} % past its size, seen {past:g} % more written"
    return Finding("a full claim", text)


def grows_in_use(case: Case) -> Verdict:
    target = wanted(case, "grow_s")
    limit = target["grow_s"]
    seen, value = seen_of(case)
    grown: Answers = value.get("grown", {})
    findings: list[Finding] = []
    if "error" in grown:
        findings.append(unknown("a growing claim", grown["error"]))
    elif "said" in grown and grown["waited_s"] < limit:
        findings.append(unknown("a growing claim", f"it was not waited for {limit:g} s"))
    elif "said" in grown:
        text = f"expected it to have grown within {limit:g} s, seen that it has not after"
        said = f"{grown['waited_s']:g} s (said of it: {grown['said']})"
        findings.append(Finding("a growing claim", f"{text} {said}"))
    elif grown:
        if grown["after_s"] > limit:
            text = f"expected it to have grown within {limit:g} s, seen {grown['after_s']:g} s"
            findings.append(Finding("a growing claim", text))
        problem = problem_of("a growing claim", grown["filled"])
        if problem is not None:
            findings.append(problem)
        else:
            filled = grown["filled"]["value"]
            findings += _quota(filled["quota"], grown["size"])
            findings += _stopped(filled, filled["bytes"], grown["size"])
    elif value:
        findings.append(unknown("a growing claim", "none was asked to grow"))
    return conclude(
        findings,
        seen,
        proven="a claim grew while it was mounted, and took as much more",
        measured={"grow_s": grown["after_s"]} if "after_s" in grown else {},
        target=target,
    )


def space_comes_back(case: Case) -> Verdict:
    """The claim's volume goes, and Ceph's own count goes down by what had been written.

    Of a class that is declared to keep volumes (Retain) the volume stays until it is made to go.
    """
    target = wanted(case, "give_back_s")
    limit = target["give_back_s"]
    seen, value = seen_of(case)
    gone: Answers = value.get("deleted", {})
    declared = case.cluster.storage
    keeps = declared is not None and declared.reclaim_policy == "Retain"
    findings: list[Finding] = []
    where = "a deleted claim"
    if "error" in gone:
        findings.append(unknown(where, gone["error"]))
    elif keeps and gone:
        findings += _kept(gone, limit, where)
    elif "left" in gone:
        text = f"expected its volume to be gone within {limit:g} s, seen it {gone['left']}"
        judged = Finding if gone["waited_s"] >= limit else unknown
        findings.append(judged(where, f"{text} after {gone['waited_s']:g} s"))
    elif gone:
        findings += _given_back(gone, limit, where)
    elif value:
        findings.append(unknown(where, "none was deleted"))
    back = not findings and "given_back_after_s" in gone
    size = f"{gone.get('filled', 0) / _MIB:.0f} MiB"
    proven = f"deleting a claim of {size} gave the space back"
    if keeps:
        proven = f"the volume of a deleted claim stays, as declared (Retain), {_then(gone, size)}"
    return conclude(
        findings,
        seen,
        proven=proven,
        measured={"give_back_s": gone["given_back_after_s"]} if back else {},
        target=target,
    )


def _kept(gone: Answers, limit: float, where: str) -> Iterator[Finding]:
    """It must be Released and kept; what became of it once it was made to go."""
    kept = gone.get("kept", gone.get("left"))
    if kept is None or not kept.startswith("Released, reclaim policy Retain"):
        text = "expected its volume Released and kept (Retain), as declared"
        yield Finding(where, f"{text}, seen it {kept or 'gone'}")
    elif "given_back_after_s" in gone:
        yield from _given_back(gone, limit, where)


def _then(gone: Answers, size: str) -> str:
    if "given_back_after_s" in gone:
        return f"and gives {size} back once its policy is Delete"
    return f"and the harness could not remove it: {gone.get('left')}"


def _given_back(gone: Answers, limit: float, where: str) -> Iterator[Finding]:
    filled, came = gone["filled"], gone["full"] - gone["before"]
    went = gone["full"] - gone["after"]
    if came < filled / 2:
        text = f"Ceph counted {came / _MIB:.0f} MiB more for {filled / _MIB:.0f} MiB that were"
        yield unknown(where, f"{text} written: its count shows nothing")
    elif went < filled / 2:
        text = f"expected {filled / _MIB:.0f} MiB to be free again, seen {went / _MIB:.0f} MiB"
        judged = Finding if gone["given_back_after_s"] >= limit else unknown
        yield judged(where, f"{text} after {gone['given_back_after_s']:g} s")
    elif gone["given_back_after_s"] > limit:
        text = f"expected the space within {limit:g} s, seen {gone['given_back_after_s']:g} s"
        yield Finding(where, text)


CHECKS = {
    "the storage class is as declared": class_as_declared,
    "claims are bound in time": bound_in_time,
    "a full claim gives EDQUOT": full_gives_edquot,
    "a claim grows while it is in use": grows_in_use,
    "a deleted claim gives its space back": space_comes_back,
}
