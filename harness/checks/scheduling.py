"""W7-SERVICES, W9-SWARM-GONE: Kubernetes can place and start every pod again.

The checks count memory, and where a pod may run by its node selector, node affinity, tolerations
and volumes. They do not count what a real loss may add: CPU, the number of pods and of volumes on a
node, host ports, anti-affinity and spread (a pod that these hold back counts as moving), priority
and preemption.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

from harness.checks.findings import Finding, Seen, conclude, look, names, unknown, wanted
from harness.core.model import Case, Verdict
from harness.facts.scheduling import (
    SCHEDULING,
    Node,
    Placement,
    Pod,
    Taint,
    Term,
    Toleration,
)

Free: TypeAlias = dict[str, int]

_GIB = 1 << 30
_NAMED = 3  # pods that a reason names
# A DaemonSet's pod and a static pod go with the machine; a pod without an owner never returns.
_STAYS = ("DaemonSet", "Node", "")
_OPERATORS: Mapping[str, Callable[[str | None, Sequence[str]], bool]] = {
    "In": lambda value, values: value in values,
    "NotIn": lambda value, values: value not in values,
    "Exists": lambda value, _: value is not None,
    "DoesNotExist": lambda value, _: value is None,
    "Gt": lambda value, values: _is_whole(value) and int(value or 0) > int(values[0]),
    "Lt": lambda value, values: _is_whole(value) and int(value or 0) < int(values[0]),
}


def _is_whole(value: str | None) -> bool:
    """True for a label that Gt and Lt can compare; they take no node with another one."""
    return value is not None and re.fullmatch(r"[+-]?[0-9]+", value) is not None


def _seen(case: Case) -> tuple[Seen[Placement], Placement]:
    seen = look(case, SCHEDULING)
    return seen, seen.only or Placement(nodes={}, pods=())


def _odd_nodes_and_volumes(value: Placement) -> Iterator[Finding]:
    """The nodes and volumes that are not understood."""
    for kind, odd in (("node", value.odd.nodes), ("volume", value.odd.volumes)):
        for name, why in odd.items():
            yield unknown(name, f"this {kind} is {why}")


def _odd_pods(value: Placement) -> list[Finding]:
    return [unknown(name, f"this pod is {why}") for name, why in value.odd.pods.items()]


def fits_without_one(case: Case) -> Verdict:
    """For each machine in turn, the pods that ran there must fit on the others.

    The scheduler's order of pods is not known beforehand, and each pod goes where most is free. A
    pass therefore needs room for the worst order, the largest pod last. If the pods fit only in the
    best order, largest first, the check is NOT PROVEN. If they do not fit even then, it fails.
    """
    key = "unplaced_count"
    target = wanted(case, key)
    seen, value = _seen(case)
    nodes, pods = value.nodes, value.pods
    if odd := list(_odd_nodes_and_volumes(value)):
        # They may have the missing room, or keep a pod where it is.
        return conclude([*odd, *_odd_pods(value)], seen, proven="", target=target)
    findings = _odd_pods(value)
    unplaced = 0
    for lost in nodes:
        moving = sorted(_moving(pods, nodes, lost), key=lambda it: (it.bytes, it.name))
        left = _free(pods, nodes, lost)
        tight = _place(moving, dict(left), nodes, max)
        if not tight:
            continue
        packed = [_place(moving[::-1], dict(left), nodes, pick) for pick in (min, max)]
        fewest = min(packed, key=len)
        unplaced = max(unplaced, len(fewest))
        if fewest:
            room = f"{sum(left.values()) / _GIB:.1f} GiB are free on the others"
            text = "expected its pods to fit on the machines left when it is lost, seen no room"
            findings.append(Finding(lost, f"{text} for {_listed(fewest)}; {room}"))
        else:
            text = f"when it is lost, {_listed(tight)} may find no room: it depends on the order"
            findings.append(unknown(lost, f"{text} in which pods are placed"))
    if seen.values and len(nodes) < 2:
        findings.append(unknown(case.cluster.name, f"it has {len(nodes)} machine(s): none is left"))
    return conclude(
        findings,
        seen,
        proven=f"when any of {len(nodes)} machines is lost, its pods fit on the others by memory",
        measured={key: unplaced} if nodes else {},
        target=target,
    )


def _listed(pods: Sequence[Pod]) -> str:
    some = [f"{it.name} ({it.bytes / _GIB:.2f} GiB)" for it in pods[:_NAMED]]
    return f"{names(some)}{f' and {len(pods) - _NAMED} more' if len(pods) > _NAMED else ''}"


def _moving(pods: Sequence[Pod], nodes: Mapping[str, Node], lost: str) -> Iterator[Pod]:
    """The pods that move when a machine is lost, and those that wait for a place."""
    for pod in pods:
        others = [it for it in nodes if it != lost and _may_run(pod, it, nodes[it])]
        comes_back = pod.owner not in _STAYS and (others or not pod.node)
        if pod.node in ("", lost) and comes_back:
            yield pod


def _free(pods: Sequence[Pod], nodes: Mapping[str, Node], lost: str) -> Free:
    """Free memory on each machine that is left and takes pods."""
    return {
        name: node.bytes - sum(it.bytes for it in pods if it.node == name)
        for name, node in nodes.items()
        if name != lost and node.takes_pods
    }


def _place(
    pods: Sequence[Pod], free: Free, nodes: Mapping[str, Node], pick: Callable[..., str]
) -> list[Pod]:
    """Place pods one after the other, each where ``pick`` chooses; return those without room."""
    without = []
    for pod in pods:
        fits = [
            name
            for name, room in free.items()
            if room >= pod.bytes and _may_run(pod, name, nodes[name])
        ]
        if fits:
            free[pick(fits, key=free.__getitem__)] -= pod.bytes
        else:
            without.append(pod)
    return without


def _may_run(pod: Pod, name: str, node: Node) -> bool:
    """True if the scheduler may put a pod on a node; room does not count."""
    labels = node.labels
    return (
        all(labels.get(key) == value for key, value in pod.selector.items())
        and all(_in_terms(it.nodeSelectorTerms, name, labels) for it in pod.affinities)
        and all(
            any(_tolerates(it, taint) for it in pod.tolerations)
            for taint in node.taints
            if taint.effect in ("NoSchedule", "NoExecute")
        )
    )


def _in_terms(terms: Sequence[Term], name: str, labels: Mapping[str, str]) -> bool:
    """True if one of the terms matches the node; a term without expressions matches none."""
    fields = {"metadata.name": name}
    return any(
        (term.matchExpressions or term.matchFields)
        and all(
            _OPERATORS[it.operator](known.get(it.key), it.values)
            for expressions, known in ((term.matchExpressions, labels), (term.matchFields, fields))
            for it in expressions
        )
        for term in terms
    )


def _tolerates(toleration: Toleration, taint: Taint) -> bool:
    if toleration.effect not in ("", taint.effect) or toleration.key not in ("", taint.key):
        return False
    if toleration.operator == "Exists":
        return True
    return toleration.key != "" and toleration.value == taint.value


def no_image_of_the_swarm(case: Case) -> Verdict:
    """No pod's image is from a registry in the Swarm: without the Swarm it cannot be pulled."""
    key = "remains_count"
    target = wanted(case, key)
    registries = case.cluster.swarm_registries
    seen, value = _seen(case)
    findings = [
        Finding(pod.name, f"expected no image of a registry in the Swarm, seen {image}")
        for pod in value.pods
        for image in pod.images
        if is_from(image, registries)
    ]
    measured = {key: float(len(findings))} if seen.values and registries else {}
    findings += _odd_pods(value)
    if seen.values and not value.pods:
        findings.append(unknown(case.cluster.name, "it has no pod that is understood"))
    if not registries:
        text = "it names no registry of the Swarm (swarm.registries)"
        findings.append(unknown("the profile", text))
    return conclude(
        findings,
        seen,
        proven=f"none of {len(value.pods)} pods has an image of {names(registries or ('any',))}",
        measured=measured,
        target=target,
    )


def is_from(image: str, registries: Sequence[str]) -> bool:
    """True if an image's first part is such a registry; one without a port matches every port.

    An image whose first part has no dot and no colon, and is not ``localhost``, is of Docker Hub.
    """
    host, slash, _ = image.partition("/")
    if not slash or not ("." in host or ":" in host or host == "localhost"):
        return False
    return any(it.lower() in (host.lower(), host.lower().partition(":")[0]) for it in registries)


CHECKS = {
    "the pods of a lost machine fit on the others": fits_without_one,
    "no image comes from a registry of the Swarm": no_image_of_the_swarm,
}
