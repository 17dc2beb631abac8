"""W1-SNAPSHOT: the cluster's memory could be had back after a disaster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.checks.findings import Facts, Finding, conclude, looks, names, unknown, wanted
from harness.model import Case, Verdict

_PROBE = "etcd-snapshots"
_HOUR_S = 3600


def _seen(case: Case) -> tuple[Facts, Mapping[str, Any]]:
    seen = looks(case, _PROBE, [case.cluster.name])
    return seen, seen.values.get(case.cluster.name, {})


def _ages(case: Case, kind: str) -> tuple[Facts, dict[str, float]]:
    """Age in hours of every file of a kind, by name, and the servers that could not be asked."""
    whole, value = _seen(case)
    taken: dict[str, float] = {}
    gaps = list(whole.unseen)
    for server in case.cluster.servers if value else ():
        items = value["listed"].get(server.name, {"error": "nobody looked there"})
        found = items.get(kind, items)
        if "error" in found:
            gaps.append(unknown(server.name, f"{kind}: {found['error']}"))
            continue
        taken |= {file["name"]: file["modified"] for file in found["value"]}
    at = case.of(_PROBE)[case.cluster.name].at if value else 0.0
    ages = {name: (at - modified) / _HOUR_S for name, modified in taken.items()}
    return Facts(dict(ages), tuple(gaps)), ages


def fresh(case: Case) -> Verdict:
    """On each server that could be asked: RKE2 takes them on every one."""
    target = wanted(case, "snapshot_age_hours")
    limit = target["snapshot_age_hours"]
    seen, ages = _ages(case, "snapshots")
    findings = []
    if not ages and not seen.unseen:
        findings.append(Finding("etcd", "expected a snapshot, seen none on any server"))
    elif ages and min(ages.values()) > limit:
        text = f"expected a snapshot of the last {limit:g} hours, seen the newest to be"
        findings.append(Finding("etcd", f"{text} {min(ages.values()):.1f} hours old"))
    return conclude(
        findings,
        seen,
        proven=f"the newest snapshot is {min(ages.values(), default=0):.1f} hours old",
        measured={"snapshot_age_hours": min(ages.values())} if ages else {},
        target=target,
    )


def copied(case: Case) -> Verdict:
    """A copy counts when a server sees it that did not take the snapshot, and it is the same."""
    limit = wanted(case, "snapshot_age_hours")["snapshot_age_hours"]
    seen, ages = _ages(case, "copies")
    newest: Mapping[str, Any] = _seen(case)[1].get("newest") or {}
    findings = []
    if not ages and not seen.unseen:
        findings.append(Finding("etcd", "expected a copy off the machine, seen none"))
    elif ages:
        name = newest["name"]
        if min(ages.values()) > limit:
            text = f"expected a copy of the last {limit:g} hours, seen the newest to be"
            findings.append(Finding("etcd", f"{text} {min(ages.values()):.1f} hours old"))
        if not set(newest["seen_by"]) - set(newest["origin"]):
            text = f"expected another machine to see its copy of {name}, seen none that does"
            findings.append(Finding(names(newest["origin"]), text))
        findings += _same(case, name)
    return conclude(
        findings,
        seen,
        proven=f"{newest.get('name')} is off its machine too, unchanged",
    )


def _same(case: Case, name: str) -> list[Finding]:
    """Whether copy and original agree, where the original still lies on a server."""
    value = _seen(case)[1]
    original, restored = value["original"], value["restored"]
    if original is None:
        return []
    for found in (original, restored):
        if "error" in found:
            return [unknown("etcd", f"{name} could not be compared: {found['error']}")]
    if original["value"] != restored["value"]["sha256"]:
        return [Finding("etcd", f"expected the copy of {name} unchanged, seen other bytes")]
    return []


def restores(case: Case) -> Verdict:
    """Into a scratch etcd: at the snapshot's own revision, every key, and of this very cluster."""
    seen, value = _seen(case)
    newest: Mapping[str, Any] = value.get("newest") or {}
    restored: Mapping[str, Any] = value.get("restored") or {}
    found: Mapping[str, Any] = restored.get("value", {})
    findings = []
    if value and not newest:
        findings.append(Finding("etcd", "expected a snapshot to restore, seen none"))
    elif "error" in restored:
        findings.append(unknown(newest["restored_on"], restored["error"]))
    elif value:
        findings = [Finding("etcd", f"{newest['name']}: {text}") for text in _wrong(found)]
        findings = findings or [
            *_uncounted(newest, found),
            *_stranger(newest["name"], found["uid"], value["cluster_uid"]),
        ]
    return conclude(
        findings,
        seen,
        proven=f"{newest.get('name')} restores at revision {found.get('revision')} "
        f"with all of its {found.get('keys')} keys",
        measured={"keys_count": found["keys"]} if "keys" in found else {},
    )


def _uncounted(newest: Mapping[str, Any], found: Mapping[str, Any]) -> list[Finding]:
    """Whether nobody knows how many keys there should be."""
    if found.get("expected_keys") is not None:
        return []
    text = f"{newest['name']}: how many keys it holds is not known: the etcdutl there counts"
    return [unknown(newest["restored_on"], f"{text} more than keys (3.6 and newer do not)")]


def _stranger(name: str, uid: str | None, cluster: str | None) -> list[Finding]:
    """Whether the snapshot is of another cluster than this one."""
    if cluster is None:
        return [unknown("etcd", "the cluster did not say who it is, to compare")]
    if uid != cluster:
        return [Finding("etcd", f"{name}: expected a snapshot of {cluster}, seen one of {uid}")]
    return []


def _wrong(found: Mapping[str, Any]) -> list[str]:
    if "refused" in found:
        return [f"expected it to restore, seen {found['refused']}"]
    wrong = []
    if found["revision"] != found["expected_revision"]:
        text = f"expected revision {found['expected_revision']}, seen {found['revision']}"
        wrong.append(text)
    keys = found.get("expected_keys")
    if not found["keys"]:
        wrong.append("expected keys, seen none")
    elif keys is not None and found["keys"] != keys:
        wrong.append(f"expected {keys} keys, as before it was restored, seen {found['keys']}")
    return wrong


CHECKS = {
    "an etcd snapshot is fresh": fresh,
    "a copy of the newest snapshot is off its machine": copied,
    "the newest snapshot restores": restores,
}
