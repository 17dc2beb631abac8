"""W3-ROOK: every machine can mount storage: the class, its drivers, their controllers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from harness.checks.findings import Finding, conclude, joined, names, unknown
from harness.checks.rook import declared_rook, item, looked_at, odd, unready
from harness.core.declared import RookDeclared
from harness.core.model import Case, Verdict
from harness.facts import rook
from harness.facts.rook import DaemonSet, Deployment, Drivers, Lease, Pod, StorageClass

# The end of the name of every driver of Ceph-CSI, whatever its prefix.
_CEPH = "csi.ceph.com"


def storage_class_is_declared(case: Case) -> Verdict:
    declared = declared_rook(case)
    seen, drivers = item(case, rook.STORAGE_CLASS), item(case, rook.DRIVER_NAMES)
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
            Finding(where, f"expected provisioner {told['cephfs']}, seen {found.provisioner}")
            for told in drivers.values.values()
            if told.get("cephfs", found.provisioner) != found.provisioner
        ]
        if not found.expands:
            findings.append(Finding(where, "expected claims that can grow, seen it off"))
        if not found.secrets:
            findings.append(Finding(where, "expected the names of its secrets, seen none"))
        for secret, there in found.secrets.items():
            if not there:
                findings.append(Finding(where, f"expected the secret {secret}, seen none"))
    proven = f"{where} is as declared, and its secrets exist"
    return conclude(findings, joined(seen, drivers), proven=proven)


def _parameters(
    found: StorageClass, declared: RookDeclared
) -> Iterator[tuple[str, str, str | None]]:
    yield "clusterID", declared.cluster_id, found.parameters.get("clusterID")
    yield "fsName", declared.filesystem, found.parameters.get("fsName")
    yield "pool", declared.pool, found.parameters.get("pool")
    yield "reclaimPolicy", declared.reclaim_policy, found.reclaims


def drivers_are_declared(case: Case) -> Verdict:
    """Each declared driver is registered; where the profile says absent, there is none of Ceph's.

    Then two scenarios about drivers do not apply, so a driver that exists would not be judged.
    """
    declared = declared_rook(case)
    told, csi = item(case, rook.DRIVER_NAMES), item(case, rook.DRIVERS)
    if declared.csi == "absent":
        findings = [
            Finding(driver, f"expected none (rook.csi: absent), seen {where}")
            for drivers in csi.values.values()
            for driver, where in _of_ceph(drivers)
        ]
        return conclude(findings, csi, proven="there are no CSI drivers of Ceph, as declared")
    findings = [
        Finding(driver, "expected a CSIDriver of this name, seen none")
        for drivers in csi.values.values()
        for _, driver in _names(declared, told.values.values())
        if driver not in drivers.registered
    ]
    return conclude(findings, joined(told, csi), proven=f"{names(declared.drivers)} are registered")


def _of_ceph(drivers: Drivers) -> Iterator[tuple[str, str]]:
    """Each driver of Ceph that the cluster knows, and where it is known."""
    for driver in drivers.registered:
        if driver.endswith(_CEPH):
            yield driver, "a CSIDriver"
    for driver in drivers.objects:
        yield driver, "a Driver of the CSI operator"
    for machine, listed in drivers.machines.items():
        for driver in listed:
            if driver.endswith(_CEPH):
                yield driver, f"it in the CSINode of {machine}"


def drivers_are_everywhere(case: Case) -> Verdict:
    """Each driver is registered, known to each kubelet, and has a ready pod on each machine."""
    declared = declared_rook(case)
    told, csi = item(case, rook.DRIVER_NAMES), item(case, rook.DRIVERS)
    daemon_sets, pods = item(case, rook.DAEMON_SETS), item(case, rook.PODS)
    findings: list[Finding] = []
    for kind, driver in _names(declared, told.values.values()):
        for drivers in csi.values.values():
            findings += _unregistered(case, driver, drivers)
        if daemon_sets.only is not None and pods.only is not None:
            findings += _plugins(case, kind, driver, daemon_sets.only, pods.only)
    return conclude(
        findings,
        joined(told, csi, daemon_sets, pods),
        proven=f"{names(declared.drivers)} work on all {len(case.cluster.machines)} machines",
    )


def _names(declared: RookDeclared, told: Iterable[Mapping[str, str]]) -> Iterator[tuple[str, str]]:
    """The declared kinds of drivers, and the name of each in this cluster."""
    for names_ in told:
        for kind in declared.drivers:
            yield kind, names_[kind]


def _unregistered(case: Case, driver: str, drivers: Drivers) -> Iterator[Finding]:
    if driver not in drivers.registered:
        yield Finding(driver, "expected a CSIDriver of this name, seen none")
    for machine in case.cluster.machines:
        if machine.name in odd(case, rook.DRIVERS):
            continue
        if driver not in drivers.machines.get(machine.name, ()):
            text = f"expected its CSINode to list {driver}, seen it without"
            yield Finding(machine.name, text)


def _plugins(
    case: Case,
    kind: str,
    driver: str,
    daemon_sets: Mapping[str, DaemonSet],
    pods: Iterable[Pod],
) -> Iterator[Finding]:
    """A driver's daemon set: the CSI operator's, or else the one that Rook itself deploys."""
    space = declared_rook(case).operator_namespace
    ours = [f"{space}/{driver}-nodeplugin", f"{space}/csi-{kind}plugin"]
    found = [name for name in ours if name in daemon_sets or name in odd(case, rook.DAEMON_SETS)]
    if not found:
        yield Finding(ours[0], "expected this daemon set, seen none")
        return
    if odd(case, rook.PODS):
        return
    ready = {pod.machine for pod in pods if pod.of in found and pod.ready}
    for machine in case.cluster.machines:
        if machine.name not in ready:
            text = f"expected a ready pod of {found[0]}, seen none"
            yield Finding(machine.name, text)


def controllers_lead(case: Case) -> Verdict:
    """Each driver's controllers are available, and one of them holds a lease that it renews."""
    declared = declared_rook(case)
    told, csi = item(case, rook.DRIVER_NAMES), item(case, rook.DRIVERS)
    workloads = item(case, rook.DEPLOYMENTS)
    findings: list[Finding] = []
    for kind, driver in _names(declared, told.values.values()):
        for deployments in workloads.values.values():
            findings += _controllers(case, kind, driver, deployments)
        for drivers in csi.values.values():
            if driver in drivers.leaders:
                findings += _leaderless(driver, drivers.leaders[driver], looked_at(case))
    return conclude(
        findings,
        joined(told, csi, workloads),
        proven=f"the controllers of {names(declared.drivers)} are available and have a leader",
    )


def _controllers(
    case: Case, kind: str, driver: str, deployments: Mapping[str, Deployment]
) -> Iterator[Finding]:
    """A driver's deployment: the CSI operator's, or else the one that Rook itself makes."""
    space = declared_rook(case).operator_namespace
    ours = [f"{space}/{driver}-ctrlplugin", f"{space}/csi-{kind}plugin-provisioner"]
    if any(name in odd(case, rook.DEPLOYMENTS) for name in ours):
        return
    for name in [name for name in ours if name in deployments] or ours[:1]:
        yield from unready(name, deployments)


def _leaderless(driver: str, lease: Lease | None, now: float) -> Iterator[Finding]:
    if lease is None or not lease.holder:
        yield Finding(driver, "expected a leader among its controllers, seen none")
    elif lease.renewed_at is None or lease.lasts_s is None:
        yield unknown(driver, "its controllers' lease does not say how long it lasts")
    elif now - lease.renewed_at > lease.lasts_s:
        ago = f"{now - lease.renewed_at:.0f} s ago"
        text = f"expected its leader {lease.holder} to renew its lease"
        yield Finding(driver, f"{text} every {lease.lasts_s} s, last seen {ago}")


CHECKS = {
    "the CSI drivers are the declared ones": drivers_are_declared,
    "Rook's storage class is as declared": storage_class_is_declared,
    "the CSI drivers are on every machine": drivers_are_everywhere,
    "the CSI controllers have a leader": controllers_lead,
}
