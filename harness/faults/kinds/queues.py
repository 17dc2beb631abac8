"""The fault's own queue (tc qdisc) on a machine's uplinks; every outgoing packet passes it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from random import Random
from typing import Self

from harness.faults import answers, reachability
from harness.faults.fault import Fault, peer
from harness.faults.kinds import packets
from harness.faults.model import Act, Argv
from harness.transport import Reach

# This handle identifies the queue: the undo removes no other, and `./cutover heal` finds it.
HANDLE = "c0de:"
# The handle of the kernel's default queue.
_KERNELS_OWN = "0:"


class OnQueue(Fault, ABC):
    """A fault that delays packets that leave a machine."""

    uplinks: tuple[str, ...] = ()

    def resolved(self, reach: Reach, draw: Random) -> Self:
        return self.model_copy(update={"uplinks": packets.uplinks(reach, self.machine)})

    def refuse(self, reach: Reach) -> str | None:
        for uplink in self.uplinks:
            argv = ("tc", "qdisc", "show", "dev", uplink, "root")
            words = answers.read(reach, self.machine, *argv).split()
            if len(words) > 2 and words[2] != _KERNELS_OWN:
                return (
                    f"{uplink} of {self.machine} has a queue of its own ({words[1]} {words[2]}), "
                    "which would be lost"
                )
        now = self._ms(reach)
        if now is None or now >= self.slow_ms:
            took = "get no answer" if now is None else f"take {now:.0f} ms"
            return (
                f"pings of {self.machine} {took}, and the fault would be known by "
                f"{self.slow_ms:.0f} ms"
            )
        return None

    @property
    @abstractmethod
    def queue(self) -> str:
        """The queue, in the words of ``tc``."""

    @property
    @abstractmethod
    def slow_ms(self) -> float:
        """A ping that takes this long passed the queue; half of the expected delay."""

    @property
    def ping_bytes(self) -> int:
        """The size of a ping that shows the delay."""
        return 56

    def acts(self, reach: Reach) -> Iterable[Act]:
        for uplink in self.uplinks:
            add = ("tc", "qdisc", "add", "dev", uplink, "root", "handle", HANDLE)
            yield Act(place=self.machine, argv=(*add, *self.queue.split()))

    def undo(self, reach: Reach) -> tuple[str, Iterable[Argv]]:
        # An interface that is gone has no queue any more.
        delete = (
            f'tc qdisc del dev "$1" root handle {HANDLE} || '
            f'! tc qdisc show dev "$1" | grep --quiet {HANDLE}'
        )
        return self.machine, [("sh", "-c", delete, "undo", uplink) for uplink in self.uplinks]

    def active(self, reach: Reach) -> bool:
        now = self._ms(reach)
        return now is not None and now >= self.slow_ms

    def healed(self, reach: Reach) -> bool:
        now = self._ms(reach)
        return now is not None and now < self.slow_ms

    def _ms(self, reach: Reach) -> float | None:
        watcher = peer(reach, self.machine).name
        # Few pings, since they pass the queue too.
        return reachability.pings(reach, self.machine, watcher, count=2, size=self.ping_bytes).ms
