"""W3-BACKUPS: one shared claim holds every customer's backups, in one known order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.checks.findings import (
    Facts,
    Finding,
    Seen,
    conclude,
    looks,
    names,
    unknown,
    untyped,
    wanted,
)
from harness.model import BackupClaim, Case, Verdict

_PROBE = "backup-claims"
_GIB = 1024**3
# What a file system puts at the top of a volume by itself.
_OF_NOBODY = ("lost+found",)


def _declared(case: Case) -> BackupClaim:
    """What the profile declares; AssertionError, hence NOT PROVEN, without it."""
    assert case.cluster.backups is not None, "the requirement needs a claim for backups"
    return case.cluster.backups


def _seen(case: Case) -> tuple[Facts, Mapping[str, Any] | None, Mapping[str, Any] | None]:
    """The facts, what was seen, and the declared claim of it."""
    declared = _declared(case)
    seen = looks(case, untyped(_PROBE), [case.cluster.name])
    value = seen.values.get(case.cluster.name)
    if value is None:
        return seen, None, None
    odd = tuple(unknown(name, why) for name, why in value.get("odd", {}).items())
    wanted_name = (declared.namespace, declared.claim)
    ours = [it for it in value["claims"] if (it["namespace"], it["name"]) == wanted_name]
    return Seen(seen.values, (*seen.unseen, *odd)), value, ours[0] if ours else None


def _name(claim: Mapping[str, Any]) -> str:
    return f"{claim['namespace']}/{claim['name']}"


def shared_claim(case: Case) -> Verdict:
    target = wanted(case, "claim_gib")
    seen, value, ours = _seen(case)
    mode = _declared(case).access_mode
    declared = f"{_declared(case).namespace}/{_declared(case).claim}"
    findings = []
    if value is not None and ours is None and declared not in value.get("odd", ()):
        findings.append(Finding(declared, "expected this claim, seen none of that name"))
    elif ours is not None:
        wrong = _wrong_claim(ours, mode, target["claim_gib"])
        findings = [Finding(declared, says) for says in wrong]
    size = {"claim_gib": round(ours["bytes"] / _GIB, 1)} if ours is not None else {}
    return conclude(
        findings,
        seen,
        proven=f"{declared} is bound, {mode}, and large enough",
        measured=size,
        target=target,
    )


def _wrong_claim(claim: Mapping[str, Any], mode: str, at_least_gib: float) -> Iterator[str]:
    if claim["phase"] != "Bound":
        yield f"expected it to be bound, seen {claim['phase']}"
    if mode not in claim["modes"]:
        yield f"expected it to be {mode}, seen {names(claim['modes'] or ['no mode'])}"
    if claim["bytes"] < at_least_gib * _GIB:
        yield f"expected {at_least_gib:g} GiB, seen {claim['bytes'] / _GIB:g}"


def no_other_claim(case: Case) -> Verdict:
    target = wanted(case, "claims_count")
    seen, value, ours = _seen(case)
    others = [it for it in value["claims"] if it is not ours] if value is not None else []
    findings = [
        Finding(_name(it), f"expected no backup claim beside the shared one, seen it ({it['why']})")
        for it in others
    ]
    if value is not None and ours is None and not others:
        text = "seen no claim that holds backups at all, so nothing says what one is called"
        findings.append(unknown("everywhere", text))
    return conclude(
        findings,
        seen,
        proven="no claim but the shared one holds backups",
        measured={"claims_count": len(value["claims"])} if value is not None else {},
        target=target,
    )


def layout(case: Case) -> Verdict:
    declared = _declared(case)
    seen, value, ours = _seen(case)
    where = _name(ours) if ours is not None else "the backups"
    found = value["layout"] if value is not None else None
    findings = []
    if value is not None and found is None:
        findings.append(unknown(where, "there is no claim to look into"))
    elif found is not None and "error" in found:
        findings.append(unknown(where, found["error"]))
    elif found is not None:
        findings = [Finding(where, says) for says in _misplaced(found["value"], declared)]
        if not findings and not found["value"]["active"]:
            text = f"{declared.active}/ is empty: not one customer's backups were seen"
            findings.append(unknown(where, text))
    count = len(found["value"]["active"] or ()) if found and "value" in found else 0
    what = "files" if declared.flat else "customers"
    return conclude(
        findings,
        seen,
        proven=f"{declared.active}/ holds backups ({count} {what}), and at the top are "
        f"{names(f'{name}/' for name in declared.folders)} alone",
        measured={f"{what}_count": count} if found and "value" in found else {},
    )


def _misplaced(found: Mapping[str, Any], declared: BackupClaim) -> Iterator[str]:
    kinds = {it["name"]: it["kind"] for it in found["top"]}
    only = names(f"{name}/" for name in declared.folders)
    for name in declared.folders:
        if kinds.get(name) != "folder":
            yield f"expected a folder {name}/, seen {kinds.get(name, 'none')}"
    for name, kind in kinds.items():
        if name not in (*declared.folders, *_OF_NOBODY):
            yield f"expected only {only} at the top, seen the {kind} {name}"
    wanted_kind = "file" if declared.flat else "folder"
    what = "files alone" if declared.flat else "a folder for each customer"
    for it in found["active"] or ():
        if it["kind"] != wanted_kind:
            yield f"expected {what} in {declared.active}/, seen the {it['kind']} {it['name']}"


CHECKS = {
    "one shared claim holds the backups": shared_claim,
    "no instance has a backup claim of its own": no_other_claim,
    "backups lie as declared": layout,
}
