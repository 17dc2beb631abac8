"""Drops part of a machine's traffic: nftables tables that carry the fault's name.

Their chains come before all other netfilter hooks. They therefore match traffic that is routed to
and from pods, and tunnel packets. Traffic that bypasses kernel routing (eBPF host routing without a
tunnel) is not affected. The tables drop only packets that pass an uplink: the machine and its pods
still reach each other. The harness's own SSH always passes.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from ipaddress import ip_network
from random import Random
from typing import Literal, Self, TypeAlias

from harness.core.errors import TransportError
from harness.faults import commands
from harness.faults.fault import Fault
from harness.faults.model import MARK, Act, Argv
from harness.settings import Frozen
from harness.transport import Reach
from harness.transport.objects import must, text

Way: TypeAlias = Literal["arriving", "leaving"]
# The netdev hooks of an interface: for packets received, and for packets to send.
_HOOKS: tuple[tuple[Way, str], ...] = (("arriving", "ingress"), ("leaving", "egress"))

# Before the kernel reassembles fragments (-400) and tracks connections (-200).
_FIRST = -450
_WITHIN_S = 10.0
# IPv6 needs neighbour discovery to find a host; IPv4 uses ARP.
_NEIGHBOURS = "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert } accept"


class ControlPath(Frozen):
    """The harness's SSH connection to a machine: its source, and the address and port it goes to.

    ``beyond`` is the machine's next hop towards the harness: the harness itself, or a gateway.
    """

    address: str
    own: str
    port: int
    beyond: str

    @property
    def is_ipv6(self) -> bool:
        return ":" in self.address


class NetworkFault(Fault, ABC):
    """A fault that drops some of the packets on a machine's uplinks."""

    uplinks: tuple[str, ...] = ()
    line: ControlPath | None = None

    def resolved(self, reach: Reach, draw: Random) -> Self:
        return self.model_copy(
            update={
                "uplinks": uplinks(reach, self.machine),
                "line": our_line(reach, self.machine),
            }
        )

    @abstractmethod
    def drops(self, way: Way) -> Sequence[str]:
        """The statements that drop packets of this direction."""

    def tables(self) -> str:
        """The nftables tables that the fault adds to the machine."""
        return table(self.id, self._statements("arriving"), self._statements("leaving"))

    def refuse(self, reach: Reach) -> str | None:
        return refused(reach, self.machine, self.tables())

    def acts(self, reach: Reach) -> Iterable[Act]:
        yield Act(place=self.machine, argv=("nft", self.tables()))

    def undo(self, reach: Reach) -> tuple[str, Iterable[Argv]]:
        return self.machine, [remove(self.id)]

    def _statements(self, way: Way) -> Sequence[str]:
        assert self.line is not None, "a fault is resolved before it acts"
        family = "ip6" if self.line.is_ipv6 else "ip"
        ours, ssh = ("saddr", "dport") if way == "arriving" else ("daddr", "sport")
        return [
            _not_on(self.uplinks, way),
            f"{family} {ours} {self.line.address} tcp {ssh} {self.line.port} accept",
            *([_NEIGHBOURS] if self.line.is_ipv6 else []),
            *self.drops(way),
        ]


class Partition(NetworkFault, ABC):
    """A network fault that drops every packet of one or both directions, ARP too.

    Otherwise a machine that is cut off could still take over an address by gratuitous ARP. Only an
    interface's own hooks see those packets.
    """

    def tables(self) -> str:
        whole = super().tables()
        assert self.line is not None, "a fault is resolved before it acts"
        if self.line.is_ipv6:
            return whole
        ours = {
            "arriving": [f"arp saddr ip != {self.line.beyond}"],
            "leaving": [f"arp saddr ip != {self.line.own}", f"arp daddr ip != {self.line.beyond}"],
        }
        devices = f"devices = {{ {_names(self.uplinks)} }}"
        chains = [
            _chain(way, f"{hook} {devices}", 0, [f"{it} drop" for it in ours[way]])
            for way, hook in _HOOKS
            if self.drops(way)
        ]
        return f"{whole}; table netdev {MARK}{self.id} {{ {'; '.join(chains)}; }}"

    def refuse(self, reach: Reach) -> str | None:
        why = super().refuse(reach)
        if why is None or "hook egress" not in self.tables():
            return why
        return f"{why} (they use the egress hook: Linux 5.16 and nftables 1.0.1 have it first)"

    def undo(self, reach: Reach) -> tuple[str, Iterable[Argv]]:
        return self.machine, [remove(self.id), remove(self.id, "netdev")]


def table(name: str, arriving: Sequence[str], leaving: Sequence[str]) -> str:
    """A table with one chain for each way."""
    chains = (
        _chain("arriving", "prerouting", _FIRST, arriving),
        # Packets of the machine's own processes pass here too, with their real destination: the
        # kernel has replaced a service's address by then.
        _chain("leaving", "postrouting", _FIRST, leaving),
    )
    return f"table inet {MARK}{name} {{ {'; '.join(chains)}; }}"


def remove(name: str, family: str = "inet") -> Argv:
    """The command that removes a fault's table; it succeeds when the table is missing too."""
    table = f"table {family} {MARK}{name}"
    return "nft", f"add {table}; delete {table}"


def refused(reach: Reach, machine: str, tables: str) -> str | None:
    """Why the machine's nftables rejects these tables; None when it accepts them."""
    done = reach.shell.run(machine, ("nft", "--check", tables), within_s=_WITHIN_S)
    if done.status == 0:
        return None
    # nft repeats the rules in one long line, and marks the place under it.
    errors = [it for it in done.stderr.splitlines() if it.startswith("Error: ")]
    said = "; ".join(errors) or done.stderr.strip()
    return f"nftables of {machine} rejects the rules: {said[:200]}"


def from_or_to(networks: Iterable[str], which: Literal["saddr", "daddr"]) -> list[str]:
    """Statements that drop packets from, or to, these addresses."""
    found = []
    wanted = list(networks)
    for version, family in ((4, "ip"), (6, "ip6")):
        here = [it for it in wanted if ip_network(it).version == version]
        if here:
            found.append(f"{family} {which} {{ {', '.join(here)} }} drop")
    return found


def our_line(reach: Reach, machine: str) -> ControlPath:
    """The harness's connection to the machine, as the machine's sshd sees it."""
    argv = ("printenv", "SSH_CONNECTION")
    words = (commands.unless(reach, machine, *argv, no=(1,)) or "").split()
    if len(words) != 4:
        raise TransportError(f"{machine}: sshd sets no usable SSH_CONNECTION: {words}")
    address, _, own, port = words
    route = _route(reach, machine, "get", address)[0]
    beyond = text(route, "gateway") or address
    return ControlPath(address=address, own=own, port=int(port), beyond=beyond)


def uplinks(reach: Reach, machine: str) -> tuple[str, ...]:
    """The interfaces through which a machine reaches the other machines, and all other hosts."""
    others = [it.address for it in reach.profile.cluster().machines if it.name != machine]
    routes = [_route(reach, machine, "get", address)[0] for address in others]
    routes += _route(reach, machine, "show", "default")
    return tuple(sorted({must(route, "dev") for route in routes}))


def _route(reach: Reach, machine: str, *words: str) -> list[object]:
    argv = ("ip", "-json", "route", *words)
    routes: list[object] = json.loads(commands.read(reach, machine, *argv))
    return routes


def _not_on(interfaces: Sequence[str], way: Way) -> str:
    """The statement that accepts packets of all other interfaces."""
    return f"{'iifname' if way == 'arriving' else 'oifname'} != {{ {_names(interfaces)} }} accept"


def _names(interfaces: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in interfaces)


def _chain(name: Way, hook: str, priority: int, statements: Sequence[str]) -> str:
    kind = f"type filter hook {hook} priority {priority}"
    return f"chain {name} {{ {'; '.join((kind, 'policy accept', *statements))}; }}"
