"""One port of a machine stops answering, as behind a misconfigured firewall."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from harness.faults import reachability
from harness.faults.fault import peer
from harness.faults.kinds.packets import NetworkFault, Way
from harness.faults.model import EVERYTHING, BlastRadius
from harness.transport import Reach


class CutPort(NetworkFault):
    """Drop packets to or from a TCP or UDP port on a machine's uplinks."""

    name: ClassVar[str] = "cut-port"
    # Any component may use this port.
    blast_radius: ClassVar[frozenset[BlastRadius]] = EVERYTHING

    port: int = Field(ge=1, le=65535)
    protocol: Literal["tcp", "udp"] = "tcp"

    @property
    def target(self) -> str:
        return f"{self.protocol} port {self.port} of {self.machine}"

    def refuse(self, reach: Reach) -> str | None:
        if self.line is not None and (self.protocol, self.port) == ("tcp", self.line.port):
            return f"our own SSH goes through port {self.port}"
        if self._found(reach) == "silent":
            return (
                f"no other machine gets an answer at {self.target} before the fault: "
                "its effect could not be observed"
            )
        return super().refuse(reach)

    def drops(self, way: Way) -> Sequence[str]:
        return [f"{self.protocol} {end} {self.port} drop" for end in ("dport", "sport")]

    def active(self, reach: Reach) -> bool:
        return self._found(reach) == "silent"

    def healed(self, reach: Reach) -> bool:
        return self._found(reach) != "silent"

    def _found(self, reach: Reach) -> str:
        address = reach.profile.cluster().machine(self.machine).address
        watcher = peer(reach, self.machine).name
        return reachability.port_state(reach, watcher, self.protocol, address, self.port)
