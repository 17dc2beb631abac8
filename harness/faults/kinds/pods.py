"""Faults of pods: all processes of a container, or whole pods, are killed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random
from typing import ClassVar, Literal, Self

from pydantic import Field

from harness.core.errors import ConfigError, NotFound, NotProven
from harness.faults import budget
from harness.faults.commands import server_beside
from harness.faults.fault import Fault
from harness.faults.model import API, NOTHING, Act, Argv, BlastRadius
from harness.faults.pods import Container, Pod, budgets_at, pod_of, pods_at, pods_path
from harness.settings import Frozen
from harness.transport import Reach

# For a container that the API does not report.
_NOT_SEEN = Container(task="", restarts=0, started="", runs=False)
# The label of the primary, by operator: CloudNativePG's "Labels and annotations", and Patroni 4.
_PRIMARY = {"cloudnative-pg": "cnpg.io/instanceRole=primary", "patroni": "role=primary"}


class Victim(Frozen):
    """One drawn pod; a later pod of the same name has another ``uid``."""

    name: str
    uid: str


class KillPods(Fault):
    """Kill pods of a namespace that match a selector, on any machine.

    ``choice``: ``count`` drawn pods, all pods, or the primary of a StatefulSet. The primary is the
    pod with the label ``primary``; if no pod has it, the pod whose name ends in -0.
    """

    name: ClassVar[str] = "kill-pods"
    blast_radius: ClassVar[frozenset[BlastRadius]] = NOTHING
    gone_within_s: ClassVar[float] = 180.0
    at_once: ClassVar[bool] = False  # pods start

    namespace: str
    selector: str
    choice: Literal["random", "all", "primary"] = "random"
    count: int = Field(default=1, ge=1)
    primary: str = "role=primary"

    victims: tuple[Victim, ...] = ()
    ready: int = 0  # of all that have the labels, before

    @property
    def target(self) -> str:
        names = ", ".join(victim.name for victim in self.victims)
        return f"{names or self.selector} in {self.namespace}"

    def sketched(self) -> Self:
        drawn = Victim(name=f"‹{self.choice} of {self.selector}›", uid="")
        return self.model_copy(update={"victims": (drawn,)})

    def resolved(self, reach: Reach, draw: Random) -> Self:
        alive = [pod for pod in self._pods(reach) if pod.is_whole]
        chosen = self._chosen(alive, draw)
        at = [pod.machine for pod in chosen]
        return self.model_copy(
            update={
                "victims": tuple(Victim(name=it.name, uid=it.uid) for it in chosen),
                "ready": len(alive),
                "machine": at[0] if at else self.machine,
            }
        )

    def refuse(self, reach: Reach) -> str | None:
        if not self.victims:
            first = f", {self.primary} or the first of a StatefulSet"
            more = first if self.choice == "primary" else ""
            return f"no ready pod in {self.namespace} matches {self.selector}{more}"
        space = self.namespace
        pods = pods_at(reach, pods_path(space))
        guards = f"/apis/policy/v1/namespaces/{space}/poddisruptionbudgets"
        uids = {victim.uid for victim in self.victims}
        return budget.pod_refusal(
            [pod for pod in pods if pod.uid in uids],
            pods,
            budgets_at(reach, guards),
            even_all=self.even_all or self.choice == "all",
            against_budget=self.against_budget,
        )

    def acts(self, reach: Reach) -> Iterable[Act]:
        for victim in self.victims:
            path = f"{pods_path(self.namespace)}/{victim.name}?gracePeriodSeconds=0"
            yield Act(place=API, argv=("DELETE", path))

    def undo(self, reach: Reach) -> tuple[str, Iterable[Argv]]:
        """Their controllers create new pods."""
        return server_beside(reach, self.machine).name, []

    def active(self, reach: Reach) -> bool:
        there = {pod.uid for pod in self._pods(reach)}
        return not there & {victim.uid for victim in self.victims}

    def healed(self, reach: Reach) -> bool:
        return self.active(reach) and sum(it.is_whole for it in self._pods(reach)) >= self.ready

    def _chosen(self, alive: Sequence[Pod], draw: Random) -> list[Pod]:
        by_name = sorted(alive, key=lambda pod: pod.name)
        if self.choice == "all":
            return by_name
        if self.choice == "random":
            some = draw.sample(by_name, min(self.count, len(by_name)))
            return sorted(some, key=lambda pod: pod.name)
        key, _, value = self.primary.partition("=")
        marked = [pod for pod in by_name if pod.labels.get(key) == value]
        return marked[:1] or [pod for pod in by_name if _is_first(pod)][:1]

    def _pods(self, reach: Reach) -> Sequence[Pod]:
        return pods_at(reach, pods_path(self.namespace, self.selector))


def _is_first(pod: Pod) -> bool:
    return pod.kind == "StatefulSet" and pod.name.endswith("-0")


class KillIngress(KillPods):
    """Kill pods of the ingress; by default one that is drawn."""

    name: ClassVar[str] = "kill-ingress"

    namespace: str = ""
    selector: str = ""

    def resolved(self, reach: Reach, draw: Random) -> Self:
        declared = reach.profile.pods.ingress
        if declared is None:
            return self
        mine = self.model_copy(update=declared.model_dump())
        return super(KillIngress, mine).resolved(reach, draw)

    def refuse(self, reach: Reach) -> str | None:
        if reach.profile.pods.ingress is None:
            return "the profile does not declare the pods of the ingress: set `pods.ingress`"
        return super().refuse(reach)


class KillSpeaker(KillPods):
    """Kill MetalLB's speakers; by default one that is drawn."""

    name: ClassVar[str] = "kill-speaker"

    namespace: str = ""
    selector: str = ""

    def resolved(self, reach: Reach, draw: Random) -> Self:
        if reach.profile.stack.load_balancer is None:
            return self
        mine = self.model_copy(update=reach.profile.pods.speaker.model_dump())
        return super(KillSpeaker, mine).resolved(reach, draw)

    def refuse(self, reach: Reach) -> str | None:
        if reach.profile.stack.load_balancer is None:
            return f"{reach.profile.name} has no load balancer"
        return super().refuse(reach)


class KillPrimary(KillPods):
    """Kill the pod of the primary of the platform's PostgreSQL.

    The label of the primary is its operator's; without an operator it is that of ``kill-pods``.
    """

    name: ClassVar[str] = "kill-primary"

    namespace: str = ""
    selector: str = ""
    choice: Literal["random", "all", "primary"] = "primary"

    def resolved(self, reach: Reach, draw: Random) -> Self:
        declared = reach.profile.postgres
        if declared is None:
            return self
        label = _PRIMARY.get(declared.operator or "", self.primary)
        where = {"namespace": declared.namespace, "selector": declared.selector}
        mine = self.model_copy(update={**where, "primary": label})
        return super(KillPrimary, mine).resolved(reach, draw)

    def refuse(self, reach: Reach) -> str | None:
        if reach.profile.postgres is None:
            return "the profile does not declare the platform's PostgreSQL: set `postgres:`"
        return super().refuse(reach)


def primary_machine(reach: Reach) -> str:
    """The machine with the primary of the platform's PostgreSQL; ConfigError if none is declared.

    NotProven while no ready pod is the primary.
    """
    if reach.profile.postgres is None:
        raise ConfigError(
            "the profile does not declare the platform's PostgreSQL", remedy="set `postgres:`"
        )
    found = KillPrimary(id="look", machine="").resolved(reach, Random(0))
    if not found.machine:
        raise NotProven(f"no ready pod in {found.namespace} is the primary: {found.primary}")
    return found.machine


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
        listed = pods_at(reach, pods_path(self.namespace, self.selector))
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
        pods = pods_at(reach, pods_path(self.namespace))
        guards = f"/apis/policy/v1/namespaces/{self.namespace}/poddisruptionbudgets"
        hit = [pod for pod in pods if pod.uid == self.uid]
        lines = [] if self.even_all else [*budget.pods_left(hit, pods)]
        if not self.against_budget:
            lines += budget.disruptions_allowed(hit, budgets_at(reach, guards), 1)
        return "; ".join(str(it) for it in lines if not it.holds) or None

    def _pod(self, reach: Reach) -> Pod | None:
        try:
            return pod_of(reach.kube.get(f"{pods_path(self.namespace)}/{self.pod}"))
        except NotFound:
            return None

    def _container_of(self, pod: Pod) -> Container:
        return pod.containers.get(self.container, _NOT_SEEN)
