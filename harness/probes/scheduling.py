"""What Kubernetes reckons with when it places pods anew: nodes, pods and the volumes they need.

Bytes of memory throughout. What a pod requests is reckoned as the scheduler does it (KEP-753,
"sidecar containers", and KEP-2837, "pod level resources"): the larger of what its containers and
sidecars request together, and what any init container requests beside the sidecars begun before it;
and the pod's overhead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

from harness.model import JSON
from harness.transport import Reach
from harness.transport.quantity import size_bytes

Item: TypeAlias = Mapping[str, Any]


class Scheduling:
    """Reads every node, every pod that is not done, and what binds its volumes to machines."""

    name: ClassVar[str] = "scheduling"
    within_s: ClassVar[float] = 60.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [reach.profile.name]

    def observe(self, reach: Reach, target: str) -> JSON:  # noqa: ARG002 (there is but one)
        nodes, pods, volumes = (
            reach.kube.get(f"/api/v1/{kind}", within_s=15.0)["items"]
            for kind in ("nodes", "pods", "persistentvolumes")
        )
        bound = {
            (ref["namespace"], ref["name"]): affinity
            for it in volumes
            if (ref := it["spec"].get("claimRef"))
            and (affinity := it["spec"].get("nodeAffinity", {}).get("required"))
        }
        return {
            "nodes": {it["metadata"]["name"]: _node(it) for it in nodes},
            "pods": [
                _pod(it, bound)
                for it in pods
                if it.get("status", {}).get("phase") not in ("Succeeded", "Failed")
            ],
        }


def requested(spec: Item, status: Item) -> int:
    """Bytes of memory that the scheduler takes a pod to need."""
    resized = {
        it["name"]: it
        for kind in ("containerStatuses", "initContainerStatuses")
        for it in status.get(kind) or ()
    }
    sidecars = most = 0
    for one in spec.get("initContainers") or ():
        needs = _container(one, resized)
        if one.get("restartPolicy") == "Always":
            sidecars += needs
            most = max(most, sidecars)
        else:
            most = max(most, sidecars + needs)
    together = sidecars + sum(_container(it, resized) for it in spec["containers"])
    of_pod = (spec.get("resources") or {}).get("requests") or {}
    whole = _bytes(of_pod["memory"]) if "memory" in of_pod else max(together, most)
    return whole + _bytes((spec.get("overhead") or {}).get("memory", 0))


def _container(container: Item, resized: Mapping[str, Item]) -> int:
    """What a container requests; while it is resized, the most of what it has and is to have."""
    asked = _memory((container.get("resources") or {}).get("requests"))
    now = resized.get(container["name"], {})
    given = _memory((now.get("resources") or {}).get("requests"))
    return max(asked, given, _memory(now.get("allocatedResources")))


def _memory(resources: Item | None) -> int:
    return _bytes((resources or {}).get("memory", 0))


def _bytes(quantity: Any) -> int:
    return size_bytes(str(quantity))


def _node(item: Item) -> JSON:
    spec, status = item["spec"], item["status"]
    ready = [it["status"] for it in status.get("conditions", ()) if it["type"] == "Ready"]
    return {
        "bytes": _bytes(status["allocatable"]["memory"]),
        "labels": dict(item["metadata"].get("labels") or {}),
        "taints": [dict(it) for it in spec.get("taints") or ()],
        "takes_pods": ready == ["True"] and not spec.get("unschedulable", False),
    }


def _pod(item: Item, bound: Mapping[tuple[str, str], Item]) -> JSON:
    meta, spec = item["metadata"], item["spec"]
    affinity = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    claims = [
        it["persistentVolumeClaim"]["claimName"]
        for it in spec.get("volumes") or ()
        if "persistentVolumeClaim" in it
    ]
    volumes = [found for it in claims if (found := bound.get((meta["namespace"], it)))]
    owners = [it["kind"] for it in meta.get("ownerReferences") or () if it.get("controller")]
    images = [
        it["image"] for kind in ("initContainers", "containers") for it in spec.get(kind) or ()
    ]
    return {
        "name": f"{meta['namespace']}/{meta['name']}",
        "node": spec.get("nodeName", ""),
        "bytes": requested(spec, item.get("status", {})),
        "owner": owners[0] if owners else "",
        "selector": dict(spec.get("nodeSelector") or {}),
        "affinities": [dict(it) for it in (affinity, *volumes) if it],
        "tolerations": [dict(it) for it in spec.get("tolerations") or ()],
        "images": sorted(set(images)),
    }
