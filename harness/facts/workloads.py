"""What runs in the cluster: how many pods, where, with which limits, and what of their machine.

A workload is a Deployment, a StatefulSet, a DaemonSet, a CronJob, or what else owns pods. Its key
is ``Deployment saasodoo/user-service``; a pod without an owner is its own workload.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.facts.schema import Fact


@dataclass(frozen=True, slots=True)
class Container:
    """A container as its pods have it; without pods, as the workload's template says it.

    Requests and limits of the whole pod (KEP-2837) are those of each of its containers too.
    """

    name: str
    requests: tuple[str, ...] = ()  # the resources with a request: "cpu", "memory"
    limits: tuple[str, ...] = ()
    has_ports: bool = False
    has_readiness: bool = False
    is_sidecar: bool = False  # an init container that runs on beside the others (KEP-753)


@dataclass(frozen=True, slots=True)
class Privilege:
    """What a workload has of its machine.

    ``kind`` is a field of the API: hostPath, hostNetwork, hostPID, hostIPC, privileged, or
    capability. ``value`` is the path or the capability.
    """

    kind: str
    value: str = ""
    container: str = ""  # empty where the whole pod has it

    def __str__(self) -> str:
        of = f" of container {self.container}" if self.container else ""
        return f"{self.kind}{f' {self.value}' if self.value else ''}{of}"


@dataclass(frozen=True, slots=True)
class Workload:
    """A workload's wanted and ready pods; only pods that are not done count."""

    kind: str
    namespace: str
    name: str
    wanted: int
    ready: int
    is_settled: bool  # its controller has acted on the newest declaration
    machines: tuple[str, ...]  # of its ready pods, each once
    containers: tuple[Container, ...]  # without init containers that end
    images: tuple[str, ...]  # of all containers
    services: tuple[str, ...]  # that lead to its pods
    budgets: tuple[str, ...]  # PodDisruptionBudgets that count its pods
    privileges: tuple[Privilege, ...]  # of the template and of every pod
    accounts: tuple[str, ...]  # service accounts whose token its pods have
    not_updated: int = 0  # pods that the newest declaration has not replaced yet
    overlapping: tuple[str, ...] = ()  # PodDisruptionBudgets that select one of its pods together


@dataclass(frozen=True, slots=True)
class Workloads:
    """Every workload; the pods that each PodDisruptionBudget allows to be evicted now.

    A budget that moves with an operator's primary stops no drain, and has no number.
    ``odd`` are the objects that are not understood, by name, and why.
    """

    workloads: Mapping[str, Workload]
    allowed_evictions: Mapping[str, int]
    odd: Mapping[str, str] = field(default_factory=dict)


WORKLOADS = Fact("workloads", Workloads)
