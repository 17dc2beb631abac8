"""A file system of a machine is full."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import ClassVar, Self

from pydantic import Field

from harness.faults import answers
from harness.faults.kinds.exhausting import Exhaust, measured
from harness.faults.model import EVERYTHING, MARK, Act, Argv, BlastRadius
from harness.transport import Reach
from harness.transport.objects import must_count, part


class FillDisk(Exhaust):
    """Fill the file system of the folder that the profile names, with one allocated file.

    ``file`` is that file, at the top of the file system; ``add_bytes`` is its length, and
    ``whole_bytes`` the size of the file system.
    """

    name: ClassVar[str] = "fill-disk"
    what: ClassVar[str] = "disk"
    # The kubelet evicts pods; etcd and monitors stop before they can no longer write.
    blast_radius: ClassVar[frozenset[BlastRadius]] = EVERYTHING

    percent: int = Field(ge=20, le=99)
    file: str = ""
    add_bytes: int = 0
    whole_bytes: int = 0

    def resolved(self, reach: Reach, draw: Random) -> Self:
        folder = reach.profile.fill_folder
        if folder is None:
            return self
        top = answers.read(reach, self.machine, "stat", "--format=%m", folder).strip()
        free_space = ("df", "--block-size=1", "--output=size,used,avail", folder)
        sizes = answers.read(reach, self.machine, *free_space)
        size, used, free = (int(word) for word in sizes.split()[-3:])
        add = int((used + free) * self.percent / 100) - used
        known = {
            "file": f"{top.rstrip('/')}/{MARK}fill-{self.id}",
            "add_bytes": max(0, add),
            "whole_bytes": size,
        }
        return super(FillDisk, self.model_copy(update=known)).resolved(reach, draw)

    def refuse(self, reach: Reach) -> str | None:
        if reach.profile.fill_folder is None:
            return (
                "the profile has no `fill_folder:`: set it to a folder on the file system that "
                "may be filled"
            )
        if self._watched(reach) is None:
            return (
                f"{reach.profile.fill_folder} of {self.machine} is on no file system that the "
                "kubelet watches: the fault could not be observed"
            )
        return super().refuse(reach)

    def acts(self, reach: Reach) -> Iterable[Act]:
        length = ("--length", f"{self.add_bytes}")
        yield Act(place=self.machine, argv=("fallocate", *length, self.file))

    def undo(self, reach: Reach) -> tuple[str, Iterable[Argv]]:
        return self.machine, [("rm", "--force", self.file)]

    def used(self, reach: Reach) -> float:
        """0 when the kubelet does not watch the file system; ``refuse`` reports that."""
        found = self._watched(reach)
        if found is None:
            return 0.0
        used = must_count(found, "usedBytes")
        return 100 * used / (used + must_count(found, "availableBytes"))

    def _watched(self, reach: Reach) -> object:
        """The file system as the kubelet reports it, found by its size; None when it reports none.

        The kubelet does not report names of file systems.
        """
        seen = measured(reach, self.machine)
        for found in (part(seen, "fs"), part(seen, "runtime", "imageFs")):
            if found.get("capacityBytes") == self.whole_bytes:
                return found
        return None
