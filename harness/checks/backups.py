"""W3-BACKUPS: one shared claim holds every customer's backups, in one known order."""

from __future__ import annotations

from collections.abc import Iterator

from harness.checks.findings import Finding, Seen, conclude, look, names, unknown, wanted
from harness.core.model import BackupClaim, Case, Verdict
from harness.facts.backups import BACKUP_CLAIMS, BackupClaims, Claim, Layout
from harness.facts.schema import Item, Known, Unknown

_GIB = 1024**3
# Names that a file system itself creates at the top of a volume.
_OF_FILE_SYSTEM = ("lost+found",)


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
    "one shared claim holds the backups": shared_claim,
    "no instance has a backup claim of its own": no_other_claim,
    "backups lie as declared": layout,
}
