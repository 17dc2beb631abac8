"""W3-PVC: claims are served in time, and what is written to one is kept, shared and limited.

What the file system refused is a failure; what could not be asked is not known. A reader is not
asked about what its writer could not write: that is said once, of the writer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations
from typing import Any, TypeAlias

from harness.checks.findings import Facts, Finding, conclude, looks, names, unknown, wanted
from harness.model import Case, Verdict

_PROBE = "claims"
_SHARED = "ReadWriteMany"
_MIB = 1 << 20
# A claim that says it is full before this share of its size is written is smaller than it says.
_FULL_FROM = 0.9
_LONG = 48

Answers: TypeAlias = Mapping[str, Any]


def _seen(case: Case) -> tuple[Facts, Answers]:
    seen = looks(case, _PROBE, [case.cluster.name])
    return seen, seen.values.get(case.cluster.name, {})


def _problem(where: str, answer: Answers) -> Finding | None:
    """Why an answer has no value: what was refused misbehaved, an error tells nothing."""
    if "refused" in answer:
        return Finding(where, f"expected it to be done, seen {answer['refused']}")
    return None if "value" in answer else unknown(where, str(answer.get("error", "nobody looked")))


def _written(case: Case, phase: Answers, findings: list[Finding], what: str) -> list[str]:
    """The machines that wrote what they should; why others did not is added to the findings."""
    well = []
    for machine in case.cluster.machines:
        answer = phase.get(what, {}).get(machine.name, {})
        problem = _problem(f"{machine.name} writes", answer)
        if problem is None:
            well.append(machine.name)
        else:
            findings.append(problem)
    return well


def _read(
    case: Case, phase: Answers, writers: Sequence[str], findings: list[Finding], what: str
) -> Iterator[tuple[str, Any]]:
    """What each machine read of each other that wrote, by ``A → B``."""
    for writer, reader in permutations([machine.name for machine in case.cluster.machines], 2):
        pair = f"{writer} → {reader}"
        answer = phase.get(what, {}).get(pair, {})
        if writer not in writers:
            continue
        problem = _problem(pair, answer)
        if problem is None:
            yield pair, answer["value"]
        else:
            findings.append(problem)


def class_as_declared(case: Case) -> Verdict:
    seen, value = _seen(case)
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
    seen, value = _seen(case)
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


def read_unchanged(case: Case) -> Verdict:
    """Both when a file is new, and when blocks of one that others know are written anew."""
    seen, value = _seen(case)
    findings: list[Finding] = []
    blocks = 0
    rounds: Answers = value.get("data", {})
    if value and not rounds:
        findings.append(unknown("claims", "no data was written"))
    for phase in rounds.values():
        writers = _written(case, phase, findings, "written")
        for pair, found in _read(case, phase, writers, findings, "read"):
            blocks += found["right"]
            findings += _blocks(pair, found)
    return conclude(
        findings, seen, proven=f"{blocks} blocks were read as another machine wrote them"
    )


def _blocks(pair: str, found: Answers) -> Iterator[Finding]:
    total = found["right"] + found["wrong"]
    if not total:
        yield unknown(pair, "no block was read")
    if found["wrong"]:
        text = f"expected {total} blocks as they were written, seen {found['wrong']} that are not"
        yield Finding(pair, f"{text}: {names(found['first'])}")


def metadata_survives(case: Case) -> Verdict:
    """Access lists only where the profile declares them: how CephFS is mounted decides."""
    seen, value = _seen(case)
    phase: Answers = value.get("metadata", {})
    lists = case.cluster.storage is not None and case.cluster.storage.access_lists
    findings: list[Finding] = []
    kinds: set[str] = set()
    writers = _written(case, phase, findings, "made") if value else []
    for machine in writers if lists else ():
        if refused := phase["made"][machine]["value"]["list_refused"]:
            text = f"expected an access list to be taken, seen {refused}"
            findings.append(Finding(f"{machine} writes", text))
    for pair, found in _read(case, phase, writers, findings, "seen") if value else ():
        made = phase["made"][pair.partition(" → ")[0]]["value"]["wanted"]
        judged = {kind: want for kind, want in made.items() if lists or kind != "access list"}
        kinds |= set(judged)
        findings += [
            Finding(pair, f"{kind}: expected {_short(want)}, seen {_short(found.get(kind))}")
            for kind, want in judged.items()
            if found.get(kind) != want
        ]
    if value and not kinds and not findings:
        findings.append(unknown("claims", "nothing was compared"))
    undeclared = "" if lists else " (access lists are not declared here)"
    return conclude(
        findings,
        seen,
        proven=f"{len(kinds)} kinds of metadata are the same on every machine{undeclared}",
    )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _LONG else f"{text[:_LONG]}…"


def appenders_lose_nothing(case: Case) -> Verdict:
    seen, value = _seen(case)
    phase: Answers = value.get("lines", {})
    findings: list[Finding] = []
    lines = 0
    machines = case.cluster.machines
    # Lines of a machine that could not append are missing everywhere: only that is told.
    whole = len(_written(case, phase, findings, "written")) == len(machines) if value else False
    for machine in machines if whole else ():
        answer = phase.get("read", {}).get(machine.name, {})
        problem = _problem(machine.name, answer)
        if problem is not None:
            findings.append(problem)
            continue
        found = answer["value"]
        lines = max(lines, found["right"])
        wrong = [f"{found[kind]} {kind}" for kind in ("lost", "twice", "torn") if found[kind]]
        if wrong:
            first = f" ({names(found['first'])})" if found["first"] else ""
            text = f"expected every line once and whole, seen {names(wrong)}{first}"
            findings.append(Finding(machine.name, text))
        elif not found["right"]:
            findings.append(unknown(machine.name, "no line was read"))
    return conclude(
        findings, seen, proven=f"{lines} lines that machines appended side by side are there once"
    )


def small_files_are_whole(case: Case) -> Verdict:
    seen, value = _seen(case)
    phase: Answers = value.get("small", {})
    findings: list[Finding] = []
    files: dict[str, int] = {}
    writers = _written(case, phase, findings, "written") if value else []
    for pair, found in _read(case, phase, writers, findings, "read") if value else ():
        files[pair.partition(" → ")[0]] = found["right"]
        if found["wrong"]:
            text = f"expected every file as it was written, seen {found['wrong']} that are not"
            findings.append(Finding(pair, f"{text}: {names(found['first'])}"))
        elif not found["right"]:
            findings.append(unknown(pair, "no file was read"))
    total = sum(files.values())
    return conclude(findings, seen, proven=f"{total} small files are whole on every machine")


def full_gives_edquot(case: Case) -> Verdict:
    """At its size, on whichever machine, and the size is the quota of the claim's own folder."""
    target = wanted(case, "overshoot_percent")
    seen, value = _seen(case)
    measured: dict[str, float] = {}
    findings: list[Finding] = []
    if value:
        full: Answers = value["full"]
        first, second = full.get("first", {}), full.get("second", {})
        problems = [_problem("a full claim", it) for it in (first, second)]
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
    seen, value = _seen(case)
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
        problem = _problem("a growing claim", grown["filled"])
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
    """The claim's volume goes, and Ceph's own count goes down by what had been written."""
    target = wanted(case, "give_back_s")
    limit = target["give_back_s"]
    seen, value = _seen(case)
    gone: Answers = value.get("deleted", {})
    findings: list[Finding] = []
    where = "a deleted claim"
    if "error" in gone:
        findings.append(unknown(where, gone["error"]))
    elif "left" in gone:
        text = f"expected its volume to be gone within {limit:g} s, seen it {gone['left']}"
        judged = Finding if gone["waited_s"] >= limit else unknown
        findings.append(judged(where, f"{text} after {gone['waited_s']:g} s"))
    elif gone:
        findings += _given_back(gone, limit, where)
    elif value:
        findings.append(unknown(where, "none was deleted"))
    back = not findings and "given_back_after_s" in gone
    return conclude(
        findings,
        seen,
        proven=f"deleting a claim of {gone.get('filled', 0) / _MIB:.0f} MiB gave the space back",
        measured={"give_back_s": gone["given_back_after_s"]} if back else {},
        target=target,
    )


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
    "what one machine writes every other reads unchanged": read_unchanged,
    "metadata survives": metadata_survives,
    "appenders with locks lose nothing": appenders_lose_nothing,
    "many small files are whole": small_files_are_whole,
    "a full claim gives EDQUOT": full_gives_edquot,
    "a claim grows while it is in use": grows_in_use,
    "a deleted claim gives its space back": space_comes_back,
}
