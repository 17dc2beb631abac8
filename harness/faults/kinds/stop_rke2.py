"""The node service stops; the machine's pods run on, and no kubelet supervises them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from harness.faults import observers
from harness.faults.fault import Fault
from harness.faults.model import Act, Argv, BlastRadius
from harness.transport import Reach


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
