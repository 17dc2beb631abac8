"""A machine's clock is wrong, and no time service corrects it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from random import Random
from typing import ClassVar, Self

from pydantic import Field

from harness.core.errors import NotProven
from harness.faults import answers, tools
from harness.faults.fault import Fault
from harness.faults.model import Act, Argv, BlastRadius
from harness.transport import Reach
from harness.transport.objects import listed, must

# Debian's chrony, Red Hat's, and systemd's own.
_CLOCKS = ("chrony", "chronyd", "systemd-timesyncd")
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
# A node renews its Lease every 10 s, by its own clock: a smaller skew is not seen.
_LEAST_S = 60


class SkewClock(Fault):
    """Stop a machine's time service and set its clock ``seconds`` forward (below 0: back).

    ``service`` is the unit that sets its time. Programs on the machine that sign or check dates see
    the wrong time meanwhile; data written then keeps it.
    """

    name: ClassVar[str] = "skew-clock"
    # A monitor whose clock is wrong is left out of the quorum.
    blast_radius: ClassVar[frozenset[BlastRadius]] = frozenset(
        {BlastRadius.NODE, BlastRadius.MONITOR}
    )
    gone_within_s: ClassVar[float] = 120.0
    undo_within_s: ClassVar[float] = 75.0  # chronyc asks every second, sixty times at most
    at_once: ClassVar[bool] = False  # the time service must synchronize first

    seconds: int = Field(ge=-86400, le=86400)
    service: str = ""

    @property
    def target(self) -> str:
        return f"{self.machine} by {self.seconds:+d} s"

    def resolved(self, reach: Reach, draw: Random) -> Self:
        for unit in _CLOCKS:
            if answers.is_active(reach, self.machine, unit):
                return self.model_copy(update={"service": unit})
        return self

    def refuse(self, reach: Reach) -> str | None:
        kind = container_of(reach, self.machine)
        if kind is not None:
            return f"{self.machine} is a container ({kind}): its clock is the host's"
        if not self.service:
            return f"{self.machine} runs no known time service ({', '.join(_CLOCKS)})"
        if abs(self.seconds) < _LEAST_S:
            return f"{self.seconds:+d} s could not be observed: at least {_LEAST_S} s are needed"
        return None

    def acts(self, reach: Reach) -> Iterable[Act]:
        yield Act(place=self.machine, argv=("systemctl", "stop", self.service))
        yield Act(place=self.machine, argv=("date", f"--set={self.seconds:+d} seconds"))

    def undo(self, reach: Reach) -> tuple[str, Iterable[Argv]]:
        commands = [tools.start_again(self.service)]
        if self.service != "systemd-timesyncd":  # which steps by itself
            commands += [("chronyc", "waitsync", "60", "0", "0", "1"), ("chronyc", "makestep")]
        return self.machine, commands

    def active(self, reach: Reach) -> bool:
        return abs(self._ahead_s(reach)) > abs(self.seconds) / 2

    def healed(self, reach: Reach) -> bool:
        return abs(self._ahead_s(reach)) < _LEAST_S / 2

    def _ahead_s(self, reach: Reach) -> float:
        """How far the machine's Lease is ahead of the newest other one, each by its own clock."""
        told = {
            must(it, "metadata", "name"): datetime.fromisoformat(must(it, "spec", "renewTime"))
            for it in listed(reach.kube.get(_LEASES), "items")
        }
        mine = told.pop(self.machine, None)
        if mine is None or not told:
            raise NotProven(f"no Lease in kube-node-lease of {self.machine} and of another machine")
        return (mine - max(told.values())).total_seconds()


def container_of(reach: Reach, machine: str) -> str | None:
    """The kind of container that a machine is; None if it is no container."""
    found = answers.unless(reach, machine, "systemd-detect-virt", "--container", no=(1,))
    return None if found is None else found.strip()
