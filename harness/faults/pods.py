"""Pods and their disruption budgets, as far as faults count them. Read only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from harness.transport import Reach
from harness.transport.objects import Object, count, flag, is_ready, listed, must, part, text, texts

ALL_PODS = "/api/v1/pods"
ALL_BUDGETS = "/apis/policy/v1/poddisruptionbudgets"


@dataclass(frozen=True, slots=True, kw_only=True)
class Controller:
    """The controller that replaces a pod when it is gone."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container as the API last saw it; ``task`` is its ID in containerd.

    ``started`` is UTC; empty when it does not run.
    """

    task: str
    restarts: int
    started: str
    runs: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod; ``machine`` and ``address`` are empty until it has them.

    ``names`` are its containers in their order, ``containers`` the status of each by name.
    """

    namespace: str
    name: str
    uid: str
    machine: str
    address: str
    labels: Mapping[str, str]
    controller: Controller | None
    is_ready: bool
    is_going: bool
    is_done: bool
    names: tuple[str, ...]
    containers: Mapping[str, Container]

    @property
    def is_whole(self) -> bool:
        """True if the pod is ready and not terminating."""
        return self.is_ready and not self.is_going

    @property
    def kind(self) -> str:
        """The kind of its controller; empty when no controller would replace it."""
        return self.controller.kind if self.controller is not None else ""

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """A PodDisruptionBudget: how many pods it covers, and how many disruptions it allows now."""

    namespace: str
    name: str
    selector: Object | None
    pods: int
    allowed: int

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def pods_at(reach: Reach, path: str) -> Sequence[Pod]:
    """The pods that the API lists at a path; TransportError for a malformed one."""
    return [pod_of(it) for it in listed(reach.kube.get(path), "items")]


def budgets_at(reach: Reach, path: str) -> Sequence[Budget]:
    """The PodDisruptionBudgets at an API path; TransportError for a malformed one."""
    return [budget_of(it) for it in listed(reach.kube.get(path), "items")]


def pod_of(item: object) -> Pod:
    """Read a pod object of the API."""
    status = part(item, "status")
    statuses = listed(status, "containerStatuses")
    return Pod(
        namespace=must(item, "metadata", "namespace"),
        name=must(item, "metadata", "name"),
        uid=must(item, "metadata", "uid"),
        machine=text(item, "spec", "nodeName") or "",
        address=text(status, "podIP") or "",
        labels=texts(item, "metadata", "labels"),
        controller=_controller(item),
        is_ready=is_ready(status),
        is_going=text(item, "metadata", "deletionTimestamp") is not None,
        is_done=text(status, "phase") in ("Succeeded", "Failed"),
        names=tuple(must(it, "name") for it in listed(item, "spec", "containers")),
        containers={must(it, "name"): _container(it) for it in statuses},
    )


def budget_of(item: object) -> Budget:
    """Read a PodDisruptionBudget object of the API."""
    spec = part(item, "spec")
    return Budget(
        namespace=must(item, "metadata", "namespace"),
        name=must(item, "metadata", "name"),
        selector=None if spec.get("selector") is None else part(spec, "selector"),
        pods=count(item, "status", "expectedPods"),
        allowed=count(item, "status", "disruptionsAllowed"),
    )


def _controller(item: object) -> Controller | None:
    for it in listed(item, "metadata", "ownerReferences"):
        if flag(it, "controller"):
            return Controller(kind=must(it, "kind"), name=must(it, "name"))
    return None


def _container(status: object) -> Container:
    return Container(
        task=(text(status, "containerID") or "").removeprefix("containerd://"),
        restarts=count(status, "restartCount"),
        started=text(status, "state", "running", "startedAt") or "",
        runs=part(status, "state").get("running") is not None,
    )


def pods_path(namespace: str, selector: str = "") -> str:
    """The API path that lists the pods with these labels."""
    query = f"?labelSelector={quote(selector, safe='')}" if selector else ""
    return f"/api/v1/namespaces/{namespace}/pods{query}"
