"""Faults that slow a machine's packets down, with the fault's own queue (tc qdisc) on its uplinks.

Every outgoing packet passes the queue.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from random import Random
from typing import ClassVar, Self

from pydantic import Field

from harness.faults import commands, observers
from harness.faults.commands import peer
from harness.faults.fault import Fault
from harness.faults.kinds import packets
from harness.faults.model import EVERYTHING, Act, Argv, BlastRadius
from harness.transport import Reach

# This handle identifies the queue: the undo removes no other, and `./cutover heal` finds it.
HANDLE = "c0de:"
# The handle of the kernel's default queue.
_KERNELS_OWN = "0:"
_NETEM = "sch_netem"
# Bytes that pass before the limit holds. With less, the kernel cannot send its largest packets.
_BURST_BYTES = 8192
_QUEUE_MS = 500
# Nearly the largest ping; it takes 200 ms where the limit is low enough.
_MOST_BYTES = 60_000
_PING_MS = 200


class OnQueue(Fault, ABC):
    """A fault that delays packets that leave a machine."""

    uplinks: tuple[str, ...] = ()

    def resolved(self, reach: Reach, draw: Random) -> Self:
        return self.model_copy(update={"uplinks": packets.uplinks(reach, self.machine)})

    def refuse(self, reach: Reach) -> str | None:
        for uplink in self.uplinks:
            argv = ("tc", "qdisc", "show", "dev", uplink, "root")
            words = commands.read(reach, self.machine, *argv).split()
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
        return observers.pings(reach, self.machine, watcher, count=2, size=self.ping_bytes).ms


class DelayPackets(OnQueue):
    """Delay packets that leave a machine's uplinks by ``ms`` ± ``jitter_ms``."""

    name: ClassVar[str] = "delay-packets"
    # With a long delay, its members miss every heartbeat.
    blast_radius: ClassVar[frozenset[BlastRadius]] = EVERYTHING

    ms: int = Field(ge=5, le=5000)
    jitter_ms: int = Field(default=0, ge=0, le=5000)

    @property
    def target(self) -> str:
        return f"{self.machine}, by {self.ms} ms"

    @property
    def queue(self) -> str:
        return f"netem delay {self.ms}ms {self.jitter_ms}ms"

    @property
    def slow_ms(self) -> float:
        return self.ms / 2

    def refuse(self, reach: Reach) -> str | None:
        if not self._kernel_can(reach):
            return f"the kernel of {self.machine} has no {_NETEM}, built in or as a module"
        return super().refuse(reach)

    def _kernel_can(self, reach: Reach) -> bool:
        """True if the kernel has the module built in or can load it."""
        for argv in (
            ("modprobe", "--dry-run", "--quiet", _NETEM),
            ("grep", "--quiet", "netem_enqueue", "/proc/kallsyms"),
        ):
            if commands.unless(reach, self.machine, *argv, no=(1,)) is not None:
                return True
        return False


class LimitBandwidth(OnQueue):
    """Limit what leaves a machine's uplinks to some kbit/s.

    At 20 Mbit/s and below, the largest ping takes longer than on any current network.
    """

    name: ClassVar[str] = "limit-bandwidth"
    # With a low limit, the machine is cut off.
    blast_radius: ClassVar[frozenset[BlastRadius]] = EVERYTHING

    kbit: int = Field(ge=100, le=20_000)

    @property
    def target(self) -> str:
        return f"{self.machine}, which sends {self.kbit} kbit/s"

    @property
    def queue(self) -> str:
        return f"tbf rate {self.kbit}kbit burst {_BURST_BYTES} latency {_QUEUE_MS}ms"

    @property
    def slow_ms(self) -> float:
        return (self.ping_bytes - _BURST_BYTES) * 8 / self.kbit / 2

    @property
    def ping_bytes(self) -> int:
        return min(_MOST_BYTES, _BURST_BYTES + self.kbit * _PING_MS // 8)
