"""The ports of every machine that can be reached from outside, where the harness runs.

TCP: the probe tries every port of every outside address. UDP: the probe sends datagrams to every
port on which a socket of the machine listens, and asks the machine which of them passed its
firewall. It does the same with every UDP port that Services and pods take there without a socket;
the API names those ports.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import ClassVar, TypeVar

from harness.core.errors import Garbled, TransportError
from harness.core.model import JSON
from harness.core.parallel import begin
from harness.facts.edge import OPEN_PORTS, After, Before, Exposed, Listening, Socket, Tcp, Udp
from harness.facts.schema import Known, Unknown, attempt, dump, read
from harness.probes.probe import Timing
from harness.probes.scripts import sockets_script
from harness.transport import Kube, Reach
from harness.transport.objects import count, described, listed, text, words
from harness.transport.remote_script import RemoteScript

T = TypeVar("T")

_ALL = range(1, 65536)
_SCRIPT = RemoteScript(sockets_script)
# A little longer than the sending of datagrams.
_HEARS_FOR_S = 5.0
# Nothing listens there (traceroute's first port): shows whether any datagram arrives.
_UNUSED = 33434
_EVERY = ("0.0.0.0", "::")

# A UDP port that the cluster takes: the port, and the addresses at which it does (none: every one).
_Taken = tuple[int, tuple[str, ...]]


class OpenPorts:
    """Tries all TCP ports of a machine, and the UDP ports on which it listens."""

    name: ClassVar[str] = OPEN_PORTS.name
    sentence: ClassVar[str] = "every port of every machine, tried from outside"
    timing: ClassVar[Timing] = Timing.AT_START
    within_s: ClassVar[float] = 400.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [machine.name for machine in reach.profile.machines]

    def observe(self, reach: Reach, target: str) -> JSON:
        machine = next(it for it in reach.profile.machines if it.name == target)
        addresses = [str(it) for it in machine.outside_addresses]
        tcp = {it: begin(partial(attempt, partial(_tcp, reach, it))) for it in addresses}
        taken, odd = _taken(reach.kube, target)
        udp, machine_says = _udp(reach, target, addresses, taken)
        seen = Exposed(
            tcp={it: tcp[it].result() for it in addresses},
            udp=udp,
            cluster=odd,
            machine=machine_says,
        )
        return dump(seen)


def _tcp(reach: Reach, address: str) -> Tcp:
    seen = reach.outside.scan_ports(address, _ALL)
    return Tcp(seen.open, seen.refused, seen.silent)


def _taken(
    kube: Kube, machine: str
) -> tuple[Mapping[str, Sequence[_Taken]], Known[Mapping[str, str]] | Unknown]:
    """The UDP ports that Services and pods take on a machine, by their names; and odd objects."""
    on_machine = f"/api/v1/pods?fieldSelector=spec.nodeName%3D{machine}"
    try:
        services = described(kube.get("/api/v1/services"), _of_service)
        pods = described(kube.get(on_machine), _of_pod)
    except TransportError as error:
        return {}, Unknown(str(error))
    return (
        _named("Service", services.values) | _named("pod", pods.values),
        Known(_named("Service", services.odd) | _named("pod", pods.odd)),
    )


def _named(kind: str, found: Mapping[str, T]) -> dict[str, T]:
    return {f"{kind} {name}": it for name, it in found.items()}


def _of_service(item: object) -> list[_Taken]:
    """A Service's node ports, and its own ports at its own addresses."""
    given = [text(it, "ip") for it in listed(item, "status", "loadBalancer", "ingress")]
    own = tuple(it for it in (*words(item, "spec", "externalIPs"), *given) if it)
    ports = [it for it in listed(item, "spec", "ports") if text(it, "protocol") == "UDP"]
    on_nodes: list[_Taken] = [(number, ()) for it in ports if (number := count(it, "nodePort"))]
    return [*on_nodes, *((count(it, "port"), own) for it in ports if own)]


def _of_pod(item: object) -> list[_Taken]:
    """The host ports of a pod that runs."""
    if text(item, "status", "phase") in ("Failed", "Succeeded"):
        return []
    containers = [*listed(item, "spec", "initContainers"), *listed(item, "spec", "containers")]
    ports = [it for container in containers for it in listed(container, "ports")]
    return [
        (number, () if at in (None, "", *_EVERY) else (at,))
        for it in ports
        if text(it, "protocol") == "UDP" and (number := count(it, "hostPort"))
        for at in [text(it, "hostIP")]
    ]


def _udp(
    reach: Reach, machine: str, addresses: Sequence[str], taken: Mapping[str, Sequence[_Taken]]
) -> tuple[Mapping[str, Known[Udp] | Unknown], Known[Listening] | Unknown]:
    """The replies to datagrams, by address; and the machine's report."""
    token = secrets.token_bytes(16)
    sending: list[Future[dict[str, Known[Udp] | Unknown]]] = []

    def hear(before: Before) -> None:
        # On another thread, because this one reads the machine's next line.
        sending.append(begin(partial(_send, reach, addresses, before, token, taken)))

    try:
        before, after = _listen(reach, machine, token, hear)
    except TransportError as error:
        why = Unknown(str(error))
        return dict.fromkeys(addresses, why), why
    sent = sending[0].result()
    says = Listening(
        sockets=after.sockets,
        arrived=after.arrived,
        passed=after.passed,
        forwarded=after.forwarded,
        addresses=before.addresses,
    )
    # A socket that existed only for a moment belongs to a client and cannot be reached.
    lasting = [it for it in after.sockets if it in before.sockets]
    return {it: _that_lasts(item, lasting, it, before) for it, item in sent.items()}, Known(says)


def _that_lasts(
    item: Known[Udp] | Unknown, lasting: Sequence[Socket], address: str, before: Before
) -> Known[Udp] | Unknown:
    if isinstance(item, Unknown):
        return item
    left = reachable(lasting, address, before.addresses)
    asked = {port: program for port, program in item.value.asked.items() if port in left}
    return Known(replace(item.value, asked=asked))


def _listen(
    reach: Reach, machine: str, token: bytes, hear: Callable[[Before], None]
) -> tuple[Before, After]:
    """Run the script on a machine, which says two lines; raises TransportError."""
    heard: list[object] = []

    def note(line: str) -> None:
        if line.strip():
            heard.append(json.loads(line))
            if len(heard) == 1:
                hear(read(Before, heard[0]))

    wanted: JSON = {"token": token.hex(), "for_s": _HEARS_FOR_S}
    _SCRIPT.on(reach.shell, machine, wanted, within_s=60.0, read=object, hear=note)
    if len(heard) != 2:
        raise Garbled(
            f"{machine}: {_SCRIPT.name} said {len(heard)} lines, not 2",
            remedy=f"find out which of ss and ip (iproute2) does not end on {machine}",
        )
    return read(Before, heard[0]), read(After, heard[1])


def _send(
    reach: Reach,
    addresses: Sequence[str],
    said: Before,
    token: bytes,
    taken: Mapping[str, Sequence[_Taken]],
) -> dict[str, Known[Udp] | Unknown]:
    """Send to each address, on the ports of listeners and of the cluster, all at once."""

    def one(address: str) -> Udp:
        asked = reachable(said.sockets, address, said.addresses)
        # NAT translates an address that is not the machine's own.
        here = {address} if address in said.addresses else {address, *said.addresses}
        of_cluster = {
            port: whose
            for whose, ports in taken.items()
            for port, places in ports
            if port not in asked and (not places or here & {*places})
        }
        payloads = {it: payload(token, address, it) for it in {*asked, *of_cluster, _UNUSED}}
        seen = reach.outside.send(address, payloads)
        return Udp(
            asked=dict(sorted(asked.items())),
            of_cluster=dict(sorted(of_cluster.items())),
            answered=seen.answered,
            refused=seen.refused,
        )

    sent = {it: begin(partial(attempt, partial(one, it))) for it in addresses}
    return {it: item.result() for it, item in sent.items()}


def payload(token: bytes, address: str, port: int) -> bytes:
    """A datagram's content: the token and where it is sent, as ``sockets_script`` reads them.

    The machine counts each datagram for the address that was asked, even behind NAT.
    """
    to = ip_address(address)
    mapped = to if isinstance(to, IPv6Address) else IPv6Address(f"::ffff:{to}")
    return token + port.to_bytes(2, "big") + mapped.packed


def reachable(sockets: Iterable[Socket], address: str, own: Iterable[str]) -> dict[int, str]:
    """The UDP ports that accept datagrams to an address, with their programs.

    NAT translates an address that is not the machine's ``own`` to any of these. A socket that is
    bound to one of them then counts.
    """
    wanted = ip_address(address)
    translated = address not in own
    found = {}
    for it in sockets:
        bound = _plain(it.address)
        if it.protocol != "udp" or bound.is_loopback or it.device == "lo":
            continue
        everywhere = bound.is_unspecified and (it.both or bound.version == wanted.version)
        elsewhere = translated and not bound.is_unspecified and bound.version == wanted.version
        if everywhere or elsewhere or bound == wanted:
            found[it.port] = it.program
    return found


def _plain(text: str) -> IPv4Address | IPv6Address:
    """An address; an IPv4-mapped IPv6 address becomes IPv4."""
    address = ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
