"""One monitor of Ceph stops; the others decide without it."""

from __future__ import annotations

from random import Random
from typing import ClassVar, Literal, Self

from harness.faults import observers
from harness.faults.ceph_daemon import StopDaemon, monitors_at
from harness.faults.model import BlastRadius
from harness.probes import ceph_script
from harness.transport import Reach


class StopMonitor(StopDaemon):
    """Stop the monitor of a machine."""

    name: ClassVar[str] = "stop-monitor"
    blast_radius: ClassVar[frozenset[BlastRadius]] = frozenset({BlastRadius.MONITOR})
    kind: ClassVar[Literal["osd", "mon", "mds"]] = "mon"

    def resolved(self, reach: Reach, draw: Random) -> Self:
        quorum = ceph_script.quorum(observers.ceph(reach, self.machine, "quorum_status"))
        at = monitors_at(reach, quorum)
        names = [name for name, machine in at.items() if machine == self.machine]
        return self.model_copy(update={"daemon": names[0] if names else ""})

    def active(self, reach: Reach) -> bool:
        return not self._decides(reach)

    def healed(self, reach: Reach) -> bool:
        return self._decides(reach)

    def _decides(self, reach: Reach) -> bool:
        said = observers.ceph(reach, self.machine, "quorum_status")
        return self.daemon in said["quorum_names"]
