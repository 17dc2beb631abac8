"""Observes a machine from outside: by the API, or from another machine. Read only."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeVar
from urllib.parse import quote

from harness.core.errors import Garbled, NotFound, NotListening, TransportError
from harness.faults import reachability_script
from harness.faults.commands import peer
from harness.faults.pods import ALL_PODS, pod_of, pods_at
from harness.transport import Reach
from harness.transport.objects import listed, must, text
from harness.transport.remote_script import RemoteScript

T = TypeVar("T")
# The program that asks; it only reads.
ASKING = RemoteScript(reachability_script)
_ASKS_WITHIN_S = 15.0
_PORT_STATES = ("open", "refused", "silent")


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
    return answers(reach, machine, peer(reach, machine).name)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Pings:
    """The result of some pings: how many were lost, and the average time of the others."""

    lost_percent: float
    ms: float | None


def pings(reach: Reach, machine: str, watcher: str, *, count: int = 1, size: int = 56) -> Pings:
    """Ping a machine from another one, ``count`` times in quick succession."""
    address = reach.profile.cluster().machine(machine).address
    argv = ("ping", "-n", "-q", "-i", "0.05", "-W", "1", "-c", f"{count}", "-s", f"{size}", address)
    done = reach.shell.run(watcher, argv, within_s=_ASKS_WITHIN_S)
    lost = re.search(r"([\d.]+)% packet loss", done.stdout)
    if lost is None:
        said = (done.stderr or done.stdout).strip()[-200:]
        raise TransportError(f"{watcher}: ping of {address} ended with {done.status}: {said}")
    took = re.search(r"= [\d.]+/([\d.]+)/", done.stdout)
    return Pings(lost_percent=float(lost[1]), ms=float(took[1]) if took else None)


def answers(reach: Reach, machine: str, watcher: str) -> bool:
    """True if the watcher gets a ping answer from the machine."""
    return pings(reach, machine, watcher).lost_percent == 0


def port_state(reach: Reach, watcher: str, protocol: str, address: str, port: int) -> str:
    """The state of a port as the watcher sees it: ``open``, ``refused``, or ``silent``."""
    return _ask(reach, watcher, protocol, address, f"{port}")


def resolves(reach: Reach, watcher: str, address: str, name: str) -> bool:
    """True if the name server at that address answers the watcher at all."""
    return _ask(reach, watcher, "dns", address, name) == "open"


def _ask(reach: Reach, watcher: str, *words: str) -> str:
    found = ASKING.on(reach.shell, watcher, "ask", *words, within_s=_ASKS_WITHIN_S, read=str).value
    if found not in _PORT_STATES:
        raise Garbled(
            f"{watcher}: expected one of {_PORT_STATES} for {' '.join(words)}, got {found!r}"
        )
    return found
