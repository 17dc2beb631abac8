"""A machine's outgoing bandwidth is limited."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from harness.faults.kinds.queues import OnQueue
from harness.faults.model import EVERYTHING, BlastRadius

# Bytes that pass before the limit holds. With less, the kernel cannot send its largest packets.
_BURST_BYTES = 8192
_WAITS_MS = 500
# Nearly the largest ping; it takes 200 ms where the limit is low enough.
_MOST_BYTES = 60_000
_PING_MS = 200


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
        return f"tbf rate {self.kbit}kbit burst {_BURST_BYTES} latency {_WAITS_MS}ms"

    @property
    def slow_ms(self) -> float:
        return (self.ping_bytes - _BURST_BYTES) * 8 / self.kbit / 2

    @property
    def ping_bytes(self) -> int:
        return min(_MOST_BYTES, _BURST_BYTES + self.kbit * _PING_MS // 8)
