"""Faults of one node of Kubernetes: its services or its control plane stop, or it is drained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from harness.core.errors import InjectFailed
from harness.faults import budget, commands, observers
from harness.faults.commands import server_beside
from harness.faults.fault import Fault
from harness.faults.model import NOTHING, Act, Argv, BlastRadius
from harness.faults.pods import ALL_BUDGETS, ALL_PODS, Pod, budgets_at, pods_at
from harness.transport import Reach
from harness.transport.objects import flag, follows_primary

_CONTAINERD = "containerd.service"
_MANIFESTS = "/var/lib/rancher/rke2/agent/pod-manifests"
# The API server's health endpoints: its own, and that of its etcd member.
_ASKED: Mapping[str, str] = {"kube-apiserver": "/readyz", "etcd": "/readyz/etcd"}
# On a node, the fault that drains it: a cordon has no name of its own.
DRAINED_BY = "cutover.fault"
# Pods that stay: those of a DaemonSet come back at once, and static pods are not the API's.
_STAYING_KINDS = ("DaemonSet", "Node")


class StopRke2(Fault):
    """Stop rke2-server or rke2-agent. Its pods run on, etcd and the API server too."""

    name: ClassVar[str] = "stop-rke2"
    blast_radius: ClassVar[frozenset[BlastRadius]] = frozenset({BlastRadius.NODE})
    # Kubernetes marks a silent node NotReady after 40 to 50 s.
    seen_within_s: ClassVar[float] = 120.0

    def acts(self, reach: Reach) -> Iterable[Act]:
        yield Act(place=self.machine, argv=("systemctl", "stop", self._unit(reach)))

    def undo(self, reach: Reach) -> tuple[str, Iterable[Argv]]:
        return self.machine, [("systemctl", "start", "--no-block", self._unit(reach))]

    def active(self, reach: Reach) -> bool:
        return not observers.is_ready(reach, self.machine)

    def healed(self, reach: Reach) -> bool:
        return observers.is_ready(reach, self.machine)

    def _unit(self, reach: Reach) -> str:
        server = reach.profile.cluster().machine(self.machine).is_server
        return "rke2-server" if server else "rke2-agent"


class StopContainerd(StopRke2):
    """Stop containerd, where it is a service of its own that the node service requires."""

    name: ClassVar[str] = "stop-containerd"

    def refuse(self, reach: Reach) -> str | None:
        service = self._unit(reach)
        # Beside RKE2 such a unit may be Docker's: it counts only if the node service requires it.
        argv = ("systemctl", "show", "--property=Requires", "--value", service)
        if _CONTAINERD in commands.read(reach, self.machine, *argv).split():
            return None
        return (
            f"{service} of {self.machine} runs containerd inside itself, as RKE2 does: "
            "stop-rke2 stops both, and the pods run on"
        )

    def acts(self, reach: Reach) -> Iterable[Act]:
        yield Act(place=self.machine, argv=("systemctl", "stop", _CONTAINERD))

    def undo(self, reach: Reach) -> tuple[str, Iterable[Argv]]:
        # systemd stops the node service with containerd.
        return self.machine, [commands.start_again(_CONTAINERD, self._unit(reach))]


class StopStaticPod(Fault):
    """Move the manifest of a static pod aside: the kubelet ends the pod, and does not restart it.

    ``part`` is etcd, kube-apiserver, kube-scheduler or kube-controller-manager.
    """

    name: ClassVar[str] = "stop-static-pod"
    blast_radius: ClassVar[frozenset[BlastRadius]] = NOTHING
    # The kubelet looks every 20 s (RKE2's: 5 s), gives the pod its time to end, and tells the API.
    seen_within_s: ClassVar[float] = 150.0
    gone_within_s: ClassVar[float] = 180.0
    at_once: ClassVar[bool] = False  # a pod starts

    part: Literal["kube-apiserver", "kube-scheduler", "kube-controller-manager"]

    @property
    def target(self) -> str:
        return f"{self.part} on {self.machine}"

    @property
    def asks_itself(self) -> bool:
        return self.part in _ASKED

    def refuse(self, reach: Reach) -> str | None:
        if not reach.profile.cluster().machine(self.machine).is_server:
            return f"{self.machine} is no server: it runs no {self.part}"
        return None

    def acts(self, reach: Reach) -> Iterable[Act]:
        yield Act(place=self.machine, argv=("mv", self._manifest, self._aside))

    def undo(self, reach: Reach) -> tuple[str, Iterable[Argv]]:
        back = 'test ! -e "$2" || mv -f "$2" "$1"'
        return self.machine, [("sh", "-c", back, "undo", self._manifest, self._aside)]

    def active(self, reach: Reach) -> bool:
        return not self._serves(reach)

    def healed(self, reach: Reach) -> bool:
        return self._serves(reach)

    def _serves(self, reach: Reach) -> bool:
        """Ask the component itself if it has a health endpoint; else ask the API for its pod.

        The API learns only after a minute that a pod of its own control plane has ended.
        """
        if self.part in _ASKED:
            return observers.server_answers(reach, self.machine, _ASKED[self.part])
        return observers.pod_is_ready(reach, "kube-system", f"{self.part}-{self.machine}")

    @property
    def _manifest(self) -> str:
        return f"{_MANIFESTS}/{self.part}.yaml"

    @property
    def _aside(self) -> str:
        # Outside the folder, since the kubelet reads every file in it, and near, so that it is a
        # rename. The name holds the component: `heal` may find nothing else.
        return f"{_MANIFESTS}/../cutover-{self.id}.{self.part}.yaml"


class StopEtcd(StopStaticPod):
    """Remove the static pod of etcd from one machine."""

    name: ClassVar[str] = "stop-etcd"
    blast_radius: ClassVar[frozenset[BlastRadius]] = frozenset({BlastRadius.ETCD})

    part: Literal["etcd"] = "etcd"  # type: ignore[assignment]


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

    # kubectl ends at ``within_s``, and an observation says so: this is for a kubectl that hangs.
    seen_within_s: ClassVar[float] = 1830.0

    # Pods are evicted one by one, and those of daemon sets stay.
    counts_pods: ClassVar[bool] = True

    # A pod may stop slowly: CloudNativePG waits 180 s for clients (smartShutdownTimeout), and gives
    # PostgreSQL 1800 s in all (stopDelay).
    within_s: int = Field(default=300, ge=10, le=1800)

    def refuse(self, reach: Reach) -> str | None:
        every = pods_at(reach, ALL_PODS)
        going = [pod for pod in self._leaving(reach) if not pod.is_done]
        # kubectl tries again until CloudNativePG's primary is on another node.
        budgets = budgets_at(reach, ALL_BUDGETS)
        kept = [it for it in budgets if not follows_primary(it.selector)]
        return budget.pod_refusal(
            going,
            every,
            kept,
            one_by_one=True,
            even_all=self.even_all,
            against_budget=self.against_budget,
        )

    def acts(self, reach: Reach) -> Iterable[Act]:
        place = server_beside(reach, self.machine).name
        mark = ("annotate", "--overwrite", "node", self.machine, f"{DRAINED_BY}={self.id}")
        yield Act(place=place, argv=commands.kubectl(reach, *mark))
        how = ("--ignore-daemonsets", "--delete-emptydir-data", "--force")
        argv = commands.kubectl(reach, "drain", self.machine, *how, f"--timeout={self.within_s}s")
        yield Act(place=place, argv=commands.in_unit(self.id, *argv))

    def undo(self, reach: Reach) -> tuple[str, Iterable[Argv]]:
        argvs = (commands.stop_unit(self.id), *undoing(reach, self.machine))
        return server_beside(reach, self.machine).name, argvs

    def active(self, reach: Reach) -> bool:
        if not self._is_cordoned(reach):
            return False
        if not self._leaving(reach):
            return True
        place = server_beside(reach, self.machine).name
        said = commands.last_words(reach, place, self.id)
        # kubectl reports "drained" while the API still lists the last pod.
        if said and not said.endswith(f"node/{self.machine} drained"):
            raise InjectFailed(
                f"{self.machine} was not drained; kubectl said: {said}",
                remedy=f"for a pod that stops for longer than {self.within_s} s "
                "(terminationGracePeriodSeconds), raise `within_s` of the fault; for one that is "
                "not evicted, see its budget: kubectl get poddisruptionbudgets -A",
            )
        return False

    def healed(self, reach: Reach) -> bool:
        return not self._is_cordoned(reach) and observers.is_ready(reach, self.machine)

    def _is_cordoned(self, reach: Reach) -> bool:
        return flag(observers.node(reach, self.machine), "spec", "unschedulable")

    def _leaving(self, reach: Reach) -> Sequence[Pod]:
        """The pods on the machine that a drain evicts."""
        there = pods_at(reach, f"{ALL_PODS}?fieldSelector=spec.nodeName%3D{self.machine}")
        return [pod for pod in there if pod.kind not in _STAYING_KINDS]


def undoing(reach: Reach, machine: str) -> tuple[Argv, ...]:
    """The commands that allow pods on the machine again; the mark is removed last."""
    return (
        commands.kubectl(reach, "uncordon", machine),
        commands.kubectl(reach, "annotate", "node", machine, f"{DRAINED_BY}-"),
    )
