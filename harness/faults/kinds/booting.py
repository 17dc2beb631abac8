"""A machine that boots: what the API remembers of it from before is no sign that it is back."""

from __future__ import annotations

from abc import ABC
from random import Random
from typing import ClassVar, Self

from harness.faults import observers
from harness.faults.fault import Fault
from harness.faults.model import EVERYTHING, BlastRadius
from harness.transport import Reach


class Booting(Fault, ABC):
    """A fault after which a machine boots.

    A machine that is back sooner than it is missed was Ready all the time, to the API, and so were
    its pods: until its kubelet has looked, they are said to run as before. ``started`` is when the
    last of their containers had started before the fault, by the machine's own clock.
    """

    blast_radius: ClassVar[frozenset[BlastRadius]] = EVERYTHING
    gone_within_s: ClassVar[float] = 300.0
    at_once: ClassVar[bool] = False

    started: str = ""

    def resolved(self, reach: Reach, draw: Random) -> Self:
        last = max(observers.started(reach, self.machine), default="")
        return self.model_copy(update={"started": last})

    def healed(self, reach: Reach) -> bool:
        """The machine answers and is Ready, and no container of before is said to run there."""
        return (
            observers.answers_peer(reach, self.machine)
            and observers.is_ready(reach, self.machine)
            and all(it > self.started for it in observers.started(reach, self.machine))
        )
