"""W9-BACKUP: the cluster's own backups run as scheduled, are whole, and have the claims' data."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from harness.checks.findings import Finding, Seen, conclude, look, unknown
from harness.core.declared_platform import ScheduleDeclared
from harness.core.model import Case, Verdict
from harness.facts.schema import Unknown
from harness.facts.velero import VELERO, Backup, Location, Schedule, Velero

_HOUR_S = 3600
# Velero looks at its locations each minute, by default; what a dead one saw last is no news.
_LOOKED_WITHIN_S = 3600
# A backup that is not over yet, or is being deleted, proves nothing and is no failure.
_PASSED_OVER = (
    "New",
    "Queued",
    "ReadyToStart",
    "InProgress",
    "Uploading",  # until version 1.10
    "WaitingForPluginOperations",
    "Finalizing",
    "Deleting",
)


def schedules_run(case: Case) -> Verdict:
    """A schedule makes backups only if Velero took it over, and can reach where it keeps them."""
    seen = _seen(case)
    findings = [
        it
        for velero, declared in _each(case, seen)
        for it in _running(velero, declared.name, _at(case))
    ]
    count = len(case.cluster.schedules)
    return conclude(findings, seen, proven=f"{count} schedules back the cluster up")


def newest_is_whole(case: Case) -> Verdict:
    """PartiallyFailed is a failure: what is missing is only seen when it is needed."""
    seen = _seen(case)
    findings: list[Finding] = []
    ages = [0.0]
    for velero, declared in _each(case, seen):
        newest = _newest(velero, declared)
        if newest is None:
            findings.append(_none(velero, declared))
            continue
        at = _at(case)
        ages.append((at - newest[1].last) / _HOUR_S)
        findings += _whole(declared, *newest, at)
    return conclude(
        findings,
        seen,
        proven=f"the newest backup of each schedule is whole, at most {max(ages):.1f} hours old",
    )


def claims_are_in_it(case: Case) -> Verdict:
    """Judged by what was copied off the cluster: a snapshot in Ceph is lost with Ceph."""
    seen = _seen(case)
    findings: list[Finding] = []
    held = 0
    for velero, declared in _each(case, seen):
        newest = _newest(velero, declared)
        if newest is None:
            findings += [unknown(declared.name, "no backup has ended")] if declared.claims else []
            continue
        name, backup = newest
        for pattern in declared.claims:
            wanted = _claims(velero, pattern, backup)
            if not wanted:
                says = f"expected a claim {pattern} that is older than {name}, seen none"
                findings.append(Finding(declared.name, says))
            held += len(wanted)
            findings += [it for claim in wanted for it in _data(velero, claim, name, backup)]
    return conclude(findings, seen, proven=f"the data of {held} claims is in the newest backups")


def _seen(case: Case) -> Seen[Velero]:
    """What was seen of Velero; objects that were not understood are gaps."""
    whole = look(case, VELERO)
    odd = whole.only.odd if whole.only else {}
    return Seen(whole.values, (*whole.unseen, *(unknown(*it) for it in sorted(odd.items()))))


def _at(case: Case) -> float:
    """When Velero was looked at."""
    return case.of(VELERO.name)[case.cluster.name].at


def _each(case: Case, seen: Seen[Velero]) -> Iterator[tuple[Velero, ScheduleDeclared]]:
    """Each declared schedule, with what was seen of Velero; none if it could not be looked at."""
    for velero in seen.values.values():
        for declared in case.cluster.schedules:
            yield velero, declared


def _running(velero: Velero, name: str, at: float) -> Iterator[Finding]:
    schedule = velero.schedules.get(name)
    if schedule is None:
        known = ", ".join(sorted(velero.schedules)) or "none"
        yield Finding(name, f"expected a schedule of that name, seen {known}")
        return
    if isinstance(schedule, Unknown):
        yield unknown(name, schedule.error)
        return
    if schedule.phase != "Enabled":
        why = "".join(f"; {it}" for it in schedule.errors)
        yield Finding(name, f"expected an enabled schedule, seen {schedule.phase}{why}")
    if schedule.paused:
        yield Finding(name, "expected a schedule that runs, seen it paused")
    yield from _located(velero, name, schedule, at)


def _located(velero: Velero, name: str, schedule: Schedule, at: float) -> Iterator[Finding]:
    """Whether Velero can reach the place of a schedule's backups."""

    def is_meant(where: str, it: Location | Unknown) -> bool:
        if schedule.location is not None:
            return where == schedule.location
        return isinstance(it, Unknown) or it.is_default

    meant = {where: it for where, it in velero.locations.items() if is_meant(where, it)}
    if not meant:
        place = schedule.location or "a default one"
        yield Finding(name, f"expected its location ({place}), seen none")
    for where, it in sorted(meant.items()):
        if isinstance(it, Unknown):
            yield unknown(where, it.error)
        elif it.phase != "Available":
            why = f": {it.message}" if it.message else ""
            yield Finding(name, f"expected its location {where} Available, seen {it.phase}{why}")
        elif it.looked is None or at - it.looked > _LOOKED_WITHIN_S:
            ago = "never" if it.looked is None else f"{(at - it.looked) / _HOUR_S:.1f} hours ago"
            says = f"Velero looked last at its location {where} {ago}: does its server run?"
            yield unknown(name, says)


def _newest(velero: Velero, declared: ScheduleDeclared) -> tuple[str, Backup] | None:
    """The newest backup of a schedule that has ended, and its name."""
    own = [it for it in _ended(velero, declared) if not _is_another_clusters(velero, it[1])]
    return max(own, key=lambda it: it[1].started, default=None)


def _ended(velero: Velero, declared: ScheduleDeclared) -> list[tuple[str, Backup]]:
    return [
        (name, it)
        for name, it in velero.backups.items()
        if it.schedule == declared.name and not it.phase.startswith(_PASSED_OVER)
    ]


def _is_another_clusters(velero: Velero, backup: Backup) -> bool:
    """True if Velero found a backup in the bucket that this cluster's schedule did not ask for.

    Where clusters share a bucket, each shows the others' backups as its own, with their labels.
    """
    schedule = velero.schedules.get(backup.schedule)
    last = schedule.last if isinstance(schedule, Schedule) else None
    return backup.was_found and (last is None or backup.started > last)


def _none(velero: Velero, declared: ScheduleDeclared) -> Finding:
    """Why a schedule has no backup that could be judged."""
    if found := sorted(name for name, _ in _ended(velero, declared)):
        return unknown(
            declared.name,
            f"{found[-1]} was found in the bucket, and this cluster's schedule did not ask for it: "
            "another cluster may have made it. Give each cluster a prefix of its own in the bucket",
        )
    return Finding(declared.name, "expected a backup, seen none that has ended")


def _whole(declared: ScheduleDeclared, name: str, backup: Backup, at: float) -> Iterator[Finding]:
    """What is wrong with a backup that has ended."""
    if backup.phase != "Completed":
        why = f": {backup.reason}" if backup.reason else ""
        says = f"expected a whole backup, seen {name} {backup.phase}, {backup.errors} errors"
        yield Finding(declared.name, f"{says}{why}")
    age_h = (at - backup.last) / _HOUR_S
    if age_h > declared.within_h:
        says = f"expected a backup of the last {declared.within_h:g} hours"
        yield Finding(declared.name, f"{says}, seen {name}, {age_h:.1f} hours old")
    if backup.expires is not None and backup.expires <= at:
        yield Finding(declared.name, f"expected a backup that stays, {name} has expired")


def _claims(velero: Velero, pattern: str, backup: Backup) -> list[str]:
    """The claims of that pattern that were there when the backup began."""
    return sorted(
        claim
        for claim, at in velero.claims.items()
        if at < backup.started and fnmatchcase(claim, pattern)
    )


def _data(velero: Velero, claim: str, name: str, backup: Backup) -> Iterator[Finding]:
    """What is wrong with the data of one claim in a backup."""
    volumes = [it for it in backup.volumes if it.claim == claim]
    if not volumes:
        yield _missing(velero, claim, name, backup)
        return
    if any(it.phase == "Completed" and it.snapshot and it.bytes for it in volumes):
        return
    volume = volumes[0]
    why = f": {volume.message}" if volume.message else ""
    if volume.phase != "Completed":
        yield Finding(claim, f"expected its data in {name}, seen the copy {volume.phase}{why}")
    elif not volume.snapshot:
        yield Finding(claim, f"expected its data in {name}, seen an empty volume{why}")
    else:
        yield unknown(claim, f"Velero does not say how many bytes of it are in {name}")


def _missing(velero: Velero, claim: str, name: str, backup: Backup) -> Finding:
    """Why nothing tells of a claim's data in a backup."""
    if backup.moves_snapshots and not velero.has_uploads:
        return unknown(
            claim,
            f"{name} moves its snapshots, and only a DataUpload tells of each: the API has no "
            "datauploads (velero.io/v2alpha1). Apply the CRDs of Velero's own version",
        )
    kept = f"; {backup.snapshots} snapshots stay in the cluster" if backup.snapshots else ""
    return Finding(claim, f"expected its data in {name}, seen none{kept}")


CHECKS = {
    "every declared schedule of the cluster's backups runs": schedules_run,
    "the newest backup of each schedule is whole and young": newest_is_whole,
    "the declared claims are in it, with their data": claims_are_in_it,
}
