"""What Kubernetes reckons with when it places pods anew: nodes, pods and the volumes they need.

Bytes of memory throughout. What a pod requests is reckoned as the scheduler does it (KEP-753,
"sidecar containers", and KEP-2837, "pod level resources"): the larger of what its containers and
sidecars request together, and what any init container requests beside the sidecars begun before it;
and the pod's overhead. ``odd`` names the nodes, pods and volumes that are not understood, and why.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

from harness.model import JSON
from harness.probes.objects import Odd, described, flag, listed, must, part, quantity, text, texts
from harness.transport import Reach

Item: TypeAlias = object
_DONE = ("Succeeded", "Failed")
_WHOLE = re.compile(r"[+-]?[0-9]+")
_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt")


class Scheduling:
    """Reads every node, every pod that is not done, and what binds its volumes to machines."""

    name: ClassVar[str] = "scheduling"
    within_s: ClassVar[float] = 60.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [reach.profile.name]

    def observe(self, reach: Reach, target: str) -> JSON:
        nodes, pods, volumes = (
            reach.kube.get(f"/api/v1/{kind}", within_s=15.0)
            for kind in ("nodes", "pods", "persistentvolumes")
        )
        of_nodes, of_volumes = described(nodes, _node), described(volumes, _volume)
        bound = {it["claim"]: it["affinity"] for it in of_volumes.values.values() if it is not None}
        of_pods = described(pods, lambda it: _pod(it, bound))
        return {
            "nodes": of_nodes.values,
            "pods": [{"name": at, **it} for at, it in of_pods.values.items() if it is not None],
            "odd": {
                "nodes": dict(of_nodes.odd),
                "pods": dict(of_pods.odd),
                "volumes": dict(of_volumes.odd),
            },
        }


def requested(spec: Item, status: Item) -> int:
    """Bytes of memory that the scheduler takes a pod to need; Odd when that cannot be told."""
    resized = {
        must(it, "name"): it
        for kind in ("containerStatuses", "initContainerStatuses")
        for it in listed(status, kind)
    }
    containers = listed(spec, "containers")
    if not containers:
        raise Odd("it has no containers")
    sidecars = most = 0
    for one in listed(spec, "initContainers"):
        needs = _container(one, resized)
        if text(one, "restartPolicy") == "Always":
            sidecars += needs
            most = max(most, sidecars)
        else:
            most = max(most, sidecars + needs)
    together = sidecars + sum(_container(it, resized) for it in containers)
    of_pod = part(spec, "resources", "requests")
    whole = _memory(of_pod) if "memory" in of_pod else max(together, most)
    return whole + _memory(part(spec, "overhead"))


def _container(container: Item, resized: Mapping[str, Item]) -> int:
    """What a container requests; while it is resized, the most of what it has and is to have."""
    now = resized.get(must(container, "name"))
    asked = _memory(part(container, "resources", "requests"))
    given = _memory(part(now, "resources", "requests"))
    return max(asked, given, _memory(part(now, "allocatedResources")))


def _memory(resources: Item) -> int:
    found = text(resources, "memory")
    return 0 if found is None else quantity(found)


def _node(item: Item) -> JSON:
    ready = [
        text(it, "status")
        for it in listed(item, "status", "conditions")
        if text(it, "type") == "Ready"
    ]
    return {
        "bytes": quantity(must(item, "status", "allocatable", "memory")),
        "labels": texts(item, "metadata", "labels"),
        "taints": [
            {"key": must(it, "key"), "value": text(it, "value") or "", "effect": must(it, "effect")}
            for it in listed(item, "spec", "taints")
        ],
        "takes_pods": ready == ["True"] and not flag(item, "spec", "unschedulable"),
    }


def _volume(item: Item) -> dict[str, Any] | None:
    """A volume's claim, (namespace, name), and where it can be used; None when that is anywhere."""
    affinity = _affinity(item, "spec", "nodeAffinity", "required")
    claim = part(item, "spec", "claimRef")
    if affinity is None or not claim:
        return None
    return {"claim": (must(claim, "namespace"), must(claim, "name")), "affinity": affinity}


def _pod(item: Item, bound: Mapping[tuple[str, str], JSON]) -> dict[str, JSON] | None:
    """A pod in short; None of one that is done."""
    if text(item, "status", "phase") in _DONE:
        return None
    spec, space = part(item, "spec"), must(item, "metadata", "namespace")
    terms = "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution"
    own = _affinity(spec, "affinity", *terms)
    claims = [
        must(it, "persistentVolumeClaim", "claimName")
        for it in listed(spec, "volumes")
        if "persistentVolumeClaim" in part(it)
    ]
    owners = [
        must(it, "kind")
        for it in listed(item, "metadata", "ownerReferences")
        if flag(it, "controller")
    ]
    images = [
        must(it, "image") for kind in ("initContainers", "containers") for it in listed(spec, kind)
    ]
    return {
        "node": text(spec, "nodeName") or "",
        "bytes": requested(spec, part(item, "status")),
        "owner": owners[0] if owners else "",
        "selector": texts(spec, "nodeSelector"),
        "affinities": [it for it in (own, *(bound.get((space, it)) for it in claims)) if it],
        "tolerations": [_toleration(it) for it in listed(spec, "tolerations")],
        "images": sorted(set(images)),
    }


def _toleration(item: Item) -> JSON:
    usual = {"key": "", "operator": "Equal", "value": "", "effect": ""}
    return {key: text(item, key) or instead for key, instead in usual.items()}


def _affinity(item: Item, *keys: str) -> JSON:
    """The terms of a required node affinity, one of which must be met; None when there is none."""
    *above, last = keys
    if part(item, *above).get(last) is None:
        return None
    terms = listed(item, *keys, "nodeSelectorTerms")
    if not terms:
        raise Odd(f"its {'.'.join(keys)} has no terms")
    kinds = ("matchExpressions", "matchFields")
    return {
        "nodeSelectorTerms": [
            {kind: [_expression(it) for it in listed(term, kind)] for kind in kinds}
            for term in terms
        ]
    }


def _expression(item: Item) -> JSON:
    operator = must(item, "operator")
    values = [must({"value": it}, "value") for it in listed(item, "values")]
    if operator not in _OPERATORS:
        raise Odd(f"the operator {operator} of a node affinity is not known")
    if operator in ("Gt", "Lt") and not (len(values) == 1 and _WHOLE.fullmatch(values[0])):
        raise Odd(f"the operator {operator} of a node affinity needs one whole number")
    return {"key": must(item, "key"), "operator": operator, "values": values}
