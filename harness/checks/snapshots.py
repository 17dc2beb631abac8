"""W1-SNAPSHOT: the cluster's memory could be had back after a disaster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
from harness.facts.snapshot_files import not_whole
from harness.model import Case, Verdict

_PROBE = "etcd-snapshots"
_HOUR_S = 3600


def _seen(case: Case) -> tuple[Facts, Mapping[str, Any]]:
    seen = looks(case, untyped(_PROBE), [case.cluster.name])
    return seen, seen.values.get(case.cluster.name, {})


def _ages(case: Case, kind: str) -> tuple[Facts, dict[str, float], list[str]]:
    """Age in hours of every whole file of a kind, by name, and the gaps; what is passed over."""
    whole, value = _seen(case)
    gaps = list(whole.unseen)
    files: list[tuple[str, Mapping[str, Any]]] = []
    for where, found in _places(case, value, kind) if value else ():
        if "error" in found:
            gaps.append(unknown(where, f"{kind}: {found['error']}"))
        else:
            files += [(where, file) for file in found["value"]]
    strays = [(where, str(file["name"]), not_whole(file)) for where, file in files]
    passed_over = [f"{name} on {where} {why}" for where, name, why in strays if why]
    at = case.of(_PROBE)[case.cluster.name].at if value else 0.0
    ages = {
        file["name"]: (at - file["modified"]) / _HOUR_S
        for _, file in files
        if not_whole(file) is None and file.get("ready", True)
    }
    return Seen(dict(ages), tuple(gaps)), ages, sorted(passed_over)


def _places(
    case: Case, value: Mapping[str, Any], kind: str
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Where files of a kind lie, and what is known of them there."""
    if kind == "copies" and value.get("s3") is not None:
        yield "S3", value["s3"]
        return
    for server in case.cluster.servers:
        items = value["listed"].get(server.name, {"error": "the probe did not look there"})
        yield server.name, items.get(kind, items)


def _also(passed_over: Sequence[str]) -> str:
    """A word about files that are no whole snapshots."""
    return f" (passed over: {', '.join(passed_over)})" if passed_over else ""


def fresh(case: Case) -> Verdict:
    """On each server that could be asked: RKE2 takes them on every one. Only whole ones count."""
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
    """A copy counts when a server sees it that did not take the snapshot, and it is the same.

    In S3 it counts by RKE2's own record of its uploads.
    """
    limit = wanted(case, "snapshot_age_hours")["snapshot_age_hours"]
    seen, ages, passed_over = _ages(case, "copies")
    value = _seen(case)[1]
    also = _also(passed_over)
    findings = []
    if not ages and not seen.unseen:
        findings.append(Finding("etcd", f"expected a copy off the machine, seen none{also}"))
        findings += _uploaded(value) if value.get("s3") else []
    elif ages:
        if min(ages.values()) > limit:
            text = f"expected a copy of the last {limit:g} hours, seen the newest to be"
            findings.append(Finding("etcd", f"{text} {min(ages.values()):.1f} hours old{also}"))
        findings += _uploaded(value) if value.get("s3") else _elsewhere(case, value["newest"])
    newest = min(ages, key=ages.__getitem__, default=None)
    place = "in S3, as RKE2 records it" if value.get("s3") else "off its machine too, unchanged"
    return conclude(findings, seen, proven=f"{newest} is {place}{also}")


def _elsewhere(case: Case, newest: Mapping[str, Any]) -> list[Finding]:
    """What is wrong with the newest copy that servers see."""
    findings = []
    if not set(newest["seen_by"]) - set(newest["origin"]):
        text = f"expected another machine to see its copy of {newest['name']}, seen none that does"
        findings.append(Finding(names(newest["origin"]), text))
    return [*findings, *_same(case, newest["name"])]


def _uploaded(value: Mapping[str, Any]) -> list[Finding]:
    """What is wrong with RKE2's uploads: the last one failed, or is of another size."""
    uploads = value["s3"]["value"]
    last = max(uploads, key=lambda file: float(file["modified"]), default=None)
    findings = []
    if last is not None and not last["ready"]:
        text = f"expected {last['name']} to be uploaded, seen {last['error'] or 'it is not ready'}"
        findings.append(Finding("S3", text))
    sizes = {
        file["name"]: file["bytes"]
        for items in value["listed"].values()
        for file in items.get("snapshots", {}).get("value", ())
    }
    for file in uploads:
        own = sizes.get(file["name"], file["bytes"])
        if file["ready"] and own != file["bytes"]:
            text = f"expected {file['name']} with its {own} bytes, seen {file['bytes']}"
            findings.append(Finding("S3", text))
    return findings


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
    remedy = "more than keys (3.6 and newer do not: kubernetes.etcd_tools_image)"
    return [unknown(newest["restored_on"], f"{text} {remedy}")]


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
