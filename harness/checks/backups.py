"""W1-SNAPSHOT, W3-BACKUPS: etcd can be restored, and one shared claim holds all backups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from harness.checks.findings import Finding, Seen, conclude, look, names, unknown, wanted
from harness.core.declared import BackupClaim
from harness.core.model import Case, Verdict
from harness.facts.backups import (
    BACKUP_CLAIMS,
    SNAPSHOTS,
    BackupClaims,
    Claim,
    File,
    Layout,
    Newest,
    Rejected,
    Restored,
    SnapshotFile,
    Snapshots,
    Upload,
    not_whole,
)
from harness.facts.schema import Item, Known, Unknown

_HOUR_S = 3600
_Kind = Literal["snapshots", "copies"]
_NOT_LISTED = Unknown("the probe did not look there")
_GIB = 1024**3
# Names that a file system itself creates at the top of a volume.
_OF_FILE_SYSTEM = ("lost+found",)


def _ages(case: Case, kind: _Kind) -> tuple[Seen[object], dict[str, float], list[str]]:
    """Age in hours of every whole file of a kind, by name; the gaps; the files passed over."""
    whole = look(case, SNAPSHOTS)
    gaps = list(whole.unseen)
    files: list[tuple[str, File]] = []
    for where, found in _places(case, whole.only, kind) if whole.only else ():
        if isinstance(found, Unknown):
            gaps.append(unknown(where, f"{kind}: {found.error}"))
        else:
            files += [(where, file) for file in found.value]
    strays = [(where, file.name, not_whole(file)) for where, file in files]
    passed_over = [f"{name} on {where} {why}" for where, name, why in strays if why]
    at = case.of(SNAPSHOTS.name)[case.cluster.name].at if whole.only else 0.0
    ages = {
        file.name: (at - file.modified) / _HOUR_S
        for _, file in files
        if not_whole(file) is None and not (isinstance(file, Upload) and not file.ready)
    }
    return Seen(ages, tuple(gaps)), ages, sorted(passed_over)


def _places(
    case: Case, value: Snapshots, kind: _Kind
) -> Iterator[tuple[str, Known[tuple[SnapshotFile, ...]] | Known[tuple[Upload, ...]] | Unknown]]:
    """Where files of a kind are, and what is known of them there."""
    if kind == "copies" and value.s3 is not None:
        yield "S3", value.s3
        return
    for server in case.cluster.servers:
        listing = value.listed.get(server.name, _NOT_LISTED)
        if isinstance(listing, Unknown):
            yield server.name, listing
        else:
            yield server.name, listing.copies if kind == "copies" else listing.snapshots


def _also(passed_over: Sequence[str]) -> str:
    """Names the files that are no whole snapshots."""
    return f" (passed over: {', '.join(passed_over)})" if passed_over else ""


def fresh(case: Case) -> Verdict:
    """RKE2 takes snapshots on every server: judges each that could be asked, by whole ones."""
    target = wanted(case, "snapshot_age_hours")
    limit = target["snapshot_age_hours"]
    seen, ages, passed_over = _ages(case, "snapshots")
    also = _also(passed_over)
    findings = []
    if not ages and not seen.unseen:
        findings.append(Finding("etcd", f"expected a snapshot, seen none on any server{also}"))
    elif ages and min(ages.values()) > limit:
        text = f"expected a snapshot of the last {limit:g} hours, seen the newest to be"
        findings.append(Finding("etcd", f"{text} {min(ages.values()):.1f} hours old{also}"))
    return conclude(
        findings,
        seen,
        proven=f"the newest snapshot is {min(ages.values(), default=0):.1f} hours old{also}",
        measured={"snapshot_age_hours": min(ages.values())} if ages else {},
        target=target,
    )


def copied(case: Case) -> Verdict:
    """A copy counts if it is identical and a server that did not take the snapshot sees it.

    In S3 it counts by RKE2's own record of its uploads.
    """
    limit = wanted(case, "snapshot_age_hours")["snapshot_age_hours"]
    seen, ages, passed_over = _ages(case, "copies")
    value = look(case, SNAPSHOTS).only
    uploaded = value is not None and value.s3 is not None
    also = _also(passed_over)
    findings = []
    if not ages and not seen.unseen:
        findings.append(Finding("etcd", f"expected a copy off the machine, seen none{also}"))
        findings += _off_machine(value) if uploaded else []
    elif ages:
        if min(ages.values()) > limit:
            text = f"expected a copy of the last {limit:g} hours, seen the newest to be"
            findings.append(Finding("etcd", f"{text} {min(ages.values()):.1f} hours old{also}"))
        findings += _off_machine(value)
    newest = min(ages, key=ages.__getitem__, default=None)
    place = "in S3, as RKE2 records it" if uploaded else "off its machine too, unchanged"
    return conclude(findings, seen, proven=f"{newest} is {place}{also}")


def _off_machine(value: Snapshots | None) -> list[Finding]:
    """What is wrong with the newest copy, or with RKE2's uploads if it sends them to S3."""
    if value is None:
        return []
    if isinstance(value.s3, Known):
        return _uploaded(value, value.s3.value)
    return _elsewhere(value, value.newest) if value.newest and value.s3 is None else []


def _elsewhere(value: Snapshots, newest: Newest) -> list[Finding]:
    """What is wrong with the newest copy that servers see."""
    findings = []
    if not set(newest.seen_by) - set(newest.origin):
        text = f"expected another machine to see its copy of {newest.name}, seen none that does"
        findings.append(Finding(names(newest.origin), text))
    return [*findings, *_same(value, newest.name)]


def _uploaded(value: Snapshots, uploads: Sequence[Upload]) -> list[Finding]:
    """What is wrong with RKE2's uploads: the last one failed, or is of another size."""
    last = max(uploads, key=lambda file: file.modified, default=None)
    findings = []
    if last is not None and not last.ready:
        text = f"expected {last.name} to be uploaded, seen {last.error or 'it is not ready'}"
        findings.append(Finding("S3", text))
    sizes = {
        file.name: file.bytes
        for listing in value.listed.values()
        if not isinstance(listing, Unknown) and isinstance(listing.snapshots, Known)
        for file in listing.snapshots.value
    }
    for file in uploads:
        own = sizes.get(file.name, file.bytes)
        if file.ready and own != file.bytes:
            text = f"expected {file.name} with its {own} bytes, seen {file.bytes}"
            findings.append(Finding("S3", text))
    return findings


def _same(value: Snapshots, name: str) -> list[Finding]:
    """Whether copy and original are identical, if a server still has the original."""
    original, restored = value.original, value.restored or Unknown("it was not restored")
    if original is None:
        return []
    if isinstance(original, Unknown):
        return [_not_compared(name, original)]
    if isinstance(restored, Unknown):
        return [_not_compared(name, restored)]
    if original.value != restored.value.sha256:
        return [Finding("etcd", f"expected the copy of {name} unchanged, seen other bytes")]
    return []


def _not_compared(name: str, why: Unknown) -> Finding:
    return unknown("etcd", f"{name} could not be compared: {why.error}")


def restores(case: Case) -> Verdict:
    """A scratch etcd restores it: the same revision, every key, and from this cluster."""
    seen = look(case, SNAPSHOTS)
    value = seen.only
    if value is None:
        return conclude([], seen, proven="")
    if value.newest is None:
        findings = [Finding("etcd", "expected a snapshot to restore, seen none")]
        return conclude(findings, seen, proven="")
    newest, restored = value.newest, value.restored or Unknown("it was not restored")
    if isinstance(restored, Unknown):
        return conclude([unknown(newest.restored_on, restored.error)], seen, proven="")
    found = restored.value
    if isinstance(found, Rejected):
        text = f"{newest.name}: expected it to restore, seen {found.refused}"
        return conclude([Finding("etcd", text)], seen, proven="")
    findings = [Finding("etcd", f"{newest.name}: {text}") for text in _wrong(found)]
    findings = findings or [
        *_uncounted(newest, found),
        *_stranger(newest.name, found.uid, value.cluster_uid),
    ]
    return conclude(
        findings,
        seen,
        proven=f"{newest.name} restores at revision {found.revision} "
        f"with all of its {found.keys} keys",
        measured={"keys_count": found.keys},
    )


def _uncounted(newest: Newest, found: Restored) -> list[Finding]:
    """A gap if the expected number of keys is unknown."""
    if found.expected_keys is not None:
        return []
    text = f"{newest.name}: how many keys it holds is not known: the etcdutl there counts"
    remedy = "more than keys (3.6 and newer do not: kubernetes.etcd_tools_image)"
    return [unknown(newest.restored_on, f"{text} {remedy}")]


def _stranger(name: str, uid: str | None, cluster: str | None) -> list[Finding]:
    """A finding if the snapshot is from another cluster."""
    if cluster is None:
        return [unknown("etcd", "the cluster did not say who it is, to compare")]
    if uid != cluster:
        return [Finding("etcd", f"{name}: expected a snapshot of {cluster}, seen one of {uid}")]
    return []


def _wrong(found: Restored) -> list[str]:
    wrong = []
    if found.revision != found.expected_revision:
        wrong.append(f"expected revision {found.expected_revision}, seen {found.revision}")
    keys = found.expected_keys
    if not found.keys:
        wrong.append("expected keys, seen none")
    elif keys is not None and found.keys != keys:
        wrong.append(f"expected {keys} keys, as before it was restored, seen {found.keys}")
    return wrong


def _declared(case: Case) -> BackupClaim:
    """What the profile declares; AssertionError, hence NOT PROVEN, without it."""
    assert case.cluster.backups is not None, "the requirement needs a claim for backups"
    return case.cluster.backups


def _seen(case: Case) -> tuple[Seen[BackupClaims], Claim | None]:
    """The observation, with a gap for each odd claim; and the declared claim in it."""
    declared = _declared(case)
    seen = look(case, BACKUP_CLAIMS)
    if seen.only is None:
        return seen, None
    odd = tuple(unknown(name, why) for name, why in seen.only.odd.items())
    wanted_name = (declared.namespace, declared.claim)
    ours = [it for it in seen.only.claims if (it.namespace, it.name) == wanted_name]
    return Seen(seen.values, (*seen.unseen, *odd)), ours[0] if ours else None


def _name(claim: Claim) -> str:
    return f"{claim.namespace}/{claim.name}"


def shared_claim(case: Case) -> Verdict:
    target = wanted(case, "claim_gib")
    seen, ours = _seen(case)
    mode = _declared(case).access_mode
    declared = f"{_declared(case).namespace}/{_declared(case).claim}"
    findings = []
    if seen.only is not None and ours is None and declared not in seen.only.odd:
        findings.append(Finding(declared, "expected this claim, seen none of that name"))
    elif ours is not None:
        wrong = _wrong_claim(ours, mode, target["claim_gib"])
        findings = [Finding(declared, says) for says in wrong]
    size = {"claim_gib": round(ours.bytes / _GIB, 1)} if ours is not None else {}
    return conclude(
        findings,
        seen,
        proven=f"{declared} is bound, {mode}, and large enough",
        measured=size,
        target=target,
    )


def _wrong_claim(claim: Claim, mode: str, at_least_gib: float) -> Iterator[str]:
    if claim.phase != "Bound":
        yield f"expected it to be bound, seen {claim.phase}"
    if mode not in claim.modes:
        yield f"expected it to be {mode}, seen {names(claim.modes or ['no mode'])}"
    if claim.bytes < at_least_gib * _GIB:
        yield f"expected {at_least_gib:g} GiB, seen {claim.bytes / _GIB:g}"


def no_other_claim(case: Case) -> Verdict:
    target = wanted(case, "claims_count")
    seen, ours = _seen(case)
    claims = seen.only.claims if seen.only is not None else ()
    others = [it for it in claims if it is not ours]
    findings = [
        Finding(_name(it), f"expected no backup claim beside the shared one, seen it ({it.why})")
        for it in others
    ]
    if seen.values and not claims:
        text = "seen no claim that holds backups at all, so nothing says what one is called"
        findings.append(unknown("everywhere", text))
    return conclude(
        findings,
        seen,
        proven="no claim but the shared one holds backups",
        measured={"claims_count": len(claims)} if seen.values else {},
        target=target,
    )


def layout(case: Case) -> Verdict:
    declared = _declared(case)
    seen, ours = _seen(case)
    where = _name(ours) if ours is not None else "the backups"
    found = seen.only.layout if seen.only is not None else None
    what = "files" if declared.flat else "customers"
    active = (found.value.active or ()) if isinstance(found, Known) else ()
    return conclude(
        _laid_out(where, found, declared) if seen.values else [],
        seen,
        proven=f"{declared.active}/ holds backups ({len(active)} {what}), and at the top are "
        f"{names(f'{name}/' for name in declared.folders)} alone",
        measured={f"{what}_count": len(active)} if isinstance(found, Known) else {},
    )


def _laid_out(where: str, found: Item[Layout] | None, declared: BackupClaim) -> list[Finding]:
    if found is None:
        return [unknown(where, "there is no claim to look into")]
    if isinstance(found, Unknown):
        return [unknown(where, found.error)]
    findings = [Finding(where, says) for says in _misplaced(found.value, declared)]
    if not findings and not found.value.active:
        text = f"{declared.active}/ is empty: no customer's backups were seen"
        findings.append(unknown(where, text))
    return findings


def _misplaced(found: Layout, declared: BackupClaim) -> Iterator[str]:
    kinds = {it.name: it.kind for it in found.top}
    only = names(f"{name}/" for name in declared.folders)
    for name in declared.folders:
        if kinds.get(name) != "folder":
            yield f"expected a folder {name}/, seen {kinds.get(name, 'none')}"
    for name, kind in kinds.items():
        if name not in (*declared.folders, *_OF_FILE_SYSTEM):
            yield f"expected only {only} at the top, seen the {kind} {name}"
    wanted_kind = "file" if declared.flat else "folder"
    what = "files alone" if declared.flat else "a folder for each customer"
    for it in found.active or ():
        if it.kind != wanted_kind:
            yield f"expected {what} in {declared.active}/, seen the {it.kind} {it.name}"


CHECKS = {
    "an etcd snapshot is fresh": fresh,
    "a copy of the newest snapshot is off its machine": copied,
    "the newest snapshot restores": restores,
    "one shared claim holds the backups": shared_claim,
    "no instance has a backup claim of its own": no_other_claim,
    "backups lie as declared": layout,
}
