"""Packets that leave a machine are delayed, with jitter."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from harness.faults import answers
from harness.faults.kinds.queues import OnQueue
from harness.faults.model import EVERYTHING, BlastRadius
from harness.transport import Reach

_MODULE = "sch_netem"


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
            return f"the kernel of {self.machine} has no {_MODULE}, built in or as a module"
        return super().refuse(reach)

    def _kernel_can(self, reach: Reach) -> bool:
        """True if the kernel has the module built in or can load it."""
        for argv in (
            ("modprobe", "--dry-run", "--quiet", _MODULE),
            ("grep", "--quiet", "netem_enqueue", "/proc/kallsyms"),
        ):
            if answers.unless(reach, self.machine, *argv, no=(1,)) is not None:
                return True
        return False
