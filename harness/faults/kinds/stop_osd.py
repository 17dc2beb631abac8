"""The OSD of one machine stops; its copies are missing until it is back."""

from __future__ import annotations

from random import Random
from typing import ClassVar, Literal, Self

from harness.core.errors import NotProven
from harness.facts.ceph_names import by_machine
from harness.faults import observers
from harness.faults.ceph_answers import OsdTree, TreeNode
from harness.faults.ceph_daemon import StopDaemon
from harness.faults.model import BlastRadius
from harness.transport import Reach


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
    nodes = observers.ceph(reach, machine, "osd", "tree", read=OsdTree).nodes
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
    for node in observers.ceph(reach, machine, "osd", "tree", read=OsdTree).nodes:
        if node.name == f"osd.{number}":
            return node
    raise NotProven(f"Ceph knows no osd.{number}")
