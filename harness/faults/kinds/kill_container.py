"""One container is killed on its machine, past the API; its pod stays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random
from typing import Any, ClassVar, Self

from harness.errors import NotFound
from harness.faults import replicas, tools
from harness.faults.fault import Fault
from harness.faults.model import NOTHING, Act, Argv, BlastRadius
from harness.probes.pods import is_ready
from harness.transport import Reach


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
        listed = reach.kube.get(tools.pods_path(self.namespace, self.selector))["items"]
        alive = sorted(
            (pod for pod in listed if is_ready(pod["status"])),
            key=lambda pod: str(pod["metadata"]["name"]),
        )
        if not alive:
            return self
        pod = draw.choice(alive)
        found: dict[str, Any] = {
            "machine": pod["spec"]["nodeName"],
            "pod": pod["metadata"]["name"],
            "uid": pod["metadata"]["uid"],
            "container": self.container or pod["spec"]["containers"][0]["name"],
        }
        mine = self.model_copy(update=found)
        status = mine._status(pod)
        task = str(status.get("containerID", "")).removeprefix("containerd://")
        return mine.model_copy(update={"task": task, "restarts": status.get("restartCount", 0)})

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
        if pod is None or pod["metadata"]["uid"] != self.uid:
            return True
        status = self._status(pod)
        return bool(
            status.get("restartCount", 0) > self.restarts or "running" not in status["state"]
        )

    def healed(self, reach: Reach) -> bool:
        pod = self._pod(reach)
        if pod is None or pod["metadata"]["uid"] != self.uid:
            return False
        status = self._status(pod)
        return bool(is_ready(pod["status"]) and status.get("restartCount", 0) > self.restarts)

    def _too_few(self, reach: Reach) -> str | None:
        """Its pod serves nobody until the container runs again: what of its kind does meanwhile?

        The kubelet restarts it, so that it needs no controller.
        """
        pods = reach.kube.get(tools.pods_path(self.namespace))["items"]
        guards = f"/apis/policy/v1/namespaces/{self.namespace}/poddisruptionbudgets"
        hit = [pod for pod in pods if pod["metadata"]["uid"] == self.uid]
        lines = [] if self.even_all else [*replicas.left(hit, pods)]
        if not self.against_budget:
            lines += replicas.allowed(hit, reach.kube.get(guards)["items"], 1)
        return "; ".join(str(it) for it in lines if not it.holds) or None

    def _pod(self, reach: Reach) -> Mapping[str, Any] | None:
        try:
            found: Mapping[str, Any] = reach.kube.get(
                f"{tools.pods_path(self.namespace)}/{self.pod}"
            )
        except NotFound:
            return None
        return found

    def _status(self, pod: Mapping[str, Any]) -> Mapping[str, Any]:
        """What the API says of the container; nothing when the pod has none of that name."""
        for status in pod["status"].get("containerStatuses", ()):
            if status["name"] == self.container:
                return dict(status)
        return {"state": {}}
