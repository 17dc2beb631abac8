"""Faults after which a machine boots: the API's old state does not prove that it is back."""

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

    If a machine is back before the API marks it NotReady, the API reports it and its pods as Ready
    all the time, until its kubelet updates them. ``started`` is the start time of the newest
    container before the fault, by the machine's own clock.
    """

    blast_radius: ClassVar[frozenset[BlastRadius]] = EVERYTHING
    gone_within_s: ClassVar[float] = 300.0
    at_once: ClassVar[bool] = False

    started: str = ""

    def resolved(self, reach: Reach, draw: Random) -> Self:
        last = max(observers.started(reach, self.machine), default="")
        return self.model_copy(update={"started": last})

    def healed(self, reach: Reach) -> bool:
        """The machine answers and is Ready, and the API lists no container from before the boot."""
        return (
            observers.answers_peer(reach, self.machine)
            and observers.is_ready(reach, self.machine)
            and all(it > self.started for it in observers.started(reach, self.machine))
        )
