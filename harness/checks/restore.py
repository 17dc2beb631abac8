"""W5-RESTORE and W9-BACKUP: a customer's backup comes back whole, equal and in time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.checks.equality import definitions_apart, is_of, rows_apart, unsound
from harness.checks.findings import (
    Finding,
    conclude,
    failed,
    look,
    names,
    not_removed,
    understood,
    unknown,
    wanted,
)
from harness.core.declared import RestoreDeclared
from harness.core.model import Case, Verdict
from harness.facts.databases import Database, Table
from harness.facts.restore import RESTORE, Attachments, FileDifference, Files, RoundTrip, Step
from harness.facts.schema import OrUnknown, Unknown

_DIFFERENCES, _UNDETECTED = "differences_count", "undetected_count"
_RTO, _RPO = "rto_minutes", "rpo_minutes"
_SHOWN = 3
_MOVED = "was written at the source since the backup was asked for: freeze the customer"
_WORDS: Mapping[FileDifference, str] = {
    "changed": "files differ from the customer's",
    "removed": "files were not restored",
    "added": "files are not the customer's",
    "unread": "files could not be read",
}


def backup_whole(case: Case) -> Verdict:
    """The platform made a backup in time; it is whole, fresh, and of this customer alone."""
    seen = look(case, RESTORE)
    findings: list[Finding] = []
    proven = ""
    for trip in seen.values.values():
        if trip.backup is None:
            findings += _ended(trip, Step.MAKE)
            continue
        it = trip.backup
        findings += [Finding(it.name, f"{kind}: {says}") for kind, says in it.faults]
        proven = (
            f"{it.name} holds {it.rows} rows of {it.tables} tables and {it.files} files, "
            f"{it.bytes / 1e6:.1f} MB"
        )
        if it.lacking:
            proven += f"; the customer itself lacks {it.lacking} files that its rows name"
    return conclude(findings, seen, proven=proven)


def _ended(trip: RoundTrip, *steps: Step) -> Iterator[Finding]:
    """Why a round trip did not come to these steps; a failure counts at its own step alone."""
    stopped = trip.stopped
    if stopped is None:
        yield unknown(trip.customer, f"the round trip came to no end of {names(steps)}")
    elif stopped.at_fault and stopped.step in steps:
        yield Finding(trip.customer, f"{stopped.step}: {stopped.says}")
    else:
        yield unknown(trip.customer, f"it ended while {stopped.step}: {stopped.says}")


def defects_noticed(case: Case) -> Verdict:
    """The inspection notices each known defect of a backup; it reads this one, damaged that way."""
    target = wanted(case, _UNDETECTED)
    seen = look(case, RESTORE)
    findings: list[Finding] = []
    noticed: dict[str, bool] = {}
    for trip in seen.values.values():
        noticed |= trip.noticed
        if not trip.noticed:
            findings += _ended(trip)
    findings += [
        Finding(defect, "expected the inspection to notice it, seen that it does not")
        for defect, is_noticed in noticed.items()
        if not is_noticed
    ]
    return conclude(
        findings,
        seen,
        proven=f"the inspection notices {len(noticed)} defects of {len(noticed)}",
        measured={_UNDETECTED: float(len(noticed) - sum(noticed.values()))} if noticed else {},
        target=target,
    )


def database_equal(case: Case) -> Verdict:
    """Every row and object of the restored database is the customer's, but for what is declared.

    A difference in a table that the source wrote meanwhile proves nothing.
    """
    seen = look(case, RESTORE)
    findings: list[Finding] = []
    rows = mutated = 0
    for trip in seen.values.values():
        if trip.compared is None:
            findings += _ended(trip)
        elif isinstance(trip.compared, Unknown):
            findings.append(unknown(trip.database, trip.compared.error))
        else:
            tables, gaps = understood(trip.compared.tables)
            findings += gaps
            findings += _tables(tables, trip.written, case.cluster.restore)
            findings += _rest(trip, trip.compared, case.cluster.restore)
            rows += sum(it.source.rows for it in tables.values())
            mutated += sum(it.mutated for it in tables.values())
            if not rows:
                findings.append(unknown(trip.database, "it has no row: nothing was compared"))
    but = f", but for {mutated} rows that differ as declared" if mutated else ""
    return conclude(
        findings,
        seen,
        proven=f"{rows} rows are the customer's{but}",
        measured={_DIFFERENCES: failed(findings)} if seen.values else {},
        target=_target(case),
    )


def _target(case: Case) -> dict[str, float]:
    return {key: it for key, it in case.targets.items() if key == _DIFFERENCES}


def _tables(
    tables: Mapping[str, Table], written: Mapping[str, int], declared: RestoreDeclared
) -> Iterator[Finding]:
    for name, it in tables.items():
        at_most = declared.mutations.get(name)
        if at_most is not None and it.mutated > at_most:
            yield Finding(name, f"expected {at_most} declared mutations, seen {it.mutated}")
        # With declared mutations the digests differ, and what is left of the rows may not.
        if it.source == it.target or (it.mutated and not it.differing):
            continue
        yield (
            unknown(name, f"{name} {_MOVED}")
            if written.get(name)
            else Finding(name, rows_apart(it))
        )


def _rest(trip: RoundTrip, found: Database, declared: RestoreDeclared) -> Iterator[Finding]:
    """What differs beside the rows: objects, sequences, indexes."""
    if isinstance(found.catalogue, Unknown):
        yield unknown("catalogue", found.catalogue.error)
    else:
        for it in found.catalogue.value:
            if not is_of(it.object, declared.different):
                yield Finding(it.object, definitions_apart(it))
    for view in found.uncompared:
        if not is_of(view, declared.different):
            yield unknown(view, "the two versions of PostgreSQL write it differently")
    if isinstance(found.sequences, Unknown):
        yield unknown("sequences", found.sequences.error)
    else:
        for name, at in found.sequences.value.items():
            if at.source != at.target and not is_of(f"sequence {name}", declared.different):
                text = f"expected {at.source}, seen {at.target}"
                # PostgreSQL counts the rows that a table was written, and not those of a sequence.
                yield (
                    unknown(name, f"{text}; a table {_MOVED}")
                    if trip.written
                    else Finding(name, text)
                )
    yield from unsound(trip.restored, found.unsound)


def files_equal(case: Case) -> Verdict:
    """Every restored file is the customer's, and none is missing."""
    seen = look(case, RESTORE)
    findings: list[Finding] = []
    files = 0
    for trip in seen.values.values():
        if isinstance(trip.files, Files):
            files += trip.files.files
            findings += _files(trip.customer, trip.files)
        else:
            findings += _not_compared(trip, trip.files)
    return conclude(
        findings,
        seen,
        proven=f"{files} files are the customer's",
        measured={_DIFFERENCES: float(_apart(seen.only))} if seen.values else {},
        target=_target(case),
    )


def _apart(trip: RoundTrip | None) -> int:
    return sum(trip.files.counts.values()) if trip and isinstance(trip.files, Files) else 0


def _not_compared(trip: RoundTrip, found: OrUnknown[object] | None) -> Iterator[Finding]:
    if isinstance(found, Unknown):
        yield unknown(trip.customer, found.error)
    else:
        yield from _ended(trip)


def _files(customer: str, found: Files) -> Iterator[Finding]:
    some = ", ".join(f"{path} ({what})" for path, what in found.first[:_SHOWN])
    for kind, number in found.counts.items():
        if number:
            says = f"{number} {_WORDS[kind]}: {some}"
            yield unknown(customer, says) if kind == "unread" else Finding(customer, says)
    if found.newer:
        yield unknown(customer, f"{found.newer} files differ, and each {_MOVED}")
    if not found.files:
        yield unknown(customer, "the source has no file: nothing was compared")


def one_moment(case: Case) -> Verdict:
    """Every restored row that names a file finds it: database and files are of one moment.

    Files that no row names may be as many as at the source: Odoo removes them later. A file that
    the source lacks too is told, and is no failure: no backup can hold it.
    """
    seen = look(case, RESTORE)
    findings: list[Finding] = []
    proven = "the customer has no attachments"
    for trip in seen.values.values():
        it = trip.attachments
        if isinstance(it, Attachments):
            findings += _attachments(trip.customer, it)
            but = f", but for {it.lacking} that the customer itself lacks" if it.lacking else ""
            proven = f"{it.rows} rows name a file, and each file is there{but}"
        elif isinstance(it, Unknown) or trip.files is None:
            findings += _not_compared(trip, it)
    return conclude(
        findings,
        seen,
        proven=proven,
        measured={_DIFFERENCES: failed(findings)} if seen.values else {},
        target=_target(case),
    )


def _attachments(customer: str, it: Attachments) -> Iterator[Finding]:
    if it.without_file:
        there = f"; at the source {it.source_without_file}" if it.source_without_file else ""
        some = names(it.first[:_SHOWN])
        yield Finding(customer, f"{it.without_file} rows name a missing file{there}: {some}")
    if it.without_row > it.source_without_row:
        yield Finding(
            customer,
            f"expected {it.source_without_row} files that no row names, seen {it.without_row}",
        )


def served_in_time(case: Case) -> Verdict:
    """The backup is restored without an error, and the first right answer comes in time.

    The time is from the start of the restore to an answer that touches the customer's database.
    """
    target = wanted(case, _RTO)
    seen = look(case, RESTORE)
    findings: list[Finding] = []
    measured: dict[str, float] = {}
    for trip in seen.values.values():
        if trip.rto_s is None:
            findings += _ended(trip, Step.RESTORE, Step.ANSWER)
            continue
        measured[_RTO] = trip.rto_s / 60
        if measured[_RTO] > target[_RTO]:
            text = f"expected an answer within {target[_RTO]:g} min, seen {measured[_RTO]:.1f} min"
            findings.append(Finding(trip.customer, text))
    took = measured.get(_RTO, 0.0) * 60
    proven = f"the first right answer came {took:.0f} s after the restore began"
    return conclude(findings, seen, proven=proven, measured=measured, target=target)


def little_lost(case: Case) -> Verdict:
    """What was written since the newest restored heartbeat is lost: no more than is allowed.

    The source would have died as soon as the backup was there. Of a backup that was made for the
    drill this is the least possible loss; without `restore.backup` it is that of the schedule.
    """
    target = wanted(case, _RPO)
    seen = look(case, RESTORE)
    findings: list[Finding] = []
    measured: dict[str, float] = {}
    for trip in seen.values.values():
        if trip.rpo_s is None:
            findings += _ended(trip)
        elif isinstance(trip.rpo_s, Unknown):
            findings.append(unknown(trip.customer, trip.rpo_s.error))
        else:
            measured[_RPO] = trip.rpo_s.value / 60
            if measured[_RPO] > target[_RPO]:
                text = f"expected at most {target[_RPO]:g} min of work lost"
                findings.append(Finding(trip.customer, f"{text}, seen {measured[_RPO]:.1f} min"))
    lost = measured.get(_RPO, 0.0) * 60
    proven = f"the newest restored heartbeat is {lost:.0f} s older than its backup"
    return conclude(findings, seen, proven=proven, measured=measured, target=target)


def nothing_left(case: Case) -> Verdict:
    """What the drill restored is gone again."""
    seen = look(case, RESTORE)
    findings = [it for trip in seen.values.values() for it in not_removed(trip.restored, trip.left)]
    return conclude(findings, seen, proven="what was restored is removed again")


CHECKS = {
    "a whole backup of the customer is made": backup_whole,
    "the inspection notices every known defect": defects_noticed,
    "the restored database is the customer's": database_equal,
    "the restored files are the customer's": files_equal,
    "every restored row finds its file": one_moment,
    "the restored customer is served in time": served_in_time,
    "little enough work is lost": little_lost,
    "the restore leaves nothing behind": nothing_left,
}
