"""One container is killed on its machine, without the API; its pod stays."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import ClassVar, Self

from harness.core.errors import NotFound
from harness.faults import replicas, tools
from harness.faults.fault import Fault
from harness.faults.model import NOTHING, Act, Argv, BlastRadius
from harness.faults.pods import Container, Pod, budgets_at, pod_of, pods_at
from harness.transport import Reach

# For a container that the API does not report.
_NOT_SEEN = Container(task="", restarts=0, started="", runs=False)


class KillContainer(Fault):
    """Kill every process of one container, in a pod drawn from those that match a selector.

    ``container`` is its name, the pod's first one by default. ``task`` is its ID in containerd and
    ``restarts`` its restart count, both before the fault.
    """

    name: ClassVar[str] = "kill-container"
    blast_radius: ClassVar[frozenset[BlastRadius]] = NOTHING
    gone_within_s: ClassVar[float] = 120.0
    at_once: ClassVar[bool] = False  # a container starts

    namespace: str
    selector: str
    container: str = ""

    pod: str = ""
    uid: str = ""
    task: str = ""
    restarts: int = 0

    @property
    def target(self) -> str:
        pod = self.pod or self.selector
        return f"{self.container or 'the first container'} of {pod} in {self.namespace}"

    def resolved(self, reach: Reach, draw: Random) -> Self:
        listed = pods_at(reach, tools.pods_path(self.namespace, self.selector))
        alive = sorted((pod for pod in listed if pod.is_ready), key=lambda pod: pod.name)
        if not alive:
            return self
        pod = draw.choice(alive)
        name = self.container or pod.names[0]
        there = pod.containers.get(name, _NOT_SEEN)
        return self.model_copy(
            update={
                "machine": pod.machine,
                "pod": pod.name,
                "uid": pod.uid,
                "container": name,
                "task": there.task,
                "restarts": there.restarts,
            }
        )

    def refuse(self, reach: Reach) -> str | None:
        if not self.pod:
            return f"no ready pod in {self.namespace} matches {self.selector}"
        if not self.task:
            return f"{self.pod} has no running container {self.container}"
        if self.machine not in {it.name for it in reach.profile.machines}:
            return f"{self.pod} runs on {self.machine}, which the profile does not declare"
        return self._too_few(reach)

    def acts(self, reach: Reach) -> Iterable[Act]:
        kill = ("tasks", "kill", "--all", "--signal=SIGKILL", self.task)
        yield Act(place=self.machine, argv=(*reach.profile.commands.ctr, *kill))

    def undo(self, reach: Reach) -> tuple[str, Iterable[Argv]]:
        """The kubelet starts it again."""
        return self.machine, []

    def active(self, reach: Reach) -> bool:
        pod = self._pod(reach)
        if pod is None or pod.uid != self.uid:
            return True
        there = self._container_of(pod)
        return there.restarts > self.restarts or not there.runs

    def healed(self, reach: Reach) -> bool:
        pod = self._pod(reach)
        if pod is None or pod.uid != self.uid:
            return False
        return pod.is_ready and self._container_of(pod).restarts > self.restarts

    def _too_few(self, reach: Reach) -> str | None:
        """Why too few ready pods would be left until the container runs again; None when enough.

        The kubelet restarts the container, so the pod needs no controller.
        """
        pods = pods_at(reach, tools.pods_path(self.namespace))
        guards = f"/apis/policy/v1/namespaces/{self.namespace}/poddisruptionbudgets"
        hit = [pod for pod in pods if pod.uid == self.uid]
        lines = [] if self.even_all else [*replicas.left(hit, pods)]
        if not self.against_budget:
            lines += replicas.allowed(hit, budgets_at(reach, guards), 1)
        return "; ".join(str(it) for it in lines if not it.holds) or None

    def _pod(self, reach: Reach) -> Pod | None:
        try:
            return pod_of(reach.kube.get(f"{tools.pods_path(self.namespace)}/{self.pod}"))
        except NotFound:
            return None

    def _container_of(self, pod: Pod) -> Container:
        return pod.containers.get(self.container, _NOT_SEEN)
