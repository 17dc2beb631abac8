"""One container is killed on its machine, past the API; its pod stays."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import ClassVar, Self

from harness.errors import NotFound
from harness.faults import replicas, tools
from harness.faults.fault import Fault
from harness.faults.model import NOTHING, Act, Argv, BlastRadius
from harness.probes.pods import is_ready
from harness.transport import Reach
from harness.transport.objects import count, listed, must, part, text


class KillContainer(Fault):
    """Kill every process of a container of a pod that is drawn from those of certain labels.

    ``container`` is its name, the pod's first one by default. ``task`` is its number in containerd
    and ``restarts`` how often it was restarted, before.
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
        there = reach.kube.get(tools.pods_path(self.namespace, self.selector))
        alive = sorted(
            (pod for pod in listed(there, "items") if is_ready(part(pod, "status"))),
            key=lambda pod: must(pod, "metadata", "name"),
        )
        if not alive:
            return self
        pod = draw.choice(alive)
        found = {
            "machine": must(pod, "spec", "nodeName"),
            "pod": must(pod, "metadata", "name"),
            "uid": must(pod, "metadata", "uid"),
            "container": self.container or must(listed(pod, "spec", "containers")[0], "name"),
        }
        mine = self.model_copy(update=found)
        status = mine._status(pod)
        task = (text(status, "containerID") or "").removeprefix("containerd://")
        return mine.model_copy(update={"task": task, "restarts": count(status, "restartCount")})

    def refuse(self, reach: Reach) -> str | None:
        if not self.pod:
            return f"no ready pod in {self.namespace} is {self.selector}"
        if not self.task:
            return f"{self.pod} has no container {self.container} that runs"
        if self.machine not in {it.name for it in reach.profile.machines}:
            return f"{self.pod} runs on {self.machine}, which the profile does not know"
        return self._too_few(reach)

    def acts(self, reach: Reach) -> Iterable[Act]:
        kill = ("tasks", "kill", "--all", "--signal=SIGKILL", self.task)
        yield Act(place=self.machine, argv=(*reach.profile.commands.ctr, *kill))

    def undo(self, reach: Reach) -> tuple[str, Iterable[Argv]]:
        """The kubelet starts it again."""
        return self.machine, []

    def active(self, reach: Reach) -> bool:
        pod = self._pod(reach)
        if pod is None or must(pod, "metadata", "uid") != self.uid:
            return True
        status = self._status(pod)
        is_running = "running" in part(status, "state")
        return count(status, "restartCount") > self.restarts or not is_running

    def healed(self, reach: Reach) -> bool:
        pod = self._pod(reach)
        if pod is None or must(pod, "metadata", "uid") != self.uid:
            return False
        restarts = count(self._status(pod), "restartCount")
        return is_ready(part(pod, "status")) and restarts > self.restarts

    def _too_few(self, reach: Reach) -> str | None:
        """Its pod serves nobody until the container runs again: what of its kind does meanwhile?

        The kubelet restarts it, so that it needs no controller.
        """
        pods = listed(reach.kube.get(tools.pods_path(self.namespace)), "items")
        guards = f"/apis/policy/v1/namespaces/{self.namespace}/poddisruptionbudgets"
        hit = [pod for pod in pods if must(pod, "metadata", "uid") == self.uid]
        lines = [] if self.even_all else [*replicas.left(hit, pods)]
        if not self.against_budget:
            lines += replicas.allowed(hit, listed(reach.kube.get(guards), "items"), 1)
        return "; ".join(str(it) for it in lines if not it.holds) or None

    def _pod(self, reach: Reach) -> object:
        """The pod; None when it is gone."""
        try:
            return reach.kube.get(f"{tools.pods_path(self.namespace)}/{self.pod}")
        except NotFound:
            return None

    def _status(self, pod: object) -> object:
        """What the API says of the container; nothing when the pod has none of that name."""
        for status in listed(pod, "status", "containerStatuses"):
            if must(status, "name") == self.container:
                return status
        return None
