"""Pods of the ingress are killed: those that the profile declares."""

from __future__ import annotations

from random import Random
from typing import ClassVar, Self

from harness.faults.kinds.kill_pods import KillPods
from harness.transport import Reach


class KillIngress(KillPods):
    """Kill pods of the ingress; by default one that is drawn."""

    name: ClassVar[str] = "kill-ingress"

    namespace: str = ""
    selector: str = ""

    def resolved(self, reach: Reach, draw: Random) -> Self:
        declared = reach.profile.pods.ingress
        if declared is None:
            return self
        mine = self.model_copy(update=declared.model_dump())
        return super(KillIngress, mine).resolved(reach, draw)

    def refuse(self, reach: Reach) -> str | None:
        if reach.profile.pods.ingress is None:
            return "the profile does not declare the pods of the ingress: set `pods.ingress`"
        return super().refuse(reach)
