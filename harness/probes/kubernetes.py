"""Kubernetes: its API servers and kubelets, objects that are unavailable or stuck, its nodes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import ClassVar

from harness.core.errors import NotListening
from harness.core.model import JSON
from harness.facts import kubernetes
from harness.facts.kubernetes import NODES, OBJECTS, ApiService, Node, Terminating
from harness.facts.kubernetes import ApiObjects as Objects
from harness.facts.schema import attempt, dump
from harness.probes.certificates import describe
from harness.probes.pods import is_ours
from harness.probes.probe import Timing
from harness.transport import Answer, Reach
from harness.transport.objects import Odd, each, epoch, listed, must, text, texts

_KUBELET_PORT = 10250
_SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
_ROLE = "node-role.kubernetes.io/"
_INTERNAL = "InternalIP"


class ApiEndpoints:
    """Reads each API server's readiness, cluster, certificate, and answer to a stranger.

    Only servers have the items ``readyz``, ``namespace``, ``certificate`` and ``anonymous api``;
    every machine has ``anonymous kubelet``. A server whose port is closed has status 0 in the first
    two, because a server that is down is an answer.
    """

    name: ClassVar[str] = kubernetes.ENDPOINTS.name
    sentence: ClassVar[str] = "what every API server and kubelet answers"
    timing: ClassVar[Timing] = Timing.AT_START
    within_s: ClassVar[float] = 30.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [machine.name for machine in reach.profile.machines]

    def observe(self, reach: Reach, target: str) -> JSON:
        machine = reach.profile.cluster().machine(target)
        spaces = "/api/v1/namespaces"
        server = f"https://{machine.address}:{reach.profile.kubernetes.api_port}"
        ask = reach.kube.ask
        looks: dict[str, Callable[[], object]] = {}
        if machine.is_server:
            looks = {
                kubernetes.READINESS.name: lambda: _readiness(
                    _or_closed(ask, f"{server}/readyz?verbose")
                ),
                kubernetes.NAMESPACE.name: lambda: _namespace(
                    _or_closed(ask, f"{server}{spaces}/kube-system")
                ),
                kubernetes.CERTIFICATE.name: lambda: describe(ask(f"{server}/version").certificate),
                kubernetes.ANONYMOUS_API.name: lambda: (
                    ask(f"{server}{spaces}", anonymous=True).status
                ),
            }
        kubelet = f"https://{machine.address}:{_KUBELET_PORT}/pods"
        looks[kubernetes.ANONYMOUS_KUBELET.name] = lambda: ask(kubelet, anonymous=True).status
        return dump({name: attempt(look) for name, look in looks.items()})


def _or_closed(ask: Callable[[str], Answer], url: str) -> Answer:
    try:
        return ask(url)
    except NotListening:
        return Answer(status=kubernetes.CLOSED, body="", certificate="")


def _readiness(answer: Answer) -> kubernetes.Readiness:
    # The server lists what failed as "[-]name failed".
    failed = [line[3:].split()[0] for line in answer.body.splitlines() if line.startswith("[-]")]
    return kubernetes.Readiness(answer.status, tuple(failed))


def _namespace(answer: Answer) -> kubernetes.Namespace:
    try:
        uid = text(json.loads(answer.body), "metadata", "uid")
    except (ValueError, Odd):
        uid = None
    return kubernetes.Namespace(answer.status, uid)


class ApiObjects:
    """Reads every APIService, and every namespace that is being deleted."""

    name: ClassVar[str] = OBJECTS.name
    sentence: ClassVar[str] = "every API service, and every namespace that is being deleted"
    timing: ClassVar[Timing] = Timing.AT_START
    within_s: ClassVar[float] = 30.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [reach.profile.name]

    def observe(self, reach: Reach, target: str) -> JSON:
        services = each(reach.kube.get(_SERVICES, within_s=10.0), _service)
        spaces = each(reach.kube.get("/api/v1/namespaces", within_s=10.0), _terminating)
        going = {name: it for name, it in spaces.items() if it is not None}
        return dump(Objects(services, going))


def _service(item: object) -> ApiService:
    found = [it for it in _conditions(item) if must(it, "type") == "Available"]
    condition = found[0] if found else {}
    return ApiService(
        available=text(condition, "status") or "absent",
        message=text(condition, "message") or text(condition, "reason") or "",
    )


def _terminating(item: object) -> Terminating | None:
    """What blocks a namespace's deletion; None if the namespace is not being deleted."""
    since = epoch(item, "metadata", "deletionTimestamp")
    if since is None:
        return None
    kept = [it for it in _conditions(item) if text(it, "status") == "True"]
    return Terminating(
        since=since,
        ours=is_ours(texts(item, "metadata", "labels")),
        messages=tuple(text(it, "message") or must(it, "type") for it in kept),
    )


def _conditions(item: object) -> Sequence[object]:
    return listed(item, "status", "conditions")


class Nodes:
    """Reads every node's name, addresses, roles, version, conditions and taints.

    A node whose API object cannot be read has an ``error`` instead.
    """

    name: ClassVar[str] = NODES.name
    sentence: ClassVar[str] = "the cluster's node list"
    timing: ClassVar[Timing] = Timing.AT_START
    within_s: ClassVar[float] = 15.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [reach.profile.name]

    def observe(self, reach: Reach, target: str) -> JSON:
        return dump(each(reach.kube.get("/api/v1/nodes", within_s=10.0), _node))


def _node(item: object) -> Node:
    labels = texts(item, "metadata", "labels")
    addresses = [it for it in listed(item, "status", "addresses") if text(it, "type") == _INTERNAL]
    conditions = listed(item, "status", "conditions")
    return Node(
        addresses=tuple(_address(must(it, "address")) for it in addresses),
        roles=tuple(
            sorted(label.removeprefix(_ROLE) for label in labels if label.startswith(_ROLE))
        ),
        version=must(item, "status", "nodeInfo", "kubeletVersion"),
        conditions={must(it, "type"): must(it, "status") for it in conditions},
        taints=tuple(_taint(taint) for taint in listed(item, "spec", "taints")),
    )


def _address(written: str) -> str:
    """An address in its usual form; IPv6 has many."""
    try:
        return str(ip_address(written))
    except ValueError as error:
        raise Odd(f"an InternalIP is no address: {written}") from error


def _taint(taint: object) -> str:
    """A taint as ``kubectl taint`` writes it: key=value:effect, or key:effect."""
    value = text(taint, "value")
    return f"{must(taint, 'key')}{f'={value}' if value else ''}:{must(taint, 'effect')}"
