"""One control plane component stops on one machine: its static pod is removed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar, Literal

from harness.faults import observers
from harness.faults.fault import Fault
from harness.faults.model import NOTHING, Act, Argv, BlastRadius
from harness.transport import Reach

_MANIFESTS = "/var/lib/rancher/rke2/agent/pod-manifests"
# The API server's health endpoints: its own, and that of its etcd member.
_ASKED: Mapping[str, str] = {"kube-apiserver": "/readyz", "etcd": "/readyz/etcd"}


class StopStaticPod(Fault):
    """Move the manifest of a static pod aside: the kubelet ends the pod, and does not restart it.

    ``part`` is etcd, kube-apiserver, kube-scheduler or kube-controller-manager.
    """

    name: ClassVar[str] = "stop-static-pod"
    blast_radius: ClassVar[frozenset[BlastRadius]] = NOTHING
    # The kubelet looks every 20 s, gives the pod its time to end, and then tells the API.
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
