"""Every TCP port of every machine, tried from where the harness stands: outside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from harness.model import JSON
from harness.transport import Reach

_ALL = range(1, 65536)


class OpenPorts:
    """Knocks at all ports of a machine's outside address.

    The value: {"address", "open": ports, "refused", "silent": how many}.
    """

    name: ClassVar[str] = "open-ports"
    within_s: ClassVar[float] = 400.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [machine.name for machine in reach.profile.machines]

    def observe(self, reach: Reach, target: str) -> JSON:
        machine = next(it for it in reach.profile.machines if it.name == target)
        address = str(machine.outside_addresses[0])
        seen = reach.outside.knock(address, _ALL)
        return {
            "address": address,
            "open": list(seen.open),
            "refused": seen.refused,
            "silent": seen.silent,
        }
