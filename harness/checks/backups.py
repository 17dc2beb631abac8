"""W3-BACKUPS: one shared claim holds every customer's backups, in one known order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.checks.findings import Facts, Finding, conclude, looks, names, unknown, wanted
from harness.model import Case, Verdict

_PROBE = "backup-claims"
_GIB = 1024**3
_SHARED = "ReadWriteMany"
_TOP = ("active", "staging")
# What a file system puts at the top of a volume by itself.
_OF_NOBODY = ("lost+found",)


def _seen(case: Case) -> tuple[Facts, Mapping[str, Any] | None, Mapping[str, Any] | None]:
    """The facts, what was seen, and the declared claim of it."""
    seen = looks(case, _PROBE, [case.cluster.name])
    value = seen.values.get(case.cluster.name)
    wanted_name = (case.cluster.backups.get("namespace"), case.cluster.backups.get("claim"))
    claims = value["claims"] if value is not None else ()
    ours = [it for it in claims if (it["namespace"], it["name"]) == wanted_name]
    return seen, value, ours[0] if ours else None


def _name(claim: Mapping[str, Any]) -> str:
    return f"{claim['namespace']}/{claim['name']}"


def shared_claim(case: Case) -> Verdict:
    target = wanted(case, "claim_gib")
    seen, value, ours = _seen(case)
    declared = f"{case.cluster.backups.get('namespace')}/{case.cluster.backups.get('claim')}"
    findings = []
    if value is not None and ours is None:
        findings.append(Finding(declared, "expected this claim, seen none of that name"))
    elif ours is not None:
        findings = [Finding(declared, says) for says in _wrong_claim(ours, target["claim_gib"])]
    size = {"claim_gib": round(ours["bytes"] / _GIB, 1)} if ours is not None else {}
    return conclude(
        findings,
        seen,
        proven=f"{declared} is bound, shared, and large enough",
        measured=size,
        target=target,
    )


def _wrong_claim(claim: Mapping[str, Any], at_least_gib: float) -> Iterator[str]:
    if claim["phase"] != "Bound":
        yield f"expected it to be bound, seen {claim['phase']}"
    if _SHARED not in claim["modes"]:
        yield f"expected it to be {_SHARED}, seen {names(claim['modes'] or ['no mode'])}"
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
    seen, value, ours = _seen(case)
    where = _name(ours) if ours is not None else "the backups"
    found = value["layout"] if value is not None else None
    findings = []
    if value is not None and found is None:
        findings.append(unknown(where, "there is no claim to look into"))
    elif found is not None and "error" in found:
        findings.append(unknown(where, found["error"]))
    elif found is not None:
        findings = [Finding(where, says) for says in _misplaced(found["value"])]
        if not findings and not found["value"]["active"]:
            findings.append(
                unknown(where, "active/ is empty: not one customer's backups were seen")
            )
    customers = len(found["value"]["active"] or ()) if found and "value" in found else 0
    return conclude(
        findings,
        seen,
        proven=f"active/ holds {customers} customers' backups, staging/ is there, nothing else is",
        measured={"customers_count": customers} if found and "value" in found else {},
    )


def _misplaced(found: Mapping[str, Any]) -> Iterator[str]:
    kinds = {it["name"]: it["kind"] for it in found["top"]}
    for name in _TOP:
        if kinds.get(name) != "folder":
            yield f"expected a folder {name}/, seen {kinds.get(name, 'none')}"
    for name, kind in kinds.items():
        if name not in (*_TOP, *_OF_NOBODY):
            yield f"expected only active/ and staging/ at the top, seen the {kind} {name}"
    for it in found["active"] or ():
        if it["kind"] != "folder":
            text = "expected a folder for each customer in active/, seen the"
            yield f"{text} {it['kind']} {it['name']}"


CHECKS = {
    "one shared claim holds the backups": shared_claim,
    "no instance has a backup claim of its own": no_other_claim,
    "backups lie in active and staging": layout,
}
