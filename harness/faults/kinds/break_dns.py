"""One machine cannot resolve names, and its CoreDNS pods answer no other machine."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import ClassVar, Self

from harness.faults import reachability
from harness.faults.fault import Fault, peer
from harness.faults.kinds import packets
from harness.faults.model import NOTHING, Act, Argv, BlastRadius
from harness.faults.pods import pods_at
from harness.transport import Reach

_LABEL = "k8s-app%3Dkube-dns"
_DROP = ("meta l4proto { tcp, udp } th dport 53 drop", "meta l4proto { tcp, udp } th sport 53 drop")


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
        listed = pods_at(reach, f"/api/v1/namespaces/kube-system/pods?labelSelector={_LABEL}")
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
        return reachability.names(reach, peer(reach, self.machine).name, server, name)

    @property
    def _tables(self) -> str:
        inside = [f'{word} "lo" accept' for word in ("iifname", "oifname")]
        return packets.table(self.id, (inside[0], *_DROP), (inside[1], *_DROP))
