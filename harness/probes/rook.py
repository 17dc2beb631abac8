"""Rook, its Ceph and its CSI drivers, as the Kubernetes API shows them.

The value has items, each {"value": …} or {"error"}; an object that is not there is None, and
``odd`` beside the value names objects that could not be understood, and why. Names of workloads
are "namespace/name", times are UTC seconds.

``deployments``    name → {"wanted", "available", "updated", "image", "rook_version"}
``daemon sets``    name → {"wanted", "ready", "updated"}
``pods``           a list of {"name", "of": the workload, "machine", "ready", "over": it will not
                   run again, "ended": by whom, where it was not by itself, "containers", "osd"}
``cluster``        the CephCluster: {"external", "phase", "conditions", "health", "raised",
                   "checked_at", "ceph_versions"}
``monitors``       {"operator": Rook's own list, "csi": its copy for the drivers, or None,
                   "connection": {"name", "monitors"} of the CephConnection, or None, "drivers":
                   what they read, {"where", "entries": [{"id", "monitors"}]}, or None}
``file system``    the CephFilesystem: {"phase", "pools"}; ``pools`` are those of CephBlockPools
``storage class``  {"provisioner", "parameters", "expands", "reclaims", "secrets": name → there?}
``driver names``   kind → the full name of its driver
``drivers``        {"registered": CSIDrivers, "objects": Drivers of the CSI operator, "machines":
                   machine → its CSINode's drivers, "leaders": driver → its controllers' lease}
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from harness.errors import HarnessError
from harness.model import JSON, RookDeclared
from harness.probes.objects import (
    Described,
    Odd,
    count,
    described,
    epoch,
    flag,
    listed,
    must,
    part,
    text,
    texts,
)
from harness.probes.pods import in_each
from harness.probes.rook_monitors import CSI, csi_version, maybe, monitors
from harness.transport import Kube, Reach

_CEPH = "/apis/ceph.rook.io/v1"
_STORAGE = "/apis/storage.k8s.io/v1"
_SECRET = "csi.storage.k8s.io/"
_OVER = ("Failed", "Succeeded")


class Rook:
    """Lists what Rook made and manages; never reads what a Secret holds."""

    name: ClassVar[str] = "rook"
    within_s: ClassVar[float] = 40.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [reach.profile.name]

    def observe(self, reach: Reach, target: str) -> JSON:
        declared = reach.profile.cluster().rook
        assert declared is not None, "the requirement needs Rook"
        kube = reach.kube
        looks: dict[str, Callable[[], Described[Any]]] = {
            "deployments": lambda: _workloads(kube, declared, "deployments", _deployment),
            "daemon sets": lambda: _workloads(kube, declared, "daemonsets", _daemon_set),
            "pods": lambda: _pods(kube, declared),
            "cluster": lambda: _cluster(kube, declared),
            "monitors": lambda: monitors(kube, declared),
            "file system": lambda: _file_system(kube, declared),
            "pools": lambda: _pools(kube, declared),
            "storage class": lambda: _storage_class(kube, declared),
            "driver names": lambda: Described(_driver_names(kube, declared)),
            "drivers": lambda: _drivers(kube, declared),
        }
        seen = in_each(looks, lambda item: looks[item]())
        return {item: _said(answer) for item, answer in seen.items()}


def _said(answer: Described[Any] | HarnessError) -> dict[str, JSON]:
    if isinstance(answer, Odd):
        return {"error": f"not understood: {answer.args[0]}"}
    if isinstance(answer, HarnessError):
        return {"error": str(answer.args[0])}
    odd = {"odd": dict(answer.odd)} if answer.odd else {}
    return {"value": answer.values, **odd}


def _all_of(parts: Sequence[Described[Any]]) -> Described[Any]:
    """Several lists of objects as one."""
    values = {name: value for it in parts for name, value in it.values.items()}
    return Described(values, {name: why for it in parts for name, why in it.odd.items()})


# --- workloads --------------------------------------------------------------------------------


def _spaces(declared: RookDeclared) -> Sequence[str]:
    return tuple(dict.fromkeys((declared.operator_namespace, declared.namespace)))


def _workloads(
    kube: Kube, declared: RookDeclared, kind: str, describe: Callable[[Mapping[str, Any]], JSON]
) -> Described[Any]:
    paths = [f"/apis/apps/v1/namespaces/{space}/{kind}" for space in _spaces(declared)]
    return _all_of([described(kube.get(path), describe) for path in paths])


def _is_current(item: Mapping[str, Any]) -> bool:
    """The counts are those of an older object until its controller has seen this one."""
    return count(item, "status", "observedGeneration") >= count(item, "metadata", "generation")


def _deployment(item: Mapping[str, Any]) -> JSON:
    containers = listed(item, "spec", "template", "spec", "containers")
    if not containers:
        raise Odd("it has no containers")
    return {
        "wanted": count(item, "spec", "replicas", default=1),
        "available": count(item, "status", "availableReplicas"),
        "updated": count(item, "status", "updatedReplicas") if _is_current(item) else 0,
        "image": must(containers[0], "image"),
        "rook_version": texts(item, "metadata", "labels").get("rook-version"),
    }


def _daemon_set(item: Mapping[str, Any]) -> JSON:
    updated = count(item, "status", "updatedNumberScheduled")
    return {
        "wanted": count(item, "status", "desiredNumberScheduled"),
        "ready": count(item, "status", "numberReady"),
        "updated": updated if _is_current(item) else 0,
    }


def _pods(kube: Kube, declared: RookDeclared) -> Described[Any]:
    paths = [f"/api/v1/namespaces/{space}/pods" for space in _spaces(declared)]
    found = _all_of([described(kube.get(path), _pod) for path in paths])
    return Described([{"name": name, **it} for name, it in found.values.items()], found.odd)


def _pod(item: Mapping[str, Any]) -> dict[str, JSON]:
    space, labels = must(item, "metadata", "namespace"), texts(item, "metadata", "labels")
    owners = [must(owner, "name") for owner in listed(item, "metadata", "ownerReferences")]
    states = [
        *listed(item, "status", "initContainerStatuses"),
        *listed(item, "status", "containerStatuses"),
    ]
    going = text(item, "metadata", "deletionTimestamp") is not None
    return {
        "of": f"{space}/{owners[0]}" if owners else None,
        "machine": text(item, "spec", "nodeName"),
        "ready": _conditions(item).get("Ready") == "True" and not going,
        "over": text(item, "status", "phase") in _OVER,
        "ended": text(item, "status", "reason"),
        "containers": {must(state, "name"): _container(state) for state in states},
        "osd": _osd(labels, item) if labels.get("app") == "rook-ceph-osd" else None,
    }


def _conditions(item: Mapping[str, Any]) -> dict[str, str]:
    told = listed(item, "status", "conditions")
    return {must(it, "type"): must(it, "status") for it in told}


def _container(state: object) -> JSON:
    return {
        "restarts": count(state, "restartCount"),
        "waits": text(state, "state", "waiting", "reason"),
        # Between its end and the kubelet's back-off a container neither runs nor waits.
        "failed": count(state, "state", "terminated", "exitCode") != 0,
        "ended": text(state, "lastState", "terminated", "reason"),
        "ended_at": epoch(state, "lastState", "terminated", "finishedAt"),
    }


def _osd(labels: Mapping[str, str], pod: Mapping[str, Any]) -> JSON:
    """An OSD's number, and the device that Rook tells its containers to use."""
    told = [
        text(variable, "value")
        for container in (
            *listed(pod, "spec", "containers"),
            *listed(pod, "spec", "initContainers"),
        )
        for variable in listed(container, "env")
        if text(variable, "name") == "ROOK_BLOCK_PATH"
    ]
    return {"id": labels.get("ceph-osd-id"), "device": told[0] if told else None}


# --- what Rook says of Ceph -------------------------------------------------------------------


def _cluster(kube: Kube, declared: RookDeclared) -> Described[Any]:
    item = maybe(kube, f"{_CEPH}/namespaces/{declared.namespace}/cephclusters/{declared.cluster}")
    if item is None:
        return Described(None)
    ceph = part(item, "status", "ceph")
    value = {
        "external": flag(item, "spec", "external", "enable"),
        "phase": text(item, "status", "phase"),
        "message": text(item, "status", "message") or "",
        "conditions": _conditions(item),
        "health": text(ceph, "health"),
        "raised": {
            name: text(it, "message") or ""
            for name, it in part(ceph, "details").items()
            # Ceph lists some that it does not hold against the cluster.
            if text(it, "severity") != "HEALTH_OK"
        },
        "checked_at": epoch(ceph, "lastChecked"),
        "ceph_versions": sorted(part(ceph, "versions", "overall")),
    }
    return Described(value)


def _file_system(kube: Kube, declared: RookDeclared) -> Described[Any]:
    space = f"{_CEPH}/namespaces/{declared.namespace}"
    item = maybe(kube, f"{space}/cephfilesystems/{declared.filesystem}")
    if item is None:
        return Described(None)
    told = listed(item, "spec", "dataPools")
    if not told:
        raise Odd("its spec has no dataPools")
    data = {
        f"data pool {text(pool, 'name') or number}": _pool(pool) for number, pool in enumerate(told)
    }
    pools = {"metadata pool": _pool(part(item, "spec", "metadataPool")), **data}
    return Described({"phase": text(item, "status", "phase"), "pools": pools})


def _pools(kube: Kube, declared: RookDeclared) -> Described[Any]:
    found = described(
        maybe(kube, f"{_CEPH}/namespaces/{declared.namespace}/cephblockpools"),
        lambda item: {"phase": text(item, "status", "phase"), **_pool(part(item, "spec"))},
    )
    return Described({name.rpartition("/")[2]: it for name, it in found.values.items()}, found.odd)


def _pool(spec: object) -> dict[str, JSON]:
    # Rook's default.
    apart = text(spec, "failureDomain") or "host"
    return {"copies": count(spec, "replicated", "size") or None, "apart": apart}


# --- CSI --------------------------------------------------------------------------------------


def _storage_class(kube: Kube, declared: RookDeclared) -> Described[Any]:
    item = maybe(kube, f"{_STORAGE}/storageclasses/{declared.storage_class}")
    if item is None:
        return Described(None)
    parameters = texts(item, "parameters")
    secrets = {
        f"{parameters.get(f'{key}-namespace', '')}/{name}"
        for key, name in _secret_names(parameters).items()
    }
    value = {
        "provisioner": must(item, "provisioner"),
        "parameters": {key: parameters.get(key) for key in ("clusterID", "fsName", "pool")},
        "expands": flag(item, "allowVolumeExpansion"),
        "reclaims": text(item, "reclaimPolicy") or "Delete",
        "secrets": {name: _is_there(kube, name) for name in sorted(secrets)},
    }
    return Described(value)


def _secret_names(parameters: Mapping[str, str]) -> Mapping[str, str]:
    """The secrets that a storage class names, by what they are for."""
    end = "-secret-name"
    return {
        key.removesuffix("-name"): name
        for key, name in parameters.items()
        if key.startswith(_SECRET) and key.endswith(end)
    }


def _is_there(kube: Kube, secret: str) -> bool:
    space, _, name = secret.partition("/")
    return bool(space and name) and kube.exists(f"/api/v1/namespaces/{space}/secrets/{name}")


def _driver_names(kube: Kube, declared: RookDeclared) -> dict[str, str]:
    """The declared names, or, where Rook was told another prefix, the only ones there are."""
    if declared.driver_prefix is not None:
        return {kind: declared.driver(kind) for kind in declared.drivers}
    registered = _names(kube.get(f"{_STORAGE}/csidrivers")).values
    names = {}
    for kind in declared.drivers:
        ours, end = declared.driver(kind), f".{kind}.csi.ceph.com"
        others = [name for name in registered if name.endswith(end)]
        names[kind] = others[0] if ours not in registered and len(others) == 1 else ours
    return names


def _drivers(kube: Kube, declared: RookDeclared) -> Described[Any]:
    version, space = csi_version(kube), declared.operator_namespace
    registered = _names(kube.get(f"{_STORAGE}/csidrivers"))
    here = f"{CSI}/{version}/namespaces/{space}/drivers"
    objects = _names(maybe(kube, here) if version else None)
    leaders = _leaders(kube, space, _driver_names(kube, declared).values())
    nodes = described(
        kube.get(f"{_STORAGE}/csinodes"),
        lambda item: sorted(must(it, "name") for it in listed(item, "spec", "drivers")),
    )
    value = {
        "registered": sorted(registered.values),
        "objects": sorted(name.rpartition("/")[2] for name in objects.values),
        "machines": nodes.values,
        "leaders": leaders.values,
    }
    return Described(value, {**registered.odd, **objects.odd, **nodes.odd, **leaders.odd})


def _names(found: Any) -> Described[Any]:
    return described(found, lambda _: True)


def _leaders(kube: Kube, space: str, drivers: Iterable[str]) -> Described[Any]:
    """Who holds the lease of each driver's provisioner; the sidecar names it after the driver."""
    values: dict[str, JSON] = {}
    odd = {}
    for driver in drivers:
        name = driver.replace(".", "-")
        item = maybe(kube, f"/apis/coordination.k8s.io/v1/namespaces/{space}/leases/{name}")
        try:
            values[driver] = None if item is None else _lease(item)
        except Odd as error:
            odd[f"Lease {space}/{name}"] = f"not understood: {error}"
    return Described(values, odd)


def _lease(item: Mapping[str, Any]) -> JSON:
    return {
        "holder": text(item, "spec", "holderIdentity") or "",
        "renewed_at": epoch(item, "spec", "renewTime"),
        "lasts_s": count(item, "spec", "leaseDurationSeconds") or None,
    }
