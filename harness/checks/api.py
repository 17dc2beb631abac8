"""W1-API: the API answers through every server, proves itself, and asks who is there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.checks.findings import (
    Facts,
    Finding,
    Seen,
    conclude,
    facts,
    joined,
    looks,
    unknown,
    untyped,
    wanted,
)
from harness.model import Case, Verdict

_API, _HOST, _OBJECTS = "api-endpoints", "host-facts", "api-objects"
_MINUTE_S = 60.0
_DAY_S = 86_400


def ready(case: Case) -> Verdict:
    seen = facts(case, _API, "readyz", case.cluster.servers)
    findings = [
        Finding(name, f"expected /readyz to answer 200, seen {_readiness(value)}")
        for name, value in seen.values.items()
        if value["status"] != 200 or value["failed"]
    ]
    return conclude(findings, seen, proven="every API server says that it is ready")


def _readiness(value: dict[str, Any]) -> str:
    failed = f" with failed checks: {', '.join(value['failed'])}" if value["failed"] else ""
    return f"{_status(value)}{failed}"


def _status(value: dict[str, Any]) -> str:
    """The status of an answer; 0 stands for none, because the port is closed."""
    return str(value["status"] or "its port closed")


def answers_everywhere(case: Case) -> Verdict:
    seen = facts(case, _API, "namespace", case.cluster.servers)
    findings = [
        Finding(name, f"expected the namespace kube-system, seen {_status(value)}")
        for name, value in seen.values.items()
        if value["status"] != 200 or not value["uid"]
    ]
    uids = {name: value["uid"] for name, value in seen.values.items() if value["uid"]}
    if len(set(uids.values())) > 1:
        told = ", ".join(f"{name} serves {uid}" for name, uid in uids.items())
        findings.append(Finding("the API", f"expected one cluster, seen several: {told}"))
    return conclude(findings, seen, proven="every server answers for the same cluster")


def certificates_last(case: Case) -> Verdict:
    """Of the files on each server, and of what each API server really shows."""
    target = wanted(case, "certificate_days")
    limit = target["certificate_days"]
    files = facts(case, _HOST, "certificates", case.cluster.servers)
    shown = facts(case, _API, "certificate", case.cluster.servers)
    findings = [
        unknown(name, f"no certificate matches {pattern}")
        for name, value in files.values.items()
        for pattern in value["unmatched"]
    ]
    left = list(_days_left(case, files, shown))
    findings += [
        Finding(name, f"expected {limit:g} more days of {what}, seen {days:.0f}")
        for name, what, days in left
        if days < limit
    ]
    return conclude(
        findings,
        joined(files, shown),
        proven=f"every certificate is valid for more than {limit:g} days",
        measured={"certificate_days": min(days for *_, days in left)} if left else {},
        target=target,
    )


def _days_left(case: Case, files: Facts, shown: Facts) -> Iterator[tuple[str, str, float]]:
    """Machine, certificate, and the days that it was still valid when it was looked at."""
    for name, value in files.values.items():
        for found in value["files"]:
            days = (found["not_after"] - case.of(_HOST)[name].at) / _DAY_S
            yield name, found["path"], days
    for name, found in shown.values.items():
        text = f"the certificate that the API server shows ({found['subject']})"
        yield name, text, (found["not_after"] - case.of(_API)[name].at) / _DAY_S


def anonymous_refused(case: Case) -> Verdict:
    """401 means that nobody unknown comes in; 403 that they do, and are merely not permitted."""
    api = facts(case, _API, "anonymous api", case.cluster.servers)
    kubelets = facts(case, _API, "anonymous kubelet", case.cluster.machines)
    findings = [
        Finding(name, f"expected the {what} to answer 401 to a stranger, seen {status}")
        for what, part in (("API server", api), ("kubelet", kubelets))
        for name, status in part.values.items()
        if status != 401
    ]
    return conclude(
        findings,
        joined(api, kubelets),
        proven="no API server and no kubelet lets a stranger in",
    )


def kubeconfigs_private(case: Case) -> Verdict:
    servers = [machine.name for machine in case.cluster.servers]
    whole = looks(case, untyped(_HOST), servers)
    findings = []
    values = {}
    for name, items in whole.values.items():
        for item, found in items.items():
            if not item.startswith("kubeconfig "):
                continue
            if "error" in found:
                findings.append(unknown(name, f"{item}: {found['error']}"))
                continue
            values[f"{name} {item}"] = found["value"]
            mode, owner = found["value"]["mode"], found["value"]["owner"]
            if int(mode, 8) & 0o007 or owner != "root":
                text = f"expected {item} closed to others and root's, seen {mode} of {owner}"
                findings.append(Finding(name, text))
    return conclude(
        findings, Seen(values, whole.unseen), proven="every kubeconfig is readable by root alone"
    )


def services_available(case: Case) -> Verdict:
    """An unavailable one breaks ``kubectl`` for its group, and the deletion of every namespace."""
    seen = looks(case, untyped(_OBJECTS), [case.cluster.name])
    services = seen.values[case.cluster.name]["services"] if seen.values else {}
    findings = [
        unknown(name, it["error"])
        if "error" in it
        else Finding(name, f"expected Available, seen Available={it['available']}: {it['message']}")
        for name, it in services.items()
        if it.get("available") != "True"
    ]
    if seen.values and not services:
        findings.append(unknown("the API", "it lists no APIService at all"))
    return conclude(findings, seen, proven=f"all {len(services)} API services are available")


def namespaces_go(case: Case) -> Verdict:
    target = wanted(case, "terminating_minutes")
    limit = target["terminating_minutes"]
    seen = looks(case, untyped(_OBJECTS), [case.cluster.name])
    going = seen.values[case.cluster.name]["terminating"] if seen.values else {}
    at = case.of(_OBJECTS)[case.cluster.name].at if seen.values else 0.0
    # The harness's own come first: `./cutover heal` removes them.
    ordered = sorted(going.items(), key=lambda it: (not it[1].get("ours"), it[0]))
    findings = []
    ages = {name: (at - it["since"]) / _MINUTE_S for name, it in ordered if "error" not in it}
    for name, it in ordered:
        if "error" in it:
            findings.append(unknown(name, it["error"]))
        elif ages[name] > limit:
            whose = " (the harness's own)" if it["ours"] else ""
            because = f": {'; '.join(it['messages'])}" if it["messages"] else ""
            text = f"expected the namespace{whose} gone within {limit:g} min of its deletion"
            findings.append(Finding(name, f"{text}, seen it after {ages[name]:.0f} min{because}"))
    return conclude(
        findings,
        seen,
        proven="no namespace is stuck in its deletion",
        measured={"terminating_minutes": max([0.0, *ages.values()])} if seen.values else {},
        target=target,
    )


CHECKS = {
    "every API service is available": services_available,
    "no namespace is stuck in its deletion": namespaces_go,
    "every API server is ready": ready,
    "the API answers through every server": answers_everywhere,
    "every certificate lasts long enough": certificates_last,
    "strangers are refused": anonymous_refused,
    "every kubeconfig is private": kubeconfigs_private,
}
