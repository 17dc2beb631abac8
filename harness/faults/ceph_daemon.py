"""Shared by the faults of Ceph daemons: where a daemon runs, and how it stops and starts."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Literal, Self

from harness.core.errors import ConfigError
from harness.facts.ceph import Quorum
from harness.facts.ceph_names import machine_of_each
from harness.faults import answers, observers, tools
from harness.faults.ceph_answers import Fsid
from harness.faults.fault import Fault, server_beside
from harness.faults.model import Act, Argv
from harness.settings import Rook
from harness.transport import Reach
from harness.transport.objects import listed, must, text

# Rook's operator does not change a Deployment with this label. Without it, the operator scales the
# Deployment up again as soon as it notices the change.
_LEFT_ALONE = "ceph.rook.io/do-not-reconcile"
_OVER = ("Failed", "Succeeded")


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
        if not answers.is_active(reach, self.machine, self._unit):
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
            commands = [self._told(reach, *words) for words in back]
            return server_beside(reach, self.machine).name, commands
        return self.machine, [tools.start_again(self._unit)]

    def _stopped(self) -> tuple[str, Argv]:
        return self.machine, ("systemctl", "stop", self._unit)

    def _told(self, reach: Reach, verb: str, *words: str) -> Argv:
        """A command of kubectl that changes the daemon's Deployment."""
        deployment = f"deployment/rook-ceph-{self.kind}-{self.daemon}"
        return tools.kubectl(
            reach, f"--namespace={_rook(reach).namespace}", verb, deployment, *words
        )

    @property
    def _unit(self) -> str:
        if self.cephadm:
            return f"ceph-{self.cephadm}@{self.kind}.{self.daemon}"
        return f"ceph-{self.kind}@{self.daemon}"

    def _as_deployed(self, reach: Reach) -> Self:
        """The same fault, for a cephadm daemon if the machine has no unit of a package."""
        on_machines = reach.profile.ceph.through == "machines" and not in_rook(reach)
        if not (self.daemon and on_machines) or answers.is_active(reach, self.machine, self._unit):
            return self
        cluster = observers.ceph(reach, self.machine, "fsid", read=Fsid).fsid
        of_cephadm = self.model_copy(update={"cephadm": cluster})
        is_there = answers.is_active(reach, self.machine, of_cephadm._unit)
        return of_cephadm if is_there else self


def in_rook(reach: Reach) -> bool:
    """True if Rook runs Ceph's daemons as pods."""
    return reach.profile.stack.rook == "cluster"


def rook_daemons(reach: Reach, kind: str) -> Sequence[tuple[str, str]]:
    """Each daemon of a kind that Rook runs, and its machine."""
    there = reach.kube.get(tools.pods_path(_rook(reach).namespace, f"app=rook-ceph-{kind}"))
    return [
        (must(pod, "metadata", "labels", "ceph_daemon_id"), text(pod, "spec", "nodeName") or "")
        for pod in listed(there, "items")
        # A pod that a shutdown of its machine has ended stays in the list.
        if text(pod, "status", "phase") not in _OVER
    ]


def monitors_at(reach: Reach, quorum: Quorum) -> Mapping[str, str]:
    """Monitor → its machine, for monitors whose machine is known.

    Rook names monitors by letters and knows their machines. Other monitors mostly have a machine's
    name, also a short one; else the monitor's address identifies the machine.
    """
    if in_rook(reach):
        return dict(rook_daemons(reach, "mon"))
    machines = reach.profile.cluster().machines
    found = machine_of_each(quorum.monitors, (it.name for it in machines))
    for name in quorum.monitors:
        there = [it.name for it in machines if it.address in quorum.at.get(name, ())]
        if name not in found and len(there) == 1:
            found[name] = there[0]
    return found


def _rook(reach: Reach) -> Rook:
    if reach.profile.rook is None:
        raise ConfigError(f"the profile {reach.profile.name} has no `rook:` section")
    return reach.profile.rook
