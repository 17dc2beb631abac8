"""What is left of the old platform's Swarm on every machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from harness.core.model import JSON
from harness.facts.old_platform import REMAINS, Remains
from harness.facts.schema import dump
from harness.probes.probe import Timing
from harness.probes.scripts import docker_script, old_platform_script, sockets_script
from harness.transport import Reach
from harness.transport.remote_script import RemoteScript

SCRIPT = RemoteScript(sockets_script, docker_script, old_platform_script)


class OldPlatform:
    """Asks each machine for its Docker, for what that keeps, and for the sockets that listen."""

    name: ClassVar[str] = REMAINS.name
    sentence: ClassVar[str] = "what is left of the old platform on every machine"
    timing: ClassVar[Timing] = Timing.AT_START
    within_s: ClassVar[float] = 60.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [machine.name for machine in reach.profile.machines]

    def observe(self, reach: Reach, target: str) -> JSON:
        return dump(SCRIPT.on(reach.shell, target, within_s=50.0, read=Remains).value)
