"""An OSD is marked out: it runs on, and Ceph moves its copies away."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import ClassVar, Self

from harness.faults import tools
from harness.faults.fault import Fault
from harness.faults.kinds.stop_osd import osd_in_tree, osd_of
from harness.faults.model import Act, Argv, BlastRadius
from harness.transport import Reach


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
        place, argv = tools.ceph(reach, self.machine, "osd", "out", self.osd)
        yield Act(place=place, argv=argv)

    def undo(self, reach: Reach) -> tuple[str, Iterable[Argv]]:
        place, argv = tools.ceph(reach, self.machine, "osd", "in", self.osd)
        return place, [argv]

    def active(self, reach: Reach) -> bool:
        return osd_in_tree(reach, self.machine, self.osd).reweight == 0

    def healed(self, reach: Reach) -> bool:
        return osd_in_tree(reach, self.machine, self.osd).reweight > 0
