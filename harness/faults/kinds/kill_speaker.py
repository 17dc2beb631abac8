"""Pods that announce the load balancer's addresses are killed."""

from __future__ import annotations

from random import Random
from typing import ClassVar, Self

from harness.faults.kinds.kill_pods import KillPods
from harness.transport import Reach


class KillSpeaker(KillPods):
    """Kill MetalLB's speakers; by default one that is drawn."""

    name: ClassVar[str] = "kill-speaker"

    namespace: str = ""
    selector: str = ""

    def resolved(self, reach: Reach, draw: Random) -> Self:
        if reach.profile.stack.load_balancer is None:
            return self
        mine = self.model_copy(update=reach.profile.pods.speaker.model_dump())
        return super(KillSpeaker, mine).resolved(reach, draw)

    def refuse(self, reach: Reach) -> str | None:
        if reach.profile.stack.load_balancer is None:
            return f"{reach.profile.name} has no load balancer"
        return super().refuse(reach)
