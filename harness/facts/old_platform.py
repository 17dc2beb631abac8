"""What is left of a Swarm on a machine: ``old_platform_script`` looks there."""

from __future__ import annotations

from dataclasses import dataclass

from harness.facts.edge import Socket
from harness.facts.schema import Fact


@dataclass(frozen=True, slots=True)
class Remains:
    """A machine's part in a Swarm; the fields are those of ``old_platform_script``."""

    state: str | None
    why: str
    comes_back: bool
    installed: bool
    services: tuple[str, ...]
    sockets: tuple[Socket, ...]
    vxlan: tuple[int, ...]


REMAINS = Fact("old-platform", Remains)
