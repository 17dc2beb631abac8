"""Observes a machine from outside: by the API, another machine, Ceph. Read only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import TypeVar
from urllib.parse import quote

from typing_extensions import TypeForm

from harness.core.errors import NotFound, NotListening
from harness.faults import reachability
from harness.faults.fault import peer
from harness.faults.pods import ALL_PODS, pod_of, pods_at
from harness.transport import Reach
from harness.transport.ceph import ask_ceph
from harness.transport.objects import listed, must, text

T = TypeVar("T")

_CEPH_S = 25.0


def node(reach: Reach, machine: str) -> object:
    """The node as the API reports it."""
    return reach.kube.get(f"/api/v1/nodes/{machine}")


def is_ready(reach: Reach, machine: str) -> bool:
    """True if the API reports the node as Ready."""
    return says_ready(node(reach, machine))


def ready_nodes(reach: Reach, *, within_s: float = 10.0) -> Mapping[str, bool]:
    """For every node that the API lists, whether it is Ready."""
    nodes = listed(reach.kube.get("/api/v1/nodes", within_s=within_s), "items")
    return {must(it, "metadata", "name"): says_ready(it) for it in nodes}


def says_ready(node: object) -> bool:
    """True if a node object of the API is Ready."""
    conditions = listed(node, "status", "conditions")
    return any(text(it, "type") == "Ready" and text(it, "status") == "True" for it in conditions)


def started(reach: Reach, machine: str) -> Sequence[str]:
    """The start times (UTC) of the containers that run on the machine, by the API."""
    there = pods_at(reach, f"{ALL_PODS}?fieldSelector=spec.nodeName%3D{quote(machine)}")
    return [it.started for pod in there for it in pod.containers.values() if it.runs]


def answers_peer(reach: Reach, machine: str) -> bool:
    """True if another machine gets a ping answer from it; TransportError when ping did not run."""
    return reachability.answers(reach, machine, peer(reach, machine).name)


def server_answers(reach: Reach, machine: str, path: str) -> bool:
    """True if that machine's API server answers 200; False if it refuses the connection."""
    address = reach.profile.cluster().machine(machine).address
    url = f"https://{address}:{reach.profile.kubernetes.api_port}{path}"
    try:
        return reach.kube.ask(url).status == HTTPStatus.OK
    except NotListening:
        return False


def pod_is_ready(reach: Reach, space: str, name: str) -> bool:
    """True if the API reports the pod as ready and not terminating."""
    try:
        return pod_of(reach.kube.get(f"/api/v1/namespaces/{space}/pods/{name}")).is_whole
    except NotFound:
        return False


def ceph(reach: Reach, machine: str, *words: str, read: TypeForm[T]) -> T:
    """The answer of ``ceph WORDS --format json``, asked on another machine than ``machine``."""
    on = [peer(reach, machine).name]
    return ask_ceph(reach, *words, read=read, on=on, within_s=_CEPH_S)
