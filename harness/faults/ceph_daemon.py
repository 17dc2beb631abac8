"""What the faults of Ceph's daemons share: where a daemon runs, how it is stopped and started."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

from harness.errors import ConfigError
from harness.facts.crush_hosts import machine_of_each
from harness.faults import answers, tools
from harness.faults.fault import Fault, server_beside
from harness.faults.model import Act, Argv
from harness.settings import Rook
from harness.transport import Reach


class StopDaemon(Fault, ABC):
    """Stop one daemon: its unit on the machine, or its Deployment where Rook runs Ceph.

    ``daemon`` is its name in Ceph, such as ``0`` of ``osd.0``; empty when the machine has none.
    """

    kind: ClassVar[Literal["osd", "mon", "mds"]]
    gone_within_s: ClassVar[float] = 120.0
    at_once: ClassVar[bool] = False  # a daemon starts

    daemon: str = ""

    @property
    def target(self) -> str:
        return f"{self.kind}.{self.daemon} on {self.machine}"

    def refuse(self, reach: Reach) -> str | None:
        if not self.daemon:
            return f"{self.machine} has no {self.kind} of Ceph"
        if in_rook(reach):
            return None
        if reach.profile.ceph.through != "machines":
            return "Ceph is neither on the machines nor in Rook's hands: stop its daemons there"
        if not answers.is_active(reach, self.machine, self._unit):
            said = f"the unit {self._unit} is not active on {self.machine}"
            return f"{said}; cephadm's unit, ceph-FSID@{self.kind}.{self.daemon}, is not stopped"
        return None

    def acts(self, reach: Reach) -> Iterable[Act]:
        place, argv = self._scaled(reach, 0) if in_rook(reach) else self._stopped()
        yield Act(place=place, argv=argv)

    def undo(self, reach: Reach) -> tuple[str, Iterable[Argv]]:
        if in_rook(reach):
            place, argv = self._scaled(reach, 1)
            return place, [argv]
        return self.machine, [tools.start_again(self._unit)]

    def _stopped(self) -> tuple[str, Argv]:
        return self.machine, ("systemctl", "stop", self._unit)

    def _scaled(self, reach: Reach, replicas: int) -> tuple[str, Argv]:
        words = ("scale", "deployment", f"rook-ceph-{self.kind}-{self.daemon}")
        space = f"--namespace={_rook(reach).namespace}"
        argv = tools.kubectl(reach, space, *words, f"--replicas={replicas}")
        return server_beside(reach, self.machine).name, argv

    @property
    def _unit(self) -> str:
        return f"ceph-{self.kind}@{self.daemon}"


def in_rook(reach: Reach) -> bool:
    """Are Ceph's daemons pods of Rook's?"""
    return reach.profile.stack.rook == "cluster"


def rook_daemons(reach: Reach, kind: str) -> Sequence[tuple[str, str]]:
    """Each daemon of a kind that Rook runs, and the machine that it is on."""
    listed = reach.kube.get(tools.pods_path(_rook(reach).namespace, f"app=rook-ceph-{kind}"))
    return [
        (pod["metadata"]["labels"]["ceph_daemon_id"], pod["spec"].get("nodeName", ""))
        for pod in listed["items"]
    ]


def monitors_at(reach: Reach, quorum: Mapping[str, Any]) -> Mapping[str, str]:
    """Monitor → its machine, of those whose machine is known; ``quorum`` is an item of Ceph's look.

    Rook names monitors by letters and knows their machines. Others mostly have a machine's name,
    also a short one; else the address of a monitor says where it is.
    """
    if in_rook(reach):
        return dict(rook_daemons(reach, "mon"))
    machines = reach.profile.cluster().machines
    found = machine_of_each(quorum["monitors"], (it.name for it in machines))
    for name in quorum["monitors"]:
        there = [it.name for it in machines if it.address in quorum["at"][name]]
        if name not in found and len(there) == 1:
            found[name] = there[0]
    return found


def _rook(reach: Reach) -> Rook:
    if reach.profile.rook is None:
        raise ConfigError(f"the profile {reach.profile.name} does not say where Rook is")
    return reach.profile.rook
