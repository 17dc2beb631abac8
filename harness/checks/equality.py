"""W5-EQUAL: the new databases hold what the old ones hold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase

from harness.checks.findings import (
    Finding,
    conclude,
    failed,
    look,
    names,
    understood,
    unknown,
    wanted,
)
from harness.core.model import Case, Verdict
from harness.facts.databases import DATABASES, Compared, Database, Definition, OnlyOn, Table
from harness.facts.schema import Item, Unknown

_KEY = "differences_count"
_NAMED = 3
# Objects of a whole server, which every database of it shows: roles of both kinds of server,
# accounts and settings of MariaDB, and what PostgreSQL sets in every database.
_OF_SERVER = re.compile("role |user .*@|setting (?!of )|setting of .* in every database ")


def same_rows(case: Case) -> Verdict:
    """Each table of both sides has the same rows; values are compared as the server writes them.

    Rows that differ while the source was being written to prove nothing.
    """
    target = wanted(case, _KEY)
    seen = look(case, DATABASES)
    findings = []
    differing = rows = count = 0
    for name, found in _compared(seen.only):
        if isinstance(found, Finding):
            findings.append(found)
            continue
        tables, gaps = understood(found.tables)
        findings += [unknown(f"{name}, {it.where}", it.says) for it in gaps]
        for table, it in tables.items():
            rows, count = rows + it.source.rows, count + 1
            if it.source == it.target:
                continue
            differing += max(1, it.differing)
            finding = Finding(f"{name}, {table}", rows_apart(it))
            if found.source_wrote:
                text = f"{finding.says}; but the source was written to meanwhile: freeze it"
                finding = unknown(finding.where, text)
            findings.append(finding)
    if count and not rows and not findings:
        findings.append(unknown("everywhere", "the source has no row: nothing was compared"))
    return conclude(
        findings,
        seen,
        proven=f"{rows} rows of {count} tables are the same on both sides",
        measured={_KEY: differing} if seen.values else {},
        target=target,
    )


def rows_apart(table: Table) -> str:
    """How a table differs; rows are named by their keys, columns without their values."""
    text = f"expected the same rows, seen {table.source.rows} and {table.target.rows}"
    some = [
        f"{it.row} {it.kind}{f' in {names(it.columns)}' if it.columns else ''}"
        for it in table.first[:_NAMED]
    ]
    more = f" and {table.differing - len(some)} more" if table.differing > len(some) else ""
    return f"{text}: {', '.join(some) or 'they differ'}{more}"


def same_catalogue(case: Case) -> Verdict:
    """Each object beside the rows is the same: constraints, indexes, roles, privileges, locale …

    An object that differs on purpose is declared with its reason (``equality.different``). Between
    two major versions, the text of views is not compared. An object of the server counts once for
    all its databases.
    """
    target = wanted(case, _KEY)
    seen = look(case, DATABASES)
    findings: dict[str, Finding] = {}
    gaps: list[Finding] = []
    passed: set[str] = set()
    objects = 0
    for name, found in _compared(seen.only):
        if isinstance(found, Finding):
            findings[name] = found
        elif isinstance(found.catalogue, Unknown):
            findings[name] = unknown(name, found.catalogue.error)
        else:
            pair, _, _ = name.rpartition("/")
            allowed = case.cluster.equality_different.get(pair, {})
            objects += found.objects
            for uncompared in found.uncompared:
                if not is_of(uncompared, allowed):
                    text = "the two versions write it differently: compare it by hand"
                    gaps.append(unknown(f"{name}, {uncompared}", text))
            for it in found.catalogue.value:
                place = pair if _OF_SERVER.match(it.object) else name
                where = f"{place}, {it.object}" if place else it.object
                if is_of(it.object, allowed):
                    passed.add(where)
                else:
                    findings.setdefault(where, Finding(where, definitions_apart(it)))
    but = f", but for {len(passed)} that differ on purpose" if passed else ""
    return conclude(
        [*findings.values(), *gaps],
        seen,
        proven=f"{objects} objects of the catalogue are the same on both sides{but}",
        measured={_KEY: failed(findings.values())} if seen.values else {},
        target=target,
    )


def is_of(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def definitions_apart(it: Definition) -> str:
    """What two definitions have apart: their parts are between semicolons."""
    if it.source is None or it.target is None:
        there = "source" if it.target is None else "target"
        return f"expected it on both sides, seen on the {there} alone"
    before, now = it.source.split("; "), it.target.split("; ")
    gone = [part for part in before if part not in now]
    come = [part for part in now if part not in before]
    return f"expected {'; '.join(gone) or 'nothing'}, seen {'; '.join(come) or 'nothing'}"


def sequences_ahead(case: Case) -> Verdict:
    """Each sequence of the target is not behind the source's, nor behind its own column.

    Logical replication carries no sequences, so the next insert would meet a key that exists. A
    column with AUTO_INCREMENT has a sequence too.
    """
    seen = look(case, DATABASES)
    findings = []
    count = 0
    for name, found in _compared(seen.only):
        if isinstance(found, Finding):
            findings.append(found)
        elif isinstance(found.sequences, Unknown):
            findings.append(unknown(name, found.sequences.error))
        else:
            for sequence, it in found.sequences.value.items():
                count += 1
                if it.is_behind:
                    is_at = "never used" if it.target is None else it.target
                    bound = "most" if it.descending else "least"
                    text = f"expected at {bound} {it.expected}, seen {is_at}"
                    findings.append(Finding(f"{name}, {sequence}", text))
    return conclude(findings, seen, proven=f"{count} sequences are not behind")


def indexes_sound(case: Case) -> Verdict:
    """Each index of the target finds every row of its table, in the right order.

    An index that was copied as files from another C library is in that one's order. PostgreSQL's
    B-trees are checked by amcheck, MariaDB's tables by CHECK TABLE.
    """
    seen = look(case, DATABASES)
    findings = []
    for name, found in _compared(seen.only):
        if isinstance(found, Finding):
            findings.append(found)
        else:
            findings += list(unsound(name, found.unsound))
    return conclude(findings, seen, proven="every index of the target fits its table")


def unsound(name: str, item: Item[Mapping[str, str]]) -> Iterator[Finding]:
    if isinstance(item, Unknown):
        yield unknown(name, item.error)
        return
    for index, says in item.value.items():
        yield Finding(f"{name}, {index}", f"expected an index that fits its table, seen: {says}")


def _compared(
    found: Mapping[str, Compared] | None,
) -> Iterator[tuple[str, Database | Finding]]:
    """Each database that was compared, or why it is not the same."""
    if found is not None and not found:
        yield "everywhere", unknown("everywhere", "neither side has a database")
    for name, it in (found or {}).items():
        if isinstance(it, Unknown):
            yield name, unknown(name, it.error)
        elif isinstance(it, OnlyOn):
            text = f"expected the database on both sides, seen on the {it.only_on} alone"
            yield name, Finding(name, text)
        else:
            yield name, it


CHECKS = {
    "every table holds the same rows": same_rows,
    "everything beside the rows is the same": same_catalogue,
    "no sequence is behind": sequences_ahead,
    "every index fits its table": indexes_sound,
}
