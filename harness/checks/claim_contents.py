"""W3-PVC: contents of claims: data, metadata, lines and small files that several machines share.

If a writer could not write, the check reports that once, for the writer, and asks no reader.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import permutations
from typing import TypeVar

from harness.checks.claims import problem_of, seen_of
from harness.checks.findings import Finding, conclude, names, unknown
from harness.core.model import Case, Verdict
from harness.facts.claims import Answer, Compared, Exchange, Lines, Metadata, Wrote
from harness.facts.schema import Known

T = TypeVar("T")

_LONG = 48


def _written(case: Case, answers: Mapping[str, Answer[T]], findings: list[Finding]) -> dict[str, T]:
    """What each machine wrote; for a machine that could not, the reason goes into the findings."""
    well = {}
    for machine in case.cluster.machines:
        answer = answers.get(machine.name)
        problem = problem_of(f"{machine.name} writes", answer)
        if problem is not None:
            findings.append(problem)
        elif isinstance(answer, Known):
            well[machine.name] = answer.value
    return well


def _read(
    case: Case,
    answers: Mapping[str, Answer[T]],
    writers: Mapping[str, object],
    findings: list[Finding],
) -> Iterator[tuple[str, T]]:
    """What each machine read from each writer, by ``A → B``."""
    for writer, reader in permutations([machine.name for machine in case.cluster.machines], 2):
        pair = f"{writer} → {reader}"
        answer = answers.get(pair)
        if writer not in writers:
            continue
        problem = problem_of(pair, answer)
        if problem is not None:
            findings.append(problem)
        elif isinstance(answer, Known):
            yield pair, answer.value


def read_unchanged(case: Case) -> Verdict:
    """Covers new files, and files that others have read and whose blocks are overwritten."""
    seen = seen_of(case)
    findings: list[Finding] = []
    blocks = 0
    rounds = seen.only.data if seen.only is not None else {}
    if seen.values and not rounds:
        findings.append(unknown("claims", "no data was written"))
    for each in rounds.values():
        blocks += written_and_read(case, each, findings)
    return conclude(
        findings, seen, proven=f"{blocks} blocks were read as another machine wrote them"
    )


def written_and_read(case: Case, exchange: Exchange[T, Compared], findings: list[Finding]) -> int:
    """How many blocks were read as another machine wrote them; every other one is a finding."""
    blocks = 0
    writers = _written(case, exchange.written, findings)
    for pair, found in _read(case, exchange.read, writers, findings):
        blocks += found.right
        findings += _blocks(pair, found)
    return blocks


def _blocks(pair: str, found: Compared) -> Iterator[Finding]:
    total = found.right + found.wrong
    if not total:
        yield unknown(pair, "no block was read")
    if found.wrong:
        text = f"expected {total} blocks as they were written, seen {found.wrong} that are not"
        yield Finding(pair, f"{text}: {names(found.first)}")


def metadata_survives(case: Case) -> Verdict:
    """Access lists count only if the profile declares them: they depend on the CephFS mount."""
    seen = seen_of(case)
    lists = case.cluster.storage is not None and case.cluster.storage.access_lists
    findings: list[Finding] = []
    kinds: set[str] = set()
    if seen.only is not None:
        kinds = _kept(case, seen.only.metadata, findings, lists=lists)
        if not kinds and not findings:
            findings.append(unknown("claims", "nothing was compared"))
    undeclared = "" if lists else " (access lists are not declared here)"
    return conclude(
        findings,
        seen,
        proven=f"{len(kinds)} kinds of metadata are the same on every machine{undeclared}",
    )


def _kept(case: Case, metadata: Metadata, findings: list[Finding], *, lists: bool) -> set[str]:
    """The kinds of metadata that were compared; each difference is a finding."""
    kinds: set[str] = set()
    writers = _written(case, metadata.made, findings)
    for machine, made in writers.items() if lists else ():
        if made.list_refused:
            text = f"expected an access list to be taken, seen {made.list_refused}"
            findings.append(Finding(f"{machine} writes", text))
    for pair, found in _read(case, metadata.seen, writers, findings):
        wanted = writers[pair.partition(" → ")[0]].wanted
        judged = {kind: want for kind, want in wanted.items() if lists or kind != "access list"}
        kinds |= set(judged)
        findings += [
            Finding(pair, f"{kind}: expected {_short(want)}, seen {_short(found.get(kind))}")
            for kind, want in judged.items()
            if found.get(kind) != want
        ]
    return kinds


def _short(value: str | None) -> str:
    text = str(value)
    return text if len(text) <= _LONG else f"{text[:_LONG]}…"


def appenders_lose_nothing(case: Case) -> Verdict:
    seen = seen_of(case)
    findings: list[Finding] = []
    lines = 0
    machines = [machine.name for machine in case.cluster.machines]
    exchange = seen.only.lines if seen.only is not None else Exchange[Wrote, Lines]()
    # If a machine could not append, its lines are missing everywhere: report only the former.
    whole = bool(seen.values) and len(_written(case, exchange.written, findings)) == len(machines)
    for machine in machines if whole else ():
        answer = exchange.read.get(machine)
        problem = problem_of(machine, answer)
        if problem is not None:
            findings.append(problem)
        elif isinstance(answer, Known):
            lines = max(lines, answer.value.right)
            findings += _lines(machine, answer.value)
    return conclude(
        findings, seen, proven=f"{lines} lines that machines appended side by side are there once"
    )


def _lines(machine: str, found: Lines) -> Iterator[Finding]:
    counts = (("lost", found.lost), ("twice", found.twice), ("torn", found.torn))
    wrong = [f"{number} {kind}" for kind, number in counts if number]
    if wrong:
        first = f" ({names(found.first)})" if found.first else ""
        text = f"expected every line once and whole, seen {names(wrong)}{first}"
        yield Finding(machine, text)
    elif not found.right:
        yield unknown(machine, "no line was read")


def small_files_are_whole(case: Case) -> Verdict:
    seen = seen_of(case)
    findings: list[Finding] = []
    files: dict[str, int] = {}
    if seen.only is not None:
        writers = _written(case, seen.only.small.written, findings)
        for pair, found in _read(case, seen.only.small.read, writers, findings):
            files[pair.partition(" → ")[0]] = found.right
            findings += _files(pair, found)
    total = sum(files.values())
    return conclude(findings, seen, proven=f"{total} small files are whole on every machine")


def _files(pair: str, found: Compared) -> Iterator[Finding]:
    if found.wrong:
        text = f"expected every file as it was written, seen {found.wrong} that are not"
        yield Finding(pair, f"{text}: {names(found.first)}")
    elif not found.right:
        yield unknown(pair, "no file was read")


CHECKS = {
    "what one machine writes every other reads unchanged": read_unchanged,
    "metadata survives": metadata_survives,
    "appenders with locks lose nothing": appenders_lose_nothing,
    "many small files are whole": small_files_are_whole,
}
