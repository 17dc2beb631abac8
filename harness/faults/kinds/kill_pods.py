"""Pods are killed at once, with a grace period of 0 s."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random
from typing import ClassVar, Literal, Self

from pydantic import Field

from harness.faults import replicas, tools
from harness.faults.fault import Fault, server_beside
from harness.faults.model import API, NOTHING, Act, Argv, BlastRadius
from harness.faults.pods import Pod, budgets_at, pods_at
from harness.settings import Frozen
from harness.transport import Reach


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
        pods = pods_at(reach, tools.pods_path(space))
        guards = f"/apis/policy/v1/namespaces/{space}/poddisruptionbudgets"
        uids = {victim.uid for victim in self.victims}
        return replicas.refusal(
            [pod for pod in pods if pod.uid in uids],
            pods,
            budgets_at(reach, guards),
            even_all=self.even_all or self.choice == "all",
            against_budget=self.against_budget,
        )

    def acts(self, reach: Reach) -> Iterable[Act]:
        for victim in self.victims:
            path = f"{tools.pods_path(self.namespace)}/{victim.name}?gracePeriodSeconds=0"
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
        return pods_at(reach, tools.pods_path(self.namespace, self.selector))


def _is_first(pod: Pod) -> bool:
    return pod.kind == "StatefulSet" and pod.name.endswith("-0")
