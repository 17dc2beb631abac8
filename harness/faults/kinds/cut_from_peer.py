"""Two machines do not reach each other; all others reach both."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import ClassVar, Self

from harness.faults import observers, reachability
from harness.faults.kinds.packets import NetworkFault, Way, from_or_to
from harness.faults.model import EVERYTHING, BlastRadius
from harness.transport import Reach
from harness.transport.objects import listed, must, words


class CutFromPeer(NetworkFault):
    """Drop packets between one machine with its pods and another machine with its pods.

    ``peer`` is drawn when none is named; ``others`` are its addresses and the ranges of its pods,
    as the API has them.
    """

    name: ClassVar[str] = "cut-from-peer"
    # The other members choose which of the two they follow: the other one may lose every vote.
    blast_radius: ClassVar[frozenset[BlastRadius]] = EVERYTHING
    gone_within_s: ClassVar[float] = 120.0

    peer: str = ""
    others: tuple[str, ...] = ()

    @property
    def target(self) -> str:
        return f"{self.machine} from {self.peer}"

    def resolved(self, reach: Reach, draw: Random) -> Self:
        machines = [it.name for it in reach.profile.cluster().machines if it.name != self.machine]
        peer = self.peer or draw.choice(machines)
        node = observers.node(reach, peer)
        addresses = [
            must(it, "address")
            for it in listed(node, "status", "addresses")
            if must(it, "type").endswith("IP")
        ]
        declared = reach.profile.cluster().machine(peer).address
        others = {declared, *addresses, *words(node, "spec", "podCIDRs")}
        found = super().resolved(reach, draw)
        return found.model_copy(update={"peer": peer, "others": tuple(sorted(others))})

    def refuse(self, reach: Reach) -> str | None:
        if self.peer == self.machine:
            return f"{self.machine} cannot be cut off from itself"
        return super().refuse(reach)

    def drops(self, way: Way) -> Sequence[str]:
        return from_or_to(self.others, "saddr" if way == "arriving" else "daddr")

    def active(self, reach: Reach) -> bool:
        third = [
            it.name
            for it in reach.profile.cluster().machines
            if it.name not in (self.machine, self.peer)
        ]
        return not reachability.answers(reach, self.machine, self.peer) and all(
            reachability.answers(reach, self.machine, watcher) for watcher in third
        )

    def healed(self, reach: Reach) -> bool:
        return reachability.answers(reach, self.machine, self.peer) and observers.is_ready(
            reach, self.machine
        )
