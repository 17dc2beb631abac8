"""W3-ROOK: every machine can be given storage: the class, its drivers, their controllers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from harness.checks.findings import Finding, conclude, joined, names, unknown
from harness.checks.rook import unready
from harness.checks.rook_items import declared_rook, item, looked_at, odd
from harness.model import Case, RookDeclared, Verdict


def storage_class_is_declared(case: Case) -> Verdict:
    declared = declared_rook(case)
    seen, drivers = item(case, "storage class"), item(case, "driver names")
    where = f"StorageClass {declared.storage_class}"
    findings = []
    for found in seen.values.values():
        if found is None:
            findings.append(Finding(where, "expected it, seen none"))
            continue
        findings += [
            Finding(where, f"expected {what} {want}, seen {have or 'none'}")
            for what, want, have in _parameters(found, declared)
            if want != have
        ]
        findings += [
            Finding(where, f"expected provisioner {told['cephfs']}, seen {found['provisioner']}")
            for told in drivers.values.values()
            if told.get("cephfs", found["provisioner"]) != found["provisioner"]
        ]
        if not found["expands"]:
            findings.append(Finding(where, "expected claims that can grow, seen it off"))
        if not found["secrets"]:
            findings.append(Finding(where, "expected the names of its secrets, seen none"))
        for secret, there in found["secrets"].items():
            if not there:
                findings.append(Finding(where, f"expected the secret {secret}, seen none"))
    proven = f"{where} is as declared, and its secrets exist"
    return conclude(findings, joined(seen, drivers), proven=proven)


def _parameters(
    found: Mapping[str, Any], declared: RookDeclared
) -> Iterator[tuple[str, str, str | None]]:
    yield "clusterID", declared.cluster_id, found["parameters"]["clusterID"]
    yield "fsName", declared.filesystem, found["parameters"]["fsName"]
    yield "pool", declared.pool, found["parameters"]["pool"]
    yield "reclaimPolicy", declared.reclaim_policy, found["reclaims"]


def drivers_are_everywhere(case: Case) -> Verdict:
    """Registered, known to each machine's kubelet, and a ready pod on each machine."""
    declared = declared_rook(case)
    seen = [item(case, name) for name in ("driver names", "drivers", "daemon sets", "pods")]
    told, csi, daemon_sets, pods = (list(part.values.values()) for part in seen)
    findings: list[Finding] = []
    for kind, driver in _names(declared, told):
        for drivers in csi:
            findings += _unregistered(case, driver, drivers)
        for sets, running in zip(daemon_sets, pods, strict=False):
            findings += _plugins(case, kind, driver, sets, running)
    return conclude(
        findings,
        joined(*seen),
        proven=f"{names(declared.drivers)} work on all {len(case.cluster.machines)} machines",
    )


def _names(declared: RookDeclared, told: Iterable[Mapping[str, str]]) -> Iterator[tuple[str, str]]:
    """The declared kinds of drivers, and the name that each goes by in this cluster."""
    for names_ in told:
        for kind in declared.drivers:
            yield kind, names_[kind]


def _unregistered(case: Case, driver: str, drivers: Mapping[str, Any]) -> Iterator[Finding]:
    if driver not in drivers["registered"]:
        yield Finding(driver, "expected a CSIDriver of this name, seen none")
    for machine in case.cluster.machines:
        if machine.name in odd(case, "drivers"):
            continue
        if driver not in drivers["machines"].get(machine.name, ()):
            text = f"expected its CSINode to list {driver}, seen it without"
            yield Finding(machine.name, text)


def _plugins(
    case: Case,
    kind: str,
    driver: str,
    daemon_sets: Mapping[str, Any],
    pods: Iterable[Mapping[str, Any]],
) -> Iterator[Finding]:
    """A driver's daemon set: the CSI operator's, or else the one that Rook itself deploys."""
    space = declared_rook(case).operator_namespace
    ours = [f"{space}/{driver}-nodeplugin", f"{space}/csi-{kind}plugin"]
    found = [name for name in ours if name in daemon_sets or name in odd(case, "daemon sets")]
    if not found:
        yield Finding(ours[0], "expected this daemon set, seen none")
        return
    if odd(case, "pods"):
        return
    ready = {pod["machine"] for pod in pods if pod["of"] in found and pod["ready"]}
    for machine in case.cluster.machines:
        if machine.name not in ready:
            text = f"expected a ready pod of {found[0]}, seen none"
            yield Finding(machine.name, text)


def controllers_lead(case: Case) -> Verdict:
    """Each driver's controllers are available, and one of them holds a lease that it renews."""
    declared = declared_rook(case)
    seen = [item(case, name) for name in ("driver names", "drivers", "deployments")]
    told, csi, workloads = (list(part.values.values()) for part in seen)
    findings: list[Finding] = []
    for kind, driver in _names(declared, told):
        for deployments in workloads:
            findings += _controllers(case, kind, driver, deployments)
        for leaders in (it["leaders"] for it in csi):
            if driver in leaders:
                findings += _leaderless(driver, leaders[driver], looked_at(case))
    return conclude(
        findings,
        joined(*seen),
        proven=f"the controllers of {names(declared.drivers)} are available and have a leader",
    )


def _controllers(
    case: Case, kind: str, driver: str, deployments: Mapping[str, Any]
) -> Iterator[Finding]:
    """A driver's deployment: the CSI operator's, or else the one that Rook itself makes."""
    space = declared_rook(case).operator_namespace
    ours = [f"{space}/{driver}-ctrlplugin", f"{space}/csi-{kind}plugin-provisioner"]
    if any(name in odd(case, "deployments") for name in ours):
        return
    for name in [name for name in ours if name in deployments] or ours[:1]:
        yield from unready(name, deployments)


def _leaderless(driver: str, lease: Mapping[str, Any] | None, now: float) -> Iterator[Finding]:
    if lease is None or not lease["holder"]:
        yield Finding(driver, "expected a leader among its controllers, seen none")
    elif lease["renewed_at"] is None or lease["lasts_s"] is None:
        yield unknown(driver, "its controllers' lease does not say how long it lasts")
    elif now - lease["renewed_at"] > lease["lasts_s"]:
        ago = f"{now - lease['renewed_at']:.0f} s ago"
        text = f"expected its leader {lease['holder']} to renew its lease"
        yield Finding(driver, f"{text} every {lease['lasts_s']} s, last seen {ago}")


CHECKS = {
    "Rook's storage class is as declared": storage_class_is_declared,
    "the CSI drivers are on every machine": drivers_are_everywhere,
    "the CSI controllers have a leader": controllers_lead,
}
