"""One Ceph monitor stops; the others form the quorum without it."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import ClassVar, Literal, Self

from harness.facts.ceph import QUORUM
from harness.facts.schema import read
from harness.faults import observers
from harness.faults.ceph_answers import Quorum
from harness.faults.ceph_daemon import StopDaemon, in_rook, monitors_at, rook_daemons
from harness.faults.model import BlastRadius
from harness.probes.scripts import ceph_script
from harness.transport import Reach


class StopMonitor(StopDaemon):
    """Stop the monitor of a machine."""

    name: ClassVar[str] = "stop-monitor"
    blast_radius: ClassVar[frozenset[BlastRadius]] = frozenset({BlastRadius.MONITOR})
    kind: ClassVar[Literal["osd", "mon", "mds"]] = "mon"

    def resolved(self, reach: Reach, draw: Random) -> Self:
        at = dict(rook_daemons(reach, "mon")) if in_rook(reach) else self._placed(reach)
        names = [name for name, machine in at.items() if machine == self.machine]
        found = self.model_copy(update={"daemon": names[0] if names else ""})
        return found._as_deployed(reach)

    def _placed(self, reach: Reach) -> Mapping[str, str]:
        said = observers.ceph(reach, self.machine, "quorum_status", read=object)
        return monitors_at(reach, read(QUORUM.kind, ceph_script.quorum(said)))

    def active(self, reach: Reach) -> bool:
        return not self._decides(reach)

    def healed(self, reach: Reach) -> bool:
        return self._decides(reach)

    def _decides(self, reach: Reach) -> bool:
        said = observers.ceph(reach, self.machine, "quorum_status", read=Quorum)
        return self.daemon in said.quorum_names
