"""Faults of Ceph: a daemon stops, or an OSD is marked out."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterable, Iterator, Mapping
from random import Random
from typing import ClassVar, Literal, Self

from harness.core.errors import NotProven
from harness.facts.ceph import QUORUM
from harness.facts.ceph_names import by_machine
from harness.facts.schema import read
from harness.faults import ceph, commands
from harness.faults.ceph import (
    Fsid,
    MdsInfo,
    MdsStat,
    OsdTree,
    QuorumStatus,
    TreeNode,
    in_rook,
    monitors_at,
    rook_daemons,
    rook_of,
)
from harness.faults.commands import server_beside
from harness.faults.fault import Fault
from harness.faults.model import NOTHING, Act, Argv, BlastRadius
from harness.probes.scripts import ceph_script
from harness.transport import Reach

# Rook's operator does not change a Deployment with this label. Without it, the operator scales the
# Deployment up again as soon as it notices the change.
_LEFT_ALONE = "ceph.rook.io/do-not-reconcile"
# SIGKILL, then stop before systemd restarts it: the server does not tell the monitors that it ends.
_KILL_AND_STOP = 'systemctl kill --signal=SIGKILL "$1" && systemctl stop "$1"'


class StopDaemon(Fault, ABC):
    """Stop one daemon: its unit on the machine, or its Deployment where Rook runs Ceph.

    ``daemon`` is its name in Ceph, such as ``0`` of ``osd.0``; empty when the machine has none.
    ``cephadm`` is the cluster's fsid if cephadm runs the daemon: the unit's name contains it.
    """

    kind: ClassVar[Literal["osd", "mon", "mds"]]
    gone_within_s: ClassVar[float] = 120.0
    at_once: ClassVar[bool] = False  # a daemon starts

    daemon: str = ""
    cephadm: str = ""

    @property
    def target(self) -> str:
        return f"{self.kind}.{self.daemon} on {self.machine}"

    def refuse(self, reach: Reach) -> str | None:
        if not self.daemon:
            return f"{self.machine} has no {self.kind} of Ceph"
        if in_rook(reach):
            return None
        if reach.profile.ceph.through != "machines":
            return "Ceph runs neither on the machines nor under Rook: stop its daemons there"
        if not commands.is_active(reach, self.machine, self._unit):
            return f"the unit {self._unit} is not active on {self.machine}"
        return None

    def acts(self, reach: Reach) -> Iterable[Act]:
        if not in_rook(reach):
            place, argv = self._stopped()
            yield Act(place=place, argv=argv)
            return
        for words in (("label", "--overwrite", f"{_LEFT_ALONE}=true"), ("scale", "--replicas=0")):
            yield Act(place=server_beside(reach, self.machine).name, argv=self._told(reach, *words))

    def undo(self, reach: Reach) -> tuple[str, Iterable[Argv]]:
        if in_rook(reach):
            back = (("scale", "--replicas=1"), ("label", f"{_LEFT_ALONE}-"))
            argvs = [self._told(reach, *words) for words in back]
            return server_beside(reach, self.machine).name, argvs
        return self.machine, [commands.start_again(self._unit)]

    def _stopped(self) -> tuple[str, Argv]:
        return self.machine, ("systemctl", "stop", self._unit)

    def _told(self, reach: Reach, verb: str, *words: str) -> Argv:
        """A command of kubectl that changes the daemon's Deployment."""
        deployment = f"deployment/rook-ceph-{self.kind}-{self.daemon}"
        return commands.kubectl(
            reach, f"--namespace={rook_of(reach).namespace}", verb, deployment, *words
        )

    @property
    def _unit(self) -> str:
        if self.cephadm:
            return f"ceph-{self.cephadm}@{self.kind}.{self.daemon}"
        return f"ceph-{self.kind}@{self.daemon}"

    def _as_deployed(self, reach: Reach) -> Self:
        """The same fault, for a cephadm daemon if the machine has no unit of a package."""
        on_machines = reach.profile.ceph.through == "machines" and not in_rook(reach)
        if not (self.daemon and on_machines) or commands.is_active(reach, self.machine, self._unit):
            return self
        cluster = ceph.ask(reach, self.machine, "fsid", read=Fsid).fsid
        of_cephadm = self.model_copy(update={"cephadm": cluster})
        is_there = commands.is_active(reach, self.machine, of_cephadm._unit)
        return of_cephadm if is_there else self


class StopOsd(StopDaemon):
    """Stop the OSD of a machine; one of several is drawn."""

    name: ClassVar[str] = "stop-osd"
    blast_radius: ClassVar[frozenset[BlastRadius]] = frozenset({BlastRadius.OSD})
    kind: ClassVar[Literal["osd", "mon", "mds"]] = "osd"

    def resolved(self, reach: Reach, draw: Random) -> Self:
        found = self.model_copy(update={"daemon": osd_of(reach, self.machine, draw)})
        return found._as_deployed(reach)

    def active(self, reach: Reach) -> bool:
        return osd_in_tree(reach, self.machine, self.daemon).status == "down"

    def healed(self, reach: Reach) -> bool:
        osd = osd_in_tree(reach, self.machine, self.daemon)
        return osd.status == "up" and osd.reweight > 0


def osd_of(reach: Reach, machine: str, draw: Random) -> str:
    """The number of a machine's OSD, as declared or as Ceph reports it; empty when it has none."""
    disks = reach.profile.disks
    if disks is not None and machine in disks.osds:
        return str(disks.osds[machine])
    nodes = ceph.ask(reach, machine, "osd", "tree", read=OsdTree).nodes
    hosts: dict[str, list[int]] = {}
    for node in nodes:
        if node.type == "host":
            hosts.setdefault(node.name, []).extend(node.children)
    found = by_machine(hosts, (it.name for it in reach.profile.machines)).get(machine, [])
    return str(draw.choice(sorted(found))) if found else ""


def osd_in_tree(reach: Reach, machine: str, number: str) -> TreeNode:
    """One OSD of ``ceph osd tree``, asked on another machine than ``machine``.

    NotProven when Ceph knows none of that number.
    """
    for node in ceph.ask(reach, machine, "osd", "tree", read=OsdTree).nodes:
        if node.name == f"osd.{number}":
            return node
    raise NotProven(f"Ceph knows no osd.{number}")


class OsdOut(Fault):
    """Mark the OSD of a machine out, as before a replacement of its disk.

    ``osd`` is its number. The Ceph user of the harness must be allowed to change the OSD map.
    """

    name: ClassVar[str] = "osd-out"
    blast_radius: ClassVar[frozenset[BlastRadius]] = frozenset({BlastRadius.OSD})

    osd: str = ""

    @property
    def target(self) -> str:
        return f"osd.{self.osd} of {self.machine}"

    def resolved(self, reach: Reach, draw: Random) -> Self:
        return self.model_copy(update={"osd": osd_of(reach, self.machine, draw)})

    def refuse(self, reach: Reach) -> str | None:
        return None if self.osd else f"{self.machine} has no osd of Ceph"

    def acts(self, reach: Reach) -> Iterable[Act]:
        place, argv = ceph.command(reach, self.machine, "osd", "out", self.osd)
        yield Act(place=place, argv=argv)

    def undo(self, reach: Reach) -> tuple[str, Iterable[Argv]]:
        place, argv = ceph.command(reach, self.machine, "osd", "in", self.osd)
        return place, [argv]

    def active(self, reach: Reach) -> bool:
        return osd_in_tree(reach, self.machine, self.osd).reweight == 0

    def healed(self, reach: Reach) -> bool:
        return osd_in_tree(reach, self.machine, self.osd).reweight > 0


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
        said = ceph.ask(reach, self.machine, "quorum_status", read=object)
        return monitors_at(reach, read(QUORUM.kind, ceph_script.quorum(said)))

    def active(self, reach: Reach) -> bool:
        return not self._decides(reach)

    def healed(self, reach: Reach) -> bool:
        return self._decides(reach)

    def _decides(self, reach: Reach) -> bool:
        said = ceph.ask(reach, self.machine, "quorum_status", read=QuorumStatus)
        return self.daemon in said.quorum_names


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
        if not _standing_by(self._stat(reach), self.serves[0]):
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
        there = {*serving.values(), *_standing_by(said, self.serves[0])}
        return self.serves in serving and self.daemon in there

    def _stat(self, reach: Reach) -> MdsStat:
        return ceph.ask(reach, self.machine, "mds", "stat", read=MdsStat)

    def _stopped(self) -> tuple[str, Argv]:
        if self.cephadm:
            return super()._stopped()
        return self.machine, ("sh", "-c", _KILL_AND_STOP, "kill", self._unit)

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


def _standing_by(said: MdsStat, file_system: str) -> set[str]:
    """The servers that would take over a rank: also one that follows it (Rook's activeStandby)."""
    following = {
        info.name
        for system in said.fsmap.filesystems
        if system.mdsmap.fs_name == file_system
        for info in system.mdsmap.info.values()
        if info.state == "up:standby-replay"
    }
    return following | {it.name for it in said.fsmap.standbys}


def _serving(said: MdsStat) -> Iterator[tuple[tuple[str, int], MdsInfo]]:
    """Each metadata server that is active, with the file system and rank that it serves."""
    for system in said.fsmap.filesystems:
        for info in system.mdsmap.info.values():
            if info.state == "up:active":
                yield (system.mdsmap.fs_name, info.rank), info
