"""Evidence from the Kubernetes API: relevant objects, and the logs of pods in trouble.

Never a Secret, and never a ConfigMap.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from harness.settings import Profile
from harness.transport import Kube

PODS = "pods"
_OBJECTS: Mapping[str, str] = {
    PODS: "/api/v1/pods",
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


def objects(profile: Profile) -> Mapping[str, str]:
    """The listings to request: name and path."""
    return {**_OBJECTS, **_OF_ROOK} if profile.stack.rook is not None else _OBJECTS


def trimmed(listing: object) -> object:
    """A listing without the fields that only say which tool wrote which field."""
    for item in listing.get("items") or () if isinstance(listing, dict) else ():
        item.get("metadata", {}).pop("managedFields", None)
    return listing


def wanted_logs(pods: object) -> tuple[WantedLog, ...]:
    """The logs to read: of pods in trouble first, then of the cluster's own pods.

    A power cut restarts every pod; a pod that stays broken must not be lost among them.
    """
    items = pods.get("items") or () if isinstance(pods, dict) else ()
    ranked = sorted(
        (pod for pod in items if _rank(pod) is not None), key=lambda pod: _rank(pod) or 0
    )
    return tuple(islice((log for pod in ranked for log in _of_pod(pod)), _LOGS))


def read_log(kube: Kube, log: WantedLog) -> str:
    """The end of a container's log; raises TransportError."""
    return kube.log(log.namespace, log.pod, log.container, previous=log.previous, lines=_LINES)


def _rank(pod: Mapping[str, Any]) -> int | None:
    """A log's priority: pods in trouble, then restarted pods, then the cluster's own.

    None for a pod without a useful log.
    """
    status = pod.get("status", {})
    containers = status.get("containerStatuses") or ()
    if status.get("phase") != "Succeeded":
        if status.get("phase") != "Running" or any(not it.get("ready") for it in containers):
            return 0
        if any(it.get("restartCount", 0) > 0 for it in containers):
            return 1
    return 2 if pod["metadata"]["namespace"] == "kube-system" else None


def _of_pod(pod: Mapping[str, Any]) -> Iterator[WantedLog]:
    metadata = pod["metadata"]
    for status in pod.get("status", {}).get("containerStatuses") or ():
        for previous in (False, True) if status.get("restartCount", 0) else (False,):
            yield WantedLog(
                namespace=metadata["namespace"],
                pod=metadata["name"],
                container=status["name"],
                previous=previous,
            )
