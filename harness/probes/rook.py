"""Rook, its Ceph and its CSI drivers, as the Kubernetes API shows them.

The value has items, each {"value": …} or {"error"}; an object that is not there is None. Names of
workloads are "namespace/name", times are UTC seconds.

``deployments``    name → {"wanted", "available", "updated", "image", "rook_version"}
``daemon sets``    name → {"wanted", "ready", "updated"}
``pods``           a list of {"name", "of": the workload, "machine", "ready", "containers", "osd"}
``cluster``        the CephCluster: {"external", "phase", "conditions", "health", "raised",
                   "checked_at", "ceph_versions"}
``monitors``       {"operator", "csi", "connection"}: the endpoints that each of them was given
``file system``    the CephFilesystem: {"phase", "pools"}; ``pools`` are those of CephBlockPools
``storage class``  {"provisioner", "parameters", "expands", "reclaims", "secrets": name → there?}
``drivers``        {"registered": CSIDrivers, "objects": Drivers of the CSI operator, "machines":
                   machine → its CSINode's drivers, "leaders": driver → its controllers' lease}
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from harness.errors import HarnessError, NotFound, TransportError
from harness.model import JSON, RookDeclared
from harness.probes.pods import in_each
from harness.transport import Kube, Reach

_CEPH, _CSI = "/apis/ceph.rook.io/v1", "/apis/csi.ceph.io"
_STORAGE = "/apis/storage.k8s.io/v1"
_SECRET = "csi.storage.k8s.io/"


class Rook:
    """Lists what Rook made and manages; never reads what a Secret holds."""

    name: ClassVar[str] = "rook"
    within_s: ClassVar[float] = 40.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [reach.profile.name]

    def observe(self, reach: Reach, target: str) -> JSON:  # noqa: ARG002 (there is but one)
        declared = reach.profile.cluster().rook
        assert declared is not None, "the requirement needs Rook"
        kube = reach.kube
        looks: dict[str, Callable[[], JSON]] = {
            "deployments": lambda: _workloads(kube, declared, "deployments", _deployment),
            "daemon sets": lambda: _workloads(kube, declared, "daemonsets", _daemon_set),
            "pods": lambda: _pods(kube, declared),
            "cluster": lambda: _cluster(kube, declared),
            "monitors": lambda: _monitors(kube, declared),
            "file system": lambda: _file_system(kube, declared),
            "pools": lambda: _pools(kube, declared),
            "storage class": lambda: _storage_class(kube, declared),
            "drivers": lambda: _drivers(kube, declared),
        }
        seen = in_each(looks, lambda item: _understood(looks[item]))
        return {item: _said(answer) for item, answer in seen.items()}


def _understood(look: Callable[[], JSON]) -> JSON:
    try:
        return look()
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise TransportError(f"not understood: {type(error).__name__}: {error}") from error


def _said(answer: JSON | HarnessError) -> dict[str, JSON]:
    if isinstance(answer, HarnessError):
        return {"error": str(answer.args[0])}
    return {"value": answer}


def _maybe(kube: Kube, path: str) -> Any:
    """The object at a path, or None when there is none, or no such kind."""
    try:
        return kube.get(path)
    except NotFound:
        return None


def _items(kube: Kube, path: str) -> list[Any]:
    listed = _maybe(kube, path)
    return [] if listed is None else list(listed["items"])


def _epoch(stamp: str | None) -> float | None:
    return None if not stamp else datetime.fromisoformat(stamp).timestamp()


# --- workloads --------------------------------------------------------------------------------


def _spaces(declared: RookDeclared) -> Sequence[str]:
    return tuple(dict.fromkeys((declared.operator_namespace, declared.namespace)))


def _workloads(
    kube: Kube, declared: RookDeclared, kind: str, describe: Callable[[Mapping[str, Any]], JSON]
) -> JSON:
    return {
        f"{space}/{item['metadata']['name']}": describe(item)
        for space in _spaces(declared)
        for item in kube.get(f"/apis/apps/v1/namespaces/{space}/{kind}")["items"]
    }


def _deployment(item: Mapping[str, Any]) -> JSON:
    metadata, status = item["metadata"], item.get("status", {})
    # The counts are those of an older object until its controller has seen this one.
    current = status.get("observedGeneration", 0) >= metadata.get("generation", 0)
    return {
        "wanted": item["spec"].get("replicas", 1),
        "available": status.get("availableReplicas", 0),
        "updated": status.get("updatedReplicas", 0) if current else 0,
        "image": item["spec"]["template"]["spec"]["containers"][0]["image"],
        "rook_version": metadata.get("labels", {}).get("rook-version"),
    }


def _daemon_set(item: Mapping[str, Any]) -> JSON:
    status = item.get("status", {})
    current = status.get("observedGeneration", 0) >= item["metadata"].get("generation", 0)
    return {
        "wanted": status.get("desiredNumberScheduled", 0),
        "ready": status.get("numberReady", 0),
        "updated": status.get("updatedNumberScheduled", 0) if current else 0,
    }


def _pods(kube: Kube, declared: RookDeclared) -> JSON:
    return [
        _pod(space, item)
        for space in _spaces(declared)
        for item in kube.get(f"/api/v1/namespaces/{space}/pods")["items"]
    ]


def _pod(space: str, item: Mapping[str, Any]) -> JSON:
    metadata, spec, status = item["metadata"], item["spec"], item.get("status", {})
    labels = metadata.get("labels", {})
    owners = [owner["name"] for owner in metadata.get("ownerReferences", ())]
    conditions = {c["type"]: c["status"] for c in status.get("conditions", ())}
    states = [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]
    return {
        "name": f"{space}/{metadata['name']}",
        "of": f"{space}/{owners[0]}" if owners else None,
        "machine": spec.get("nodeName"),
        "ready": conditions.get("Ready") == "True" and "deletionTimestamp" not in metadata,
        "containers": {state["name"]: _container(state) for state in states},
        "osd": _osd(labels, spec) if labels.get("app") == "rook-ceph-osd" else None,
    }


def _container(state: Mapping[str, Any]) -> JSON:
    now, ended = state.get("state", {}), state.get("lastState", {}).get("terminated", {})
    return {
        "restarts": state.get("restartCount", 0),
        "waits": now.get("waiting", {}).get("reason"),
        # Between its end and the kubelet's back-off a container neither runs nor waits.
        "failed": now.get("terminated", {}).get("exitCode", 0) != 0,
        "ended": ended.get("reason"),
        "ended_at": _epoch(ended.get("finishedAt")),
    }


def _osd(labels: Mapping[str, str], spec: Mapping[str, Any]) -> JSON:
    """An OSD's number, and the device that Rook tells its containers to use."""
    told = [
        variable.get("value")
        for container in (*spec.get("containers", ()), *spec.get("initContainers", ()))
        for variable in container.get("env", ())
        if variable["name"] == "ROOK_BLOCK_PATH"
    ]
    return {"id": labels.get("ceph-osd-id"), "device": told[0] if told else None}


# --- what Rook says of Ceph -------------------------------------------------------------------


def _cluster(kube: Kube, declared: RookDeclared) -> JSON:
    item = _maybe(kube, f"{_CEPH}/namespaces/{declared.namespace}/cephclusters/{declared.cluster}")
    if item is None:
        return None
    status = item.get("status", {})
    ceph = status.get("ceph", {})
    return {
        "external": bool(item["spec"].get("external", {}).get("enable")),
        "phase": status.get("phase"),
        "message": status.get("message", ""),
        "conditions": {c["type"]: c["status"] for c in status.get("conditions", ())},
        "health": ceph.get("health"),
        "raised": {
            name: it.get("message", "")
            for name, it in ceph.get("details", {}).items()
            if it.get("severity") != "HEALTH_OK"  # a note, and not even a warning
        },
        "checked_at": _epoch(ceph.get("lastChecked")),
        "ceph_versions": sorted(ceph.get("versions", {}).get("overall", {})),
    }


def _monitors(kube: Kube, declared: RookDeclared) -> JSON:
    space = f"namespaces/{declared.namespace}"
    held = _maybe(kube, f"/api/v1/{space}/configmaps/rook-ceph-mon-endpoints")
    if held is None:
        return None
    data = held["data"]
    # "a=10.0.0.1:6789,b=…": Rook's own name before each.
    named = [part.partition("=")[2] for part in data["data"].split(",") if part]
    return {
        "operator": sorted(named),
        "csi": _of_csi(data.get("csi-cluster-config-json")),
        "connection": _connection(kube, f"{space}/cephconnections/{declared.cluster}"),
    }


def _of_csi(text: str | None) -> JSON:
    """The monitors in the CSI drivers' own configuration; None without one."""
    entries = None if text is None else json.loads(text)
    if entries is None:
        return None
    return sorted({endpoint for entry in entries for endpoint in entry["monitors"]})


def _connection(kube: Kube, path: str) -> JSON:
    """The monitors in the CSI operator's CephConnection; None where there is none."""
    version = _csi_version(kube)
    item = None if version is None else _maybe(kube, f"{_CSI}/{version}/{path}")
    return None if item is None else sorted(item["spec"]["monitors"])


def _csi_version(kube: Kube) -> str | None:
    """The version of the CSI operator's API; None where it is not installed."""
    group = _maybe(kube, _CSI)
    return None if group is None else str(group["preferredVersion"]["version"])


def _file_system(kube: Kube, declared: RookDeclared) -> JSON:
    space = f"{_CEPH}/namespaces/{declared.namespace}"
    item = _maybe(kube, f"{space}/cephfilesystems/{declared.filesystem}")
    if item is None:
        return None
    spec = item["spec"]
    data = {
        f"data pool {pool.get('name', number)}": _pool(pool)
        for number, pool in enumerate(spec["dataPools"])
    }
    return {
        "phase": item.get("status", {}).get("phase"),
        "pools": {"metadata pool": _pool(spec["metadataPool"]), **data},
    }


def _pools(kube: Kube, declared: RookDeclared) -> JSON:
    listed = _items(kube, f"{_CEPH}/namespaces/{declared.namespace}/cephblockpools")
    return {
        item["metadata"]["name"]: {
            "phase": item.get("status", {}).get("phase"),
            **_pool(item["spec"]),
        }
        for item in listed
    }


def _pool(spec: Mapping[str, Any]) -> dict[str, JSON]:
    replicated = spec.get("replicated", {})
    return {
        "copies": replicated.get("size"),
        "safe": bool(replicated.get("requireSafeReplicaSize")),
        # Rook's default.
        "apart": spec.get("failureDomain") or "host",
    }


# --- CSI --------------------------------------------------------------------------------------


def _storage_class(kube: Kube, declared: RookDeclared) -> JSON:
    item = _maybe(kube, f"{_STORAGE}/storageclasses/{declared.storage_class}")
    if item is None:
        return None
    parameters = item.get("parameters", {})
    secrets = {
        f"{parameters.get(f'{key}-namespace', '')}/{name}"
        for key, name in _secret_names(parameters).items()
    }
    return {
        "provisioner": item["provisioner"],
        "parameters": {key: parameters.get(key) for key in ("clusterID", "fsName", "pool")},
        "expands": bool(item.get("allowVolumeExpansion")),
        "reclaims": item.get("reclaimPolicy", "Delete"),
        "secrets": {name: _is_there(kube, name) for name in sorted(secrets)},
    }


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


def _drivers(kube: Kube, declared: RookDeclared) -> JSON:
    version, space = _csi_version(kube), declared.operator_namespace
    objects = f"{_CSI}/{version}/namespaces/{space}/drivers"
    full_names = [declared.driver(kind) for kind in declared.drivers]
    return {
        "registered": sorted(_names(kube.get(f"{_STORAGE}/csidrivers")["items"])),
        "objects": sorted(_names(_items(kube, objects))) if version else [],
        "machines": {
            item["metadata"]["name"]: sorted(it["name"] for it in item["spec"].get("drivers") or ())
            for item in kube.get(f"{_STORAGE}/csinodes")["items"]
        },
        "leaders": {driver: _leader(kube, space, driver) for driver in full_names},
    }


def _names(items: Sequence[Mapping[str, Any]]) -> list[str]:
    return [item["metadata"]["name"] for item in items]


def _leader(kube: Kube, space: str, driver: str) -> JSON:
    """Who holds the lease of a driver's provisioner; the sidecar names it after the driver."""
    name = driver.replace(".", "-")
    item = _maybe(kube, f"/apis/coordination.k8s.io/v1/namespaces/{space}/leases/{name}")
    if item is None:
        return None
    spec = item["spec"]
    return {
        "holder": spec.get("holderIdentity") or "",
        "renewed_at": _epoch(spec.get("renewTime")),
        "lasts_s": spec.get("leaseDurationSeconds"),
    }
