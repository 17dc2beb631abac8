"""Faults that drop packets: cut a machine off, close a port, lose packets, break its DNS."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random
from typing import ClassVar, Literal, Self

from pydantic import Field

from harness.faults import observers
from harness.faults.commands import peer
from harness.faults.fault import Fault
from harness.faults.kinds import packets
from harness.faults.kinds.packets import NetworkFault, Partition, Way, from_or_to
from harness.faults.model import EVERYTHING, NOTHING, Act, Argv, BlastRadius
from harness.faults.pods import pods_at
from harness.transport import Reach
from harness.transport.objects import listed, must, words

_PINGS = 40
_COREDNS = "k8s-app%3Dkube-dns"
_DROP_DNS = (
    "meta l4proto { tcp, udp } th dport 53 drop",
    "meta l4proto { tcp, udp } th sport 53 drop",
)


class CutOff(Partition):
    """Drop every packet on a machine's uplinks, except the harness's own SSH."""

    name: ClassVar[str] = "cut-off"
    blast_radius: ClassVar[frozenset[BlastRadius]] = EVERYTHING
    # The node may have to become Ready again.
    gone_within_s: ClassVar[float] = 120.0

    def drops(self, way: Way) -> Sequence[str]:
        return ["drop"]

    def active(self, reach: Reach) -> bool:
        return not observers.answers_peer(reach, self.machine)

    def healed(self, reach: Reach) -> bool:
        return observers.answers_peer(reach, self.machine) and observers.is_ready(
            reach, self.machine
        )


class CutOneWay(Partition):
    """Drop every packet to a machine (in) or from it (out), except the harness's own SSH."""

    name: ClassVar[str] = "cut-one-way"
    blast_radius: ClassVar[frozenset[BlastRadius]] = EVERYTHING
    # The node may have to become Ready again.
    gone_within_s: ClassVar[float] = 120.0

    direction: Literal["in", "out"]

    @property
    def target(self) -> str:
        return f"what {'arrives at' if self.direction == 'in' else 'leaves'} {self.machine}"

    def drops(self, way: Way) -> Sequence[str]:
        cut = "arriving" if self.direction == "in" else "leaving"
        return ["drop"] if way == cut else []

    def active(self, reach: Reach) -> bool:
        return not observers.answers_peer(reach, self.machine)

    def healed(self, reach: Reach) -> bool:
        return observers.answers_peer(reach, self.machine) and observers.is_ready(
            reach, self.machine
        )


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
        return not observers.answers(reach, self.machine, self.peer) and all(
            observers.answers(reach, self.machine, watcher) for watcher in third
        )

    def healed(self, reach: Reach) -> bool:
        return observers.answers(reach, self.machine, self.peer) and observers.is_ready(
            reach, self.machine
        )


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
        return observers.port_state(reach, watcher, self.protocol, address, self.port)


class LosePackets(NetworkFault):
    """Drop each packet on a machine's uplinks with some probability, in percent.

    A ping and its answer are two packets, so more pings than packets are lost.
    """

    name: ClassVar[str] = "lose-packets"
    # With a high loss, the machine is cut off.
    blast_radius: ClassVar[frozenset[BlastRadius]] = EVERYTHING

    percent: int = Field(ge=2, le=100)

    @property
    def target(self) -> str:
        return f"{self.percent} % of the packets of {self.machine}"

    def drops(self, way: Way) -> Sequence[str]:
        return [f"numgen random mod 100 < {self.percent} drop"]

    def active(self, reach: Reach) -> bool:
        """At least half of the expected loss is seen: a few pings are no statistics."""
        return self._lost(reach) >= self.percent / 2

    def healed(self, reach: Reach) -> bool:
        return self._lost(reach) == 0

    def _lost(self, reach: Reach) -> float:
        watcher = peer(reach, self.machine).name
        return observers.pings(reach, self.machine, watcher, count=_PINGS).lost_percent


class BreakDns(Fault):
    """Drop packets to or from port 53 on a machine that runs CoreDNS.

    ``servers`` are the addresses of the CoreDNS pods there, ``others`` those on other machines. One
    of the others must answer, unless ``even_all`` is set. The machine's loopback is not affected:
    a local resolver still answers.
    """

    name: ClassVar[str] = "break-dns"
    blast_radius: ClassVar[frozenset[BlastRadius]] = NOTHING

    servers: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    def resolved(self, reach: Reach, draw: Random) -> Self:
        listed = pods_at(reach, f"/api/v1/namespaces/kube-system/pods?labelSelector={_COREDNS}")
        at = [(it.machine == self.machine, it.address) for it in listed if it.is_whole]
        here, elsewhere = (tuple(ip for mine, ip in at if mine is own) for own in (True, False))
        return self.model_copy(update={"servers": here, "others": elsewhere})

    def refuse(self, reach: Reach) -> str | None:
        if not self.servers:
            return f"no ready CoreDNS pod runs on {self.machine}: the fault could not be observed"
        silent = [server for server in self.servers if not self._answers(reach, server)]
        if silent:
            return f"CoreDNS at {', '.join(silent)} answers no other machine before the fault"
        if not self.even_all and not any(self._answers(reach, it) for it in self.others):
            return (
                f"name servers that answer: {len(self.servers)} − {len(self.servers)} = 0, 1 "
                f"needed: no CoreDNS pod on another machine than {self.machine} answers"
            )
        return packets.refused(reach, self.machine, self._tables)

    def acts(self, reach: Reach) -> Iterable[Act]:
        yield Act(place=self.machine, argv=("nft", self._tables))

    def undo(self, reach: Reach) -> tuple[str, Iterable[Argv]]:
        return self.machine, [packets.remove(self.id)]

    def active(self, reach: Reach) -> bool:
        return not any(self._answers(reach, server) for server in self.servers)

    def healed(self, reach: Reach) -> bool:
        return all(self._answers(reach, server) for server in self.servers)

    def _answers(self, reach: Reach, server: str) -> bool:
        name = f"kubernetes.default.svc.{reach.profile.kubernetes.domain}"
        return observers.resolves(reach, peer(reach, self.machine).name, server, name)

    @property
    def _tables(self) -> str:
        inside = [f'{word} "lo" accept' for word in ("iifname", "oifname")]
        return packets.table(self.id, (inside[0], *_DROP_DNS), (inside[1], *_DROP_DNS))
