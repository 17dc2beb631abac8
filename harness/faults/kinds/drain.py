"""A machine is drained, as before maintenance: its pods move, and no new ones come."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from pydantic import Field

from harness.core.errors import InjectFailed
from harness.faults import observers, replicas, tools
from harness.faults.fault import Fault, server_beside
from harness.faults.model import Act, Argv, BlastRadius
from harness.faults.pods import ALL_BUDGETS, ALL_PODS, Pod, budgets_at, pods_at
from harness.transport import Reach
from harness.transport.objects import flag

# On a node, the fault that drains it: a cordon has no name of its own.
MARKED = "cutover.fault"
# Pods that stay: those of a DaemonSet come back at once, and static pods are not the API's.
_STAYING = ("DaemonSet", "Node")


class Drain(Fault):
    """Cordon a machine and evict its pods, with kubectl on another server.

    kubectl runs in a unit of its own, which the undo stops: pods that are not evicted by then stay.
    Data in the pods (emptyDir) is lost. With ``even_all``, a set of one pod is away until it runs
    elsewhere.
    """

    name: ClassVar[str] = "drain"
    # With Rook, a drain evicts Ceph's pods too.
    blast_radius: ClassVar[frozenset[BlastRadius]] = frozenset(
        {BlastRadius.NODE, BlastRadius.MONITOR, BlastRadius.OSD}
    )

    # The time limit of the drain, and of one observation.
    seen_within_s: ClassVar[float] = 150.0

    # Pods are evicted one by one, and those of daemon sets stay.
    counts_pods: ClassVar[bool] = True

    within_s: int = Field(default=120, ge=10, le=140)

    def refuse(self, reach: Reach) -> str | None:
        every = pods_at(reach, ALL_PODS)
        going = [pod for pod in self._leaving(reach) if not pod.is_done]
        budgets = budgets_at(reach, ALL_BUDGETS)
        return replicas.refusal(
            going,
            every,
            budgets,
            one_by_one=True,
            even_all=self.even_all,
            against_budget=self.against_budget,
        )

    def acts(self, reach: Reach) -> Iterable[Act]:
        place = server_beside(reach, self.machine).name
        mark = ("annotate", "--overwrite", "node", self.machine, f"{MARKED}={self.id}")
        yield Act(place=place, argv=tools.kubectl(reach, *mark))
        how = ("--ignore-daemonsets", "--delete-emptydir-data", "--force")
        argv = tools.kubectl(reach, "drain", self.machine, *how, f"--timeout={self.within_s}s")
        yield Act(place=place, argv=tools.in_unit(self.id, *argv))

    def undo(self, reach: Reach) -> tuple[str, Iterable[Argv]]:
        commands = (tools.stop_unit(self.id), *undoing(reach, self.machine))
        return server_beside(reach, self.machine).name, commands

    def active(self, reach: Reach) -> bool:
        if not self._is_cordoned(reach):
            return False
        if not self._leaving(reach):
            return True
        place = server_beside(reach, self.machine).name
        said = tools.last_words(reach, place, self.id)
        # kubectl reports "drained" while the API still lists the last pod.
        if said and not said.endswith(f"node/{self.machine} drained"):
            raise InjectFailed(f"{self.machine} was not drained; kubectl said: {said}")
        return False

    def healed(self, reach: Reach) -> bool:
        return not self._is_cordoned(reach) and observers.is_ready(reach, self.machine)

    def _is_cordoned(self, reach: Reach) -> bool:
        return flag(observers.node(reach, self.machine), "spec", "unschedulable")

    def _leaving(self, reach: Reach) -> Sequence[Pod]:
        """The pods on the machine that a drain evicts."""
        there = pods_at(reach, f"{ALL_PODS}?fieldSelector=spec.nodeName%3D{self.machine}")
        return [pod for pod in there if pod.kind not in _STAYING]


def undoing(reach: Reach, machine: str) -> tuple[Argv, ...]:
    """The commands that allow pods on the machine again; the mark is removed last."""
    return (
        tools.kubectl(reach, "uncordon", machine),
        tools.kubectl(reach, "annotate", "node", machine, f"{MARKED}-"),
    )
