"""Evidence of a red scenario, collected before anything is cleaned up.

It comes from all machines (journal, units, disks, their view of Ceph and Swarm) and from the
Kubernetes API (relevant objects, logs of pods in trouble; never a Secret or a ConfigMap) at once,
within a deadline. Every command only reads.

Collecting is not probing: no check judges the evidence, and an error in it never changes a verdict.
Each piece, or the reason why it is missing, is a record of the journal, so it is signed with the
rest.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

from harness.core.parallel import CallResult, side_by_side
from harness.settings import Profile
from harness.transport import Completed, Kube, Reach
from harness.transport.objects import count, flag, listed, must, text

_UNITS = ("rke2-server", "rke2-agent", "kubelet", "containerd", "chrony", "ceph.target", "docker")
_JOURNAL = ("journalctl", "--no-pager", "--output=short-iso-precise")
_COMMANDS: Mapping[str, Sequence[str]] = {
    "journal of the node's units": (
        *(*_JOURNAL, "--lines=600"),
        *(f"--unit={unit}" for unit in _UNITS),
    ),
    "journal, warnings and worse": (*_JOURNAL, "--lines=400", "--priority=warning"),
    "journal of the kernel": (*_JOURNAL, "--lines=200", "--dmesg"),
    "failed units": ("systemctl", "--no-pager", "--plain", "--failed"),
    "state of the node's units": (
        *("systemctl", "list-units", "--all", "--full", "--no-pager", "--plain"),
        *(f"{unit}*" for unit in _UNITS),
    ),
    "control plane containers": (
        *("sh", "-c"),
        "tail -n 100 /var/log/pods/kube-system_etcd-*/*/*.log "
        "/var/log/pods/kube-system_kube-*/*/*.log",
    ),
    "clock": ("chronyc", "-n", "tracking"),
    "disks": ("df", "--human-readable", "--exclude-type=overlay", "--exclude-type=tmpfs"),
    "memory": ("free", "--mebi"),
    "processes": ("ps", "-eo", "pid,ppid,stat,etimes,rss,pcpu,comm", "--sort=-rss"),
    "addresses": ("ip", "-brief", "address"),
    "routes": ("ip", "route"),
}
_CEPH: Mapping[str, Sequence[str]] = {
    "Ceph's status": ("ceph", "--connect-timeout=10", "status"),
    "Ceph's health": ("ceph", "--connect-timeout=10", "health", "detail"),
    "Ceph's OSDs": ("ceph", "--connect-timeout=10", "osd", "df", "tree"),
}
# A machine that is no manager prints an error instead.
_SWARM: Mapping[str, Sequence[str]] = {
    "Docker": ("docker", "info"),
    "Swarm's nodes": ("docker", "node", "ls"),
    "Swarm's services": ("docker", "service", "ls"),
    "Swarm's tasks": ("sh", "-c", "docker service ps --no-trunc $(docker service ls --quiet)"),
}

_PODS = "pods"
_OBJECTS: Mapping[str, str] = {
    _PODS: "/api/v1/pods",
    "events": "/api/v1/events",
    "nodes": "/api/v1/nodes",
    "services": "/api/v1/services",
    "endpoints": "/apis/discovery.k8s.io/v1/endpointslices",
    "claims": "/api/v1/persistentvolumeclaims",
    "volumes": "/api/v1/persistentvolumes",
    "deployments": "/apis/apps/v1/deployments",
    "daemon sets": "/apis/apps/v1/daemonsets",
    "stateful sets": "/apis/apps/v1/statefulsets",
}
_OF_ROOK = {"Ceph clusters": "/apis/ceph.rook.io/v1/cephclusters"}
_LOGS = 40  # containers, troubled ones first
_LINES = 400

_OF_THE_CLUSTER = "the cluster"
# A red run must still end: machines and objects first, then the logs of pods.
_FIRST_S = 60.0
_LOGS_S = 30.0
_HOSTS = "hosts"
_LONGEST = 512 * 1024  # characters per piece; the end is kept, with the newest lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One piece of evidence: the question, its target, and the text or why there is none."""

    target: str
    what: str
    text: str = ""
    error: str | None = None


def collect(reach: Reach) -> Iterator[Piece]:
    """Yield every piece as it arrives, for about a minute and a half at most; raises nothing."""
    commands = commands_for_machines(reach.profile)
    # The machines' deadline is shorter, so that the answers of the other machines are not lost.
    hosts = side_by_side(
        {_HOSTS: lambda: reach.fleet.everywhere(commands, within_s=_FIRST_S - 10)},
        within_s=_FIRST_S,
    )
    calls = {what: partial(reach.kube.get, path) for what, path in _objects(reach.profile).items()}
    pods: object = None
    for answer in side_by_side(calls, within_s=_FIRST_S):
        if answer.key == _PODS:
            pods = answer.value
        yield _of_cluster(answer)
    for told in hosts:
        yield from [_of_cluster(told)] if told.value is None else _of_hosts(told.value)
    logs = {wanted.what: partial(_read_log, reach.kube, wanted) for wanted in wanted_logs(pods)}
    for log in side_by_side(logs, within_s=_LOGS_S):
        yield _of_cluster(log)


def _of_cluster(answer: CallResult[object]) -> Piece:
    if answer.error is not None:
        return Piece(target=_OF_THE_CLUSTER, what=answer.key, error=answer.error)
    value = answer.value
    said = value if isinstance(value, str) else json.dumps(_trimmed(value), indent=1)
    return Piece(target=_OF_THE_CLUSTER, what=answer.key, text=said[-_LONGEST:])


def _of_hosts(told: Mapping[tuple[str, str], Completed | Exception]) -> Iterator[Piece]:
    for (machine, what), answer in sorted(told.items(), key=lambda item: item[0]):
        if isinstance(answer, Exception):
            yield Piece(target=machine, what=what, error=str(answer))
            continue
        said = (answer.stdout + answer.stderr)[-_LONGEST:]
        failed = f"the command ended with {answer.status}" if answer.status else None
        yield Piece(target=machine, what=what, text=said, error=failed)


def commands_for_machines(profile: Profile) -> Mapping[str, Sequence[str]]:
    """The commands for every machine, by what they show."""
    # Without a `ceph` program on the machines, CephCluster and the pods' logs show Ceph's state.
    asks_machines = profile.stack.rook != "cluster" and profile.ceph.through == "machines"
    ceph = _CEPH if asks_machines else {}
    return {**ceph, **(_SWARM if profile.stack.source == "swarm" else {}), **_COMMANDS}


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedLog:
    """One container's log, or that of the container which it replaced."""

    namespace: str
    pod: str
    container: str
    previous: bool

    @property
    def what(self) -> str:
        before = ", before its restart" if self.previous else ""
        return f"log of {self.namespace}/{self.pod}, {self.container}{before}"


def _objects(profile: Profile) -> Mapping[str, str]:
    """The listings to request: name and path."""
    return {**_OBJECTS, **_OF_ROOK} if profile.stack.rook is not None else _OBJECTS


def _trimmed(listing: object) -> object:
    """A listing without the fields that only say which tool wrote which field."""
    for item in listing.get("items") or () if isinstance(listing, dict) else ():
        item.get("metadata", {}).pop("managedFields", None)
    return listing


def wanted_logs(pods: object) -> tuple[WantedLog, ...]:
    """The logs to read: of pods in trouble first, then of the cluster's own pods.

    A power cut restarts every pod; a pod that stays broken must not be lost among them.
    """
    ranked = sorted(
        (pod for pod in listed(pods, "items") if _rank(pod) is not None),
        key=lambda pod: _rank(pod) or 0,
    )
    return tuple(islice((log for pod in ranked for log in _of_pod(pod)), _LOGS))


def _read_log(kube: Kube, log: WantedLog) -> str:
    """The end of a container's log; raises TransportError."""
    return kube.log(log.namespace, log.pod, log.container, previous=log.previous, lines=_LINES)


def _rank(pod: object) -> int | None:
    """A log's priority: pods in trouble, then restarted pods, then the cluster's own.

    None for a pod without a useful log.
    """
    containers = listed(pod, "status", "containerStatuses")
    phase = text(pod, "status", "phase")
    if phase != "Succeeded":
        if phase != "Running" or not all(flag(it, "ready") for it in containers):
            return 0
        if any(count(it, "restartCount") for it in containers):
            return 1
    return 2 if text(pod, "metadata", "namespace") == "kube-system" else None


def _of_pod(pod: object) -> Iterator[WantedLog]:
    for status in listed(pod, "status", "containerStatuses"):
        for previous in (False, True) if count(status, "restartCount") else (False,):
            yield WantedLog(
                namespace=must(pod, "metadata", "namespace"),
                pod=must(pod, "metadata", "name"),
                container=must(status, "name"),
                previous=previous,
            )
