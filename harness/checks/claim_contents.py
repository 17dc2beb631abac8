"""W3-PVC: what is in claims: data, metadata, lines and small files that several machines share.

A reader is not asked about what its writer could not write: that is said once, of the writer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations
from typing import Any

from harness.checks.claim_answers import Answers, problem_of, seen_of
from harness.checks.findings import Finding, conclude, names, unknown
from harness.model import Case, Verdict

_LONG = 48


def _written(case: Case, phase: Answers, findings: list[Finding], what: str) -> list[str]:
    """The machines that wrote what they should; why others did not is added to the findings."""
    well = []
    for machine in case.cluster.machines:
        answer = phase.get(what, {}).get(machine.name, {})
        problem = problem_of(f"{machine.name} writes", answer)
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
        problem = problem_of(pair, answer)
        if problem is None:
            yield pair, answer["value"]
        else:
            findings.append(problem)


def read_unchanged(case: Case) -> Verdict:
    """Both when a file is new, and when blocks of one that others know are written anew."""
    seen, value = seen_of(case)
    findings: list[Finding] = []
    blocks = 0
    rounds: Answers = value.get("data", {})
    if value and not rounds:
        findings.append(unknown("claims", "no data was written"))
    for phase in rounds.values():
        blocks += written_and_read(case, phase, findings)
    return conclude(
        findings, seen, proven=f"{blocks} blocks were read as another machine wrote them"
    )


def written_and_read(case: Case, phase: Answers, findings: list[Finding]) -> int:
    """How many blocks were read as another machine wrote them; what was not is a finding."""
    blocks = 0
    writers = _written(case, phase, findings, "written")
    for pair, found in _read(case, phase, writers, findings, "read"):
        blocks += found["right"]
        findings += _blocks(pair, found)
    return blocks


def _blocks(pair: str, found: Answers) -> Iterator[Finding]:
    total = found["right"] + found["wrong"]
    if not total:
        yield unknown(pair, "no block was read")
    if found["wrong"]:
        text = f"expected {total} blocks as they were written, seen {found['wrong']} that are not"
        yield Finding(pair, f"{text}: {names(found['first'])}")


def metadata_survives(case: Case) -> Verdict:
    """Access lists only where the profile declares them: how CephFS is mounted decides."""
    seen, value = seen_of(case)
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
    seen, value = seen_of(case)
    phase: Answers = value.get("lines", {})
    findings: list[Finding] = []
    lines = 0
    machines = case.cluster.machines
    # Lines of a machine that could not append are missing everywhere: only that is told.
    whole = len(_written(case, phase, findings, "written")) == len(machines) if value else False
    for machine in machines if whole else ():
        answer = phase.get("read", {}).get(machine.name, {})
        problem = problem_of(machine.name, answer)
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
    seen, value = seen_of(case)
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


CHECKS = {
    "what one machine writes every other reads unchanged": read_unchanged,
    "metadata survives": metadata_survives,
    "appenders with locks lose nothing": appenders_lose_nothing,
    "many small files are whole": small_files_are_whole,
}
