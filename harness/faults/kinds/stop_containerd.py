"""The containerd service stops; running containers go on, and nothing supervises them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from harness.faults import answers, tools
from harness.faults.kinds.stop_rke2 import StopRke2
from harness.faults.model import Act, Argv
from harness.transport import Reach

_UNIT = "containerd.service"


class StopContainerd(StopRke2):
    """Stop containerd, where it is a service of its own that the node service requires."""

    name: ClassVar[str] = "stop-containerd"

    def refuse(self, reach: Reach) -> str | None:
        service = self._unit(reach)
        # Beside RKE2 such a unit may be Docker's: it counts only if the node service requires it.
        argv = ("systemctl", "show", "--property=Requires", "--value", service)
        if _UNIT in answers.read(reach, self.machine, *argv).split():
            return None
        return (
            f"{service} of {self.machine} runs containerd inside itself, as RKE2 does: "
            "stop-rke2 stops both, and the pods run on"
        )

    def acts(self, reach: Reach) -> Iterable[Act]:
        yield Act(place=self.machine, argv=("systemctl", "stop", _UNIT))

    def undo(self, reach: Reach) -> tuple[str, Iterable[Argv]]:
        # systemd stops the node service with containerd.
        return self.machine, [tools.start_again(_UNIT, self._unit(reach))]
