"""W3-ROOK: Rook runs at its declared version, and its Ceph is healthy and as declared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from harness.checks.ceph import beside, lingers
from harness.checks.findings import Finding, Seen, conclude, joined, look, names, unknown, wanted
from harness.core.declared import RookDeclared
from harness.core.model import Case, Verdict
from harness.facts import rook
from harness.facts.ceph_names import are_same_monitors
from harness.facts.rook import (
    BlockPool,
    CephCluster,
    Connection,
    Container,
    Deployment,
    Monitors,
    Pod,
    Pool,
    Understood,
)
from harness.facts.schema import Part, Unknown, part_of

T = TypeVar("T")

_OPERATOR, _CSI_OPERATOR = "rook-ceph-operator", "ceph-csi-controller-manager"
_PHASES = {"external": "Connected", "cluster": "Ready"}
_COPIES = 3
# CRUSH's own types of a host and of what holds hosts: copies in different ones are on other hosts.
_APART = (
    *("host", "chassis", "rack", "row", "pdu", "pod", "room"),
    *("datacenter", "zone", "region"),
)
# The kubelet waits at most 5 min before a restart, and resets that after 10 min without one.
_PEACE_S = 600
# Reasons of a Failed pod that the kubelet ended, because its machine shut down or needed room. The
# workload has started another pod by then; the Failed one stays in the API until it is deleted.
_ENDED_BY_OTHERS = frozenset(
    ("Terminated", "NodeShutdown", "Shutdown", "NodeLost", "Evicted", "Preempting", "Preempted")
)
_STUCK = frozenset(
    (
        "CrashLoopBackOff",
        "ImagePullBackOff",
        "ErrImagePull",
        "InvalidImageName",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
    )
)


def declared_rook(case: Case) -> RookDeclared:
    """What the profile declares of Rook; AssertionError, hence NOT PROVEN, without it."""
    declared = case.cluster.rook
    assert declared is not None, "the requirement needs Rook"
    return declared


def item(case: Case, wanted_: Part[T]) -> Seen[T]:
    """One item of what the probe saw, by the item's name."""
    whole = look(case, rook.ROOK)
    if whole.only is None:
        return Seen({}, whole.unseen)
    odd_ones = tuple(unknown(it, why) for it, why in _odd(whole.only, wanted_).items())
    found = part_of(whole.only, wanted_)
    if isinstance(found, Unknown):
        return Seen({}, (unknown(wanted_.name, found.error), *odd_ones))
    return Seen({wanted_.name: found.value}, odd_ones)


def odd(case: Case, of: Part[object]) -> Mapping[str, str]:
    """The objects of an item that could not be understood, and why. They exist all the same."""
    seen = look(case, rook.ROOK).only
    return {} if seen is None else _odd(seen, of)


def _odd(items: Mapping[str, Understood[object] | Unknown], of: Part[object]) -> Mapping[str, str]:
    found = items.get(of.name)
    return (found.odd or {}) if isinstance(found, Understood) else {}


def looked_at(case: Case) -> float:
    """When the probe looked, in UTC seconds."""
    return case.of(rook.ROOK.name)[case.cluster.name].at


# --- the operator -----------------------------------------------------------------------------


def operator_is_ready(case: Case) -> Verdict:
    """Covers Rook's operator, and the CSI operator if there are Driver objects."""
    space = declared_rook(case).operator_namespace
    seen, csi = item(case, rook.DEPLOYMENTS), item(case, rook.DRIVERS)
    operators = [_OPERATOR]
    operators += [_CSI_OPERATOR for value in csi.values.values() if value.objects]
    findings = [
        finding
        for deployments in seen.values.values()
        for operator in operators
        if f"{space}/{operator}" not in odd(case, rook.DEPLOYMENTS)
        for finding in unready(f"{space}/{operator}", deployments)
    ]
    return conclude(findings, joined(seen, csi), proven=f"{names(operators)} ready")


def unready(name: str, deployments: Mapping[str, Deployment]) -> Iterator[Finding]:
    """Why a deployment does not run as specified; empty if it does."""
    found = deployments.get(name)
    if found is None:
        yield Finding(name, "expected this deployment, seen none")
    elif found.wanted < 1:
        yield Finding(name, "expected it to run, seen it scaled to 0")
    elif found.available < found.wanted:
        text = f"expected {found.wanted} available, seen {found.available}"
        yield Finding(name, text)
    elif found.updated < found.wanted:
        text = f"expected {found.wanted} of its newest template, seen {found.updated}"
        yield Finding(name, text)


def version_is_declared(case: Case) -> Verdict:
    """The operator's image, and the version with which Rook labelled what it deployed."""
    declared = declared_rook(case)
    version = declared.version.replace("+", "-")
    seen = item(case, rook.DEPLOYMENTS)
    findings = []
    for deployments in seen.values.values():
        operator = f"{declared.operator_namespace}/{_OPERATOR}"
        if operator not in deployments:
            findings.append(unknown(operator, "there is no such deployment"))
        else:
            findings += _of_image(operator, deployments[operator].image, version)
        findings += [
            Finding(name, f"expected Rook {version}, seen {found.rook_version}")
            for name, found in deployments.items()
            if found.rook_version not in (None, version)
        ]
    return conclude(findings, seen, proven=f"Rook is {declared.version} everywhere")


def _of_image(operator: str, image: str, version: str) -> Iterator[Finding]:
    tag = tag_of(image)
    if tag is None:
        yield unknown(operator, f"the image {image} has no tag that says its version")
    elif tag != version:
        yield Finding(operator, f"expected Rook {version}, seen {tag}")


def tag_of(image: str) -> str | None:
    """The tag of an image reference; None for one by digest alone, or without a tag."""
    # A colon before the last slash begins a registry's port.
    name = image.partition("@")[0].rpartition("/")[2]
    return name.partition(":")[2] or None


def nothing_crashes(case: Case) -> Verdict:
    """No container fails to start, or ended again in the last minutes."""
    seen, target = item(case, rook.PODS), wanted(case, "restarts_count")
    findings, restarts = [], []
    for pods in seen.values.values():
        if not pods:
            findings.append(unknown("pods", "there is none, so none can be seen to crash"))
        for pod in pods:
            past = pod.failed_before(looked_at(case) - _PEACE_S)
            if past or (pod.over and pod.ended in _ENDED_BY_OTHERS):
                continue
            for name, container in pod.containers.items():
                restarts.append(_lately(container, looked_at(case)))
                why = _crashing(container, looked_at(case), target["restarts_count"])
                if why:
                    where = f"{pod.name} on {pod.machine}"
                    findings.append(Finding(where, f"expected {name} to run on, seen {why}"))
    return conclude(
        findings,
        seen,
        proven="no pod of Rook crashes again and again",
        measured={"restarts_count": max(restarts)} if restarts else {},
        target=target,
    )


def _lately(container: Container, now: float) -> int:
    """How often a container was restarted; 0 for one that has run long enough since."""
    ended_at = container.ended_at
    return container.restarts if ended_at is not None and now - ended_at < _PEACE_S else 0


def _crashing(container: Container, now: float, most: float) -> str | None:
    if container.waits in _STUCK:
        return container.waits
    if container.failed:
        return f"its end, after {container.restarts} restarts"
    restarts = _lately(container, now)
    if restarts > most and container.ended_at is not None:
        ago_s = now - container.ended_at
        return f"{restarts} restarts, the last {ago_s:.0f} s ago ({container.ended})"
    return None


# --- its Ceph ---------------------------------------------------------------------------------


def cluster_is_well(case: Case) -> Verdict:
    declared, target = declared_rook(case), wanted(case, "health_age_minutes")
    seen = item(case, rook.CLUSTER)
    warnings = case.cluster.ceph_warnings
    findings: list[Finding] = []
    excused: list[str] = []
    ages = []
    where = f"CephCluster {declared.cluster}"
    for cluster in seen.values.values():
        if cluster is None:
            findings.append(Finding(where, f"expected it in {declared.namespace}, seen none"))
            continue
        excused += [code for code in sorted(cluster.raised) if code in warnings]
        findings += [Finding(where, text) for text in _misfits(cluster, declared, warnings)]
        if cluster.checked_at is None:
            findings.append(unknown(where, "Rook does not say when it last looked at Ceph"))
            continue
        ages.append(max(0.0, looked_at(case) - cluster.checked_at) / 60)
        if ages[-1] > target["health_age_minutes"]:
            limit = f"{target['health_age_minutes']:g} minutes"
            text = f"expected Rook to have looked at Ceph in the last {limit}"
            findings.append(Finding(where, f"{text}, seen {ages[-1]:.0f} minutes ago"))
    return conclude(
        findings,
        seen,
        proven=f"{where} is {_PHASES[declared.mode]}{beside(excused, warnings)}",
        measured={"health_age_minutes": round(max(ages), 1)} if ages else {},
        target=target,
    )


def _misfits(
    cluster: CephCluster, declared: RookDeclared, warnings: Mapping[str, str]
) -> Iterator[str]:
    """What is not as expected, in words; ``warnings`` of Ceph may be there."""
    phase = _PHASES[declared.mode]
    if cluster.external != (declared.mode == "external"):
        mode = "external" if cluster.external else "cluster"
        yield f"expected {declared.mode} mode, seen {mode} mode"
    if cluster.phase != phase:
        said = f" ({cluster.message})" if cluster.message else ""
        yield f"expected phase {phase}, seen {cluster.phase}{said}"
    state = cluster.conditions.get(phase, "absent")
    if state != "True":
        yield f"expected the condition {phase}, seen {phase}={state}"
    more = {name: says for name, says in cluster.raised.items() if name not in warnings}
    if cluster.health not in ("HEALTH_OK", "HEALTH_WARN"):
        yield f"expected HEALTH_OK, seen {cluster.health}{_told(cluster.raised)}"
    elif more:
        yield f"expected only declared warnings of Ceph, seen{_told(more)}"
    elif cluster.health == "HEALTH_WARN" and not cluster.raised:
        yield "expected only declared warnings of Ceph, seen one without a name"
    if len(cluster.ceph_versions) > 1:
        yield f"expected one version of Ceph, seen {names(cluster.ceph_versions)}"


def _told(raised: Mapping[str, str]) -> str:
    return "".join(f" {name} ({says}{lingers(name)})" for name, says in sorted(raised.items()))


def pools_keep_three_copies(case: Case) -> Verdict:
    """Covers the file system's pools and those for block devices; in cluster mode only."""
    declared = declared_rook(case)
    seen, blocks = item(case, rook.FILE_SYSTEM), item(case, rook.POOLS)
    findings: list[Finding] = []
    where = f"CephFilesystem {declared.filesystem}"
    for file_system in seen.values.values():
        if file_system is None:
            findings.append(Finding(where, f"expected it in {declared.namespace}, seen none"))
            continue
        if file_system.phase != "Ready":
            findings.append(Finding(where, f"expected Ready, seen {file_system.phase}"))
        for name, pool in file_system.pools.items():
            findings += _thin(f"{where}, {name}", pool)
    for block_pools in blocks.values.values():
        for name, block_pool in block_pools.items():
            if block_pool.phase != "Ready":
                text = f"expected Ready, seen {block_pool.phase}"
                findings.append(Finding(f"CephBlockPool {name}", text))
            findings += _thin(f"CephBlockPool {name}", block_pool)
    return conclude(
        findings,
        joined(seen, blocks),
        proven="every pool of Rook keeps three copies on three machines",
    )


def _thin(where: str, pool: Pool | BlockPool) -> Iterator[Finding]:
    if pool.copies != _COPIES:
        yield Finding(where, f"expected {_COPIES} copies, seen {pool.copies or 'none'}")
    if pool.apart not in _APART:
        yield Finding(where, f"expected its copies on different hosts, seen {pool.apart}")


def every_machine_runs_its_osd(case: Case) -> Verdict:
    """Each machine has one ready OSD on the declared device; in cluster mode only."""
    declared = declared_rook(case)
    seen = item(case, rook.PODS)
    device = f"/dev/{declared.device}"
    # If the profile says which machines have an OSD, the others have none.
    told, everywhere = case.cluster.osd_disks, [it.name for it in case.cluster.machines]
    machines = [name for name in everywhere if not told or name in told]
    # A pod that could not be understood may be the one that is missing.
    least = 0 if odd(case, rook.PODS) else 1
    findings: list[Finding] = []
    for pods in seen.values.values():
        osds = [pod for pod in pods if pod.osd is not None and not pod.over]
        for machine in machines:
            here = [pod for pod in osds if pod.machine == machine]
            if not least <= len(here) <= 1:
                findings.append(Finding(machine, f"expected one OSD, seen {len(here)}"))
            findings += _osds(machine, here, device)
        findings += [
            Finding(str(pod.machine), "expected OSDs on declared machines, seen one here")
            for pod in osds
            if pod.machine not in machines
        ]
    return conclude(findings, seen, proven=f"every machine runs one OSD, on {device}")


def _osds(machine: str, pods: Sequence[Pod], device: str) -> Iterator[Finding]:
    for pod in pods:
        if pod.osd is not None and not pod.ready:
            yield Finding(machine, f"expected OSD {pod.osd.id} ready, seen it not")
    for pod in pods:
        if pod.osd is not None and pod.osd.device != device:
            yield Finding(machine, f"expected its OSD on {device}, seen {pod.osd.device}")


# --- the monitors -----------------------------------------------------------------------------


def monitors_are_declared(case: Case) -> Verdict:
    """Compares the operator's list and the lists that the CSI drivers read."""
    declared = declared_rook(case)
    seen = item(case, rook.MONITORS)
    findings: list[Finding] = []
    for monitors in seen.values.values():
        if monitors is None:
            findings.append(Finding("rook-ceph-mon-endpoints", "expected it, seen none"))
            continue
        findings += _others("Rook's operator", monitors.operator, declared)
        if monitors.csi is not None:
            where = "Rook's copy for the CSI drivers"
            findings += _others(where, monitors.csi, declared)
        findings += _connection(monitors.connection, declared)
        findings += _drivers(monitors, declared)
    return conclude(findings, seen, proven=f"the monitors are {names(declared.monitors)}")


def _others(
    where: str, listed: Sequence[str], declared: RookDeclared, at: str = ""
) -> Iterator[Finding]:
    if not are_same_monitors(listed, declared.monitors):
        text = f"expected the monitors {names(declared.monitors)}"
        yield Finding(where, f"{text}, seen {', '.join(listed) or 'none'}{at}")


def _connection(connection: Connection | None, declared: RookDeclared) -> Iterator[Finding]:
    if connection is None:
        return
    where = "the CSI drivers' CephConnection"
    name = f"{declared.operator_namespace}/{connection.name}"
    if connection.monitors is None:
        yield Finding(where, f"expected {name}, seen none")
    else:
        yield from _others(where, connection.monitors, declared, f" in {name}")


def _drivers(monitors: Monitors, declared: RookDeclared) -> Iterator[Finding]:
    """The drivers' file has an entry for the class's clusterID, and no stale entry."""
    drivers = monitors.drivers
    if drivers is None:
        if monitors.connection is None:
            yield Finding("the CSI drivers", "expected to be given monitors, seen none")
        return
    where = f"the CSI drivers' {drivers.where}"
    if declared.cluster_id not in [entry.id for entry in drivers.entries]:
        seen = ", ".join(entry.id for entry in drivers.entries) or "no entry at all"
        yield Finding(where, f"expected monitors for {declared.cluster_id}, seen {seen}")
    for entry in drivers.entries:
        yield from _others(f"{where}, {entry.id}", entry.monitors, declared)


CHECKS = {
    "Rook's operator is ready": operator_is_ready,
    "Rook is of its declared version": version_is_declared,
    "Rook's Ceph is as declared and well": cluster_is_well,
    "Rook's monitors are the declared ones": monitors_are_declared,
    "every pool of Rook keeps three copies": pools_keep_three_copies,
    "every machine runs its OSD in Rook": every_machine_runs_its_osd,
    "no pod of Rook crashes again and again": nothing_crashes,
}
