"""What Kubernetes uses to place pods again: nodes, pods and the volumes they need.

All numbers are bytes of memory. A pod's request is computed as in the scheduler (KEP-753, "sidecar
containers", and KEP-2837, "pod level resources"). It is the larger of two sums: the requests of its
containers and sidecars together, and the request of any init container plus the sidecars begun
before it. The pod's overhead is added.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar, TypeAlias

from harness.core.model import JSON
from harness.facts.scheduling import (
    SCHEDULING,
    Affinity,
    Expression,
    Node,
    NotUnderstood,
    Placement,
    Pod,
    Taint,
    Term,
    Toleration,
)
from harness.facts.schema import dump
from harness.probes.probe import Timing
from harness.transport import Reach
from harness.transport.objects import (
    Odd,
    described,
    flag,
    listed,
    must,
    name_of,
    part,
    quantity,
    text,
    texts,
    words,
)

Claim: TypeAlias = tuple[str, str]  # its namespace and name
_DONE = ("Succeeded", "Failed")
_WHOLE = re.compile(r"[+-]?[0-9]+")
_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt")


class Scheduling:
    """Reads every node, every pod that is not done, and the placement of its volumes."""

    name: ClassVar[str] = SCHEDULING.name
    sentence: ClassVar[str] = "what every pod needs and every node has"
    timing: ClassVar[Timing] = Timing.AT_START
    within_s: ClassVar[float] = 60.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [reach.profile.name]

    def observe(self, reach: Reach, target: str) -> JSON:
        nodes, pods, volumes = (
            reach.kube.get(f"/api/v1/{kind}", within_s=15.0)
            for kind in ("nodes", "pods", "persistentvolumes")
        )
        of_nodes, of_volumes = described(nodes, _node), described(volumes, _volume)
        bound = dict(filter(None, of_volumes.values.values()))
        of_pods = described(pods, lambda it: _pod(it, bound))
        odd = NotUnderstood(of_nodes.odd, of_pods.odd, of_volumes.odd)
        alive = tuple(filter(None, of_pods.values.values()))
        return dump(Placement(of_nodes.values, alive, odd))


def requested(spec: object, status: object) -> int:
    """Bytes of memory that the scheduler counts for a pod; Odd if that cannot be computed."""
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


def _container(container: object, resized: Mapping[str, object]) -> int:
    """A container's request; during a resize, the larger of the old and the new one."""
    now = resized.get(must(container, "name"))
    asked = _memory(part(container, "resources", "requests"))
    given = _memory(part(now, "resources", "requests"))
    return max(asked, given, _memory(part(now, "allocatedResources")))


def _memory(resources: object) -> int:
    found = text(resources, "memory")
    return 0 if found is None else quantity(found)


def _node(item: object) -> Node:
    ready = [
        text(it, "status")
        for it in listed(item, "status", "conditions")
        if text(it, "type") == "Ready"
    ]
    return Node(
        bytes=quantity(must(item, "status", "allocatable", "memory")),
        labels=texts(item, "metadata", "labels"),
        taints=tuple(
            Taint(key=must(it, "key"), value=text(it, "value") or "", effect=must(it, "effect"))
            for it in listed(item, "spec", "taints")
        ),
        takes_pods=ready == ["True"] and not flag(item, "spec", "unschedulable"),
    )


def _volume(item: object) -> tuple[Claim, Affinity] | None:
    """A volume's claim, and the nodes that can use it; None if all nodes can."""
    affinity = _affinity(item, "spec", "nodeAffinity", "required")
    claim = part(item, "spec", "claimRef")
    if affinity is None or not claim:
        return None
    return (must(claim, "namespace"), must(claim, "name")), affinity


def _pod(item: object, bound: Mapping[Claim, Affinity]) -> Pod | None:
    """A summary of a pod; None for a pod that is done."""
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
    return Pod(
        name=name_of(item) or "",
        node=text(spec, "nodeName") or "",
        bytes=requested(spec, part(item, "status")),
        owner=owners[0] if owners else "",
        selector=texts(spec, "nodeSelector"),
        affinities=tuple(filter(None, (own, *(bound.get((space, it)) for it in claims)))),
        tolerations=tuple(_toleration(it) for it in listed(spec, "tolerations")),
        images=tuple(sorted(set(images))),
    )


def _toleration(item: object) -> Toleration:
    return Toleration(
        key=text(item, "key") or "",
        operator=text(item, "operator") or "Equal",
        value=text(item, "value") or "",
        effect=text(item, "effect") or "",
    )


def _affinity(item: object, *keys: str) -> Affinity | None:
    """The terms of a required node affinity; None when there is none."""
    *above, last = keys
    if part(item, *above).get(last) is None:
        return None
    terms = listed(item, *keys, "nodeSelectorTerms")
    if not terms:
        raise Odd(f"its {'.'.join(keys)} has no terms")
    return Affinity(
        tuple(
            Term(
                matchExpressions=tuple(map(_expression, listed(term, "matchExpressions"))),
                matchFields=tuple(map(_expression, listed(term, "matchFields"))),
            )
            for term in terms
        )
    )


def _expression(item: object) -> Expression:
    operator, values = must(item, "operator"), words(item, "values")
    if operator not in _OPERATORS:
        raise Odd(f"the operator {operator} of a node affinity is not known")
    if operator in ("Gt", "Lt") and not (len(values) == 1 and _WHOLE.fullmatch(values[0])):
        raise Odd(f"the operator {operator} of a node affinity needs one whole number")
    return Expression(must(item, "key"), operator, tuple(values))
