"""The metadata server that serves CephFS is killed; another must take over."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import ClassVar, Literal, Self

from harness.faults import observers
from harness.faults.ceph_answers import MdsInfo, MdsStat
from harness.faults.ceph_daemon import StopDaemon, in_rook, rook_daemons
from harness.faults.model import NOTHING, Argv, BlastRadius
from harness.transport import Reach

# SIGKILL, then stop before systemd restarts it: the server does not tell the monitors that it ends.
_KILL = 'systemctl kill --signal=SIGKILL "$1" && systemctl stop "$1"'


class FailMds(StopDaemon):
    """Kill an active metadata server on any machine; one of several is drawn.

    ``serves`` is the file system and the rank that it serves. With Rook, the fault scales its
    Deployment to 0. With cephadm, it stops the daemon, because the unit holds only the container's
    client. Both are gentler than SIGKILL.
    """

    name: ClassVar[str] = "fail-mds"
    blast_radius: ClassVar[frozenset[BlastRadius]] = NOTHING
    # The monitors wait 15 s for its beacon; then the standby replays and reconnects.
    seen_within_s: ClassVar[float] = 120.0
    kind: ClassVar[Literal["osd", "mon", "mds"]] = "mds"

    serves: tuple[str, int] = ("", 0)

    def resolved(self, reach: Reach, draw: Random) -> Self:
        said = self._stat(reach)
        active = sorted(_serving(said), key=lambda it: it[0])
        if not active:
            return self.model_copy(update={"daemon": ""})
        serves, info = draw.choice(active)
        machine = self._machine_of(reach, info) or self.machine
        found = self.model_copy(update={"daemon": info.name, "serves": serves, "machine": machine})
        return found._as_deployed(reach)

    def refuse(self, reach: Reach) -> str | None:
        if not self.daemon:
            return "no metadata server serves a CephFS"
        standbys = self._stat(reach).fsmap.standbys
        if not standbys:
            return "standby metadata servers: 0 − 0 = 0, 1 needed: no standby would take over"
        return super().refuse(reach)

    def active(self, reach: Reach) -> bool:
        """Another metadata server serves the rank."""
        said = self._stat(reach)
        return _names(said).get(self.serves, self.daemon) != self.daemon

    def healed(self, reach: Reach) -> bool:
        """A server is active for the rank, and the killed one is back."""
        said = self._stat(reach)
        serving = _names(said)
        there = {*serving.values(), *(it.name for it in said.fsmap.standbys)}
        return self.serves in serving and self.daemon in there

    def _stat(self, reach: Reach) -> MdsStat:
        return observers.ceph(reach, self.machine, "mds", "stat", read=MdsStat)

    def _stopped(self) -> tuple[str, Argv]:
        if self.cephadm:
            return super()._stopped()
        return self.machine, ("sh", "-c", _KILL, "kill", self._unit)

    @staticmethod
    def _machine_of(reach: Reach, info: MdsInfo) -> str | None:
        """The declared machine that a metadata server runs on; None when it is another one."""
        if in_rook(reach):
            return dict(rook_daemons(reach, "mds")).get(info.name)
        address = info.addr.rpartition("/")[0].rpartition(":")[0].strip("[]")
        machines = reach.profile.cluster().machines
        return next((it.name for it in machines if it.address == address), None)


def _names(said: MdsStat) -> dict[tuple[str, int], str]:
    return {serves: info.name for serves, info in _serving(said)}


def _serving(said: MdsStat) -> Iterator[tuple[tuple[str, int], MdsInfo]]:
    """Each metadata server that is active, with the file system and rank that it serves."""
    for system in said.fsmap.filesystems:
        for info in system.mdsmap.info.values():
            if info.state == "up:active":
                yield (system.mdsmap.fs_name, info.rank), info
