"""W1-EXPOSED: ports that the world can reach and must not, over IPv4 and IPv6, TCP and UDP."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address

from harness.checks.findings import Finding, conclude, looks, names, unknown
from harness.core.declared import Port
from harness.core.model import Case, Verdict
from harness.facts.edge import OPEN_PORTS, Exposed, Listening, Socket, Tcp, Udp
from harness.facts.schema import Known, Unknown

# While it runs, it takes the datagrams of Services, by the kernel's own firewall.
_PROXY = "kube-proxy"
_SAYS_NOTHING = Listening(sockets=(), arrived=(), passed=(), forwarded=(), addresses=())
# The usual programs on these ports, for machines that do not tell the program.
_KNOWN = {
    111: "rpcbind",
    2375: "Docker",
    2376: "Docker",
    2377: "Swarm managers",
    2379: "etcd",
    2380: "etcd peers",
    2381: "etcd metrics",
    3300: "Ceph monitor",
    4789: "VXLAN",
    5432: "PostgreSQL",
    6379: "Redis",
    6443: "Kubernetes API",
    6789: "Ceph monitor",
    7946: "Swarm nodes",
    8472: "VXLAN",
    9345: "RKE2 supervisor",
    10250: "kubelet",
    10256: "kube-proxy",
    10257: "kube-controller-manager",
    10259: "kube-scheduler",
}


def only_declared_ports(case: Case) -> Verdict:
    """Only ``exposed_ports`` answer at a machine's outside addresses.

    An address at which no declared TCP port answers counts as not seen. A UDP port is closed if it
    is refused, or if the machine proves that its firewall drops the datagrams. It is open if it
    answers, or if the machine saw datagrams pass the firewall. It is NOT PROVEN if no datagram
    reached that address. A datagram to one address of a machine proves nothing about another
    address.

    A UDP port of a Service or of a pod (nodePort, hostPort) has no socket. kube-proxy leaves it to
    the firewall; eBPF, which replaces kube-proxy, may take a datagram before the firewall, unseen.
    """
    seen = looks(case, OPEN_PORTS, [machine.name for machine in case.cluster.machines])
    declared = frozenset(case.cluster.exposed_ports)
    findings = []
    if not declared:
        findings.append(unknown("the profile", "it declares no port (exposed_ports)"))
    for name, value in seen.values.items():
        machine = value.machine.value if isinstance(value.machine, Known) else _SAYS_NOTHING
        programs = _programs(machine.sockets)
        for address, tcp in value.tcp.items():
            findings += _tcp(name, address, tcp, declared, programs)
        for address, udp in value.udp.items():
            if isinstance(udp, Unknown):
                findings.append(unknown(name, f"UDP at {address}: {udp.error}"))
            else:
                findings += _udp(name, address, udp.value, declared, machine)
                findings += _of_cluster(name, address, udp.value, declared, machine)
        findings += _unasked(name, value)
    asked = sorted({_family(it) for value in seen.values.values() for it in value.tcp})
    proven = "all TCP ports, every UDP listener and the cluster's UDP ports asked over"
    proven = f"{proven} {' and '.join(asked)}"
    return conclude(
        findings, seen, proven=f"only {', '.join(_written(declared))} can be reached; {proven}"
    )


def _tcp(
    name: str,
    address: str,
    item: Known[Tcp] | Unknown,
    declared: frozenset[Port],
    programs: Mapping[tuple[str, int], str],
) -> Iterator[Finding]:
    if isinstance(item, Unknown):
        yield unknown(name, f"TCP at {address}: {item.error}")
        return
    version = ip_address(address).version
    allowed = {it.number for it in declared if (it.protocol, it.version) == ("tcp", version)}
    found = set(item.value.open)
    if more := sorted(found - allowed):
        says = [_port("TCP", it, programs.get(("tcp", it))) for it in more]
        yield _also(name, address, says)
    elif allowed and not allowed & found:
        text = f"no declared port answers at {address}, so a closed one proves nothing"
        yield unknown(name, text)


def _udp(
    name: str, address: str, seen: Udp, declared: frozenset[Port], machine: Listening
) -> Iterator[Finding]:
    version = ip_address(address).version
    allowed = {it.number for it in declared if (it.protocol, it.version) == ("udp", version)}
    arrived, passed, forwarded = _at(address, machine)
    reached = {*seen.answered, *passed, *forwarded}
    wanted = sorted(set(seen.asked) - allowed)
    if more := [_port("UDP", it, seen.asked[it]) for it in wanted if it in reached]:
        yield _also(name, address, more)
    if not reached | {*seen.refused, *arrived} and wanted:
        ports = names(_port("UDP", it, seen.asked[it]) for it in wanted)
        text = f"no datagram from here came through to {address}, so {ports} may be open"
        yield unknown(name, text)


def _at(address: str, machine: Listening) -> tuple[set[int], set[int], set[int]]:
    """The ports of datagrams to an address that arrived, passed and were forwarded."""
    kinds = (machine.arrived, machine.passed, machine.forwarded)
    arrived, passed, forwarded = ({port for to, port in it if to == address} for it in kinds)
    return arrived, passed, forwarded


def _of_cluster(
    name: str, address: str, seen: Udp, declared: frozenset[Port], machine: Listening
) -> Iterator[Finding]:
    """Of the ports that Services and pods take at an address without a socket."""
    version = ip_address(address).version
    owners = {
        port: whose
        for port, whose in seen.of_cluster.items()
        if Port(port, "udp", version) not in declared
    }
    arrived, passed, forwarded = _at(address, machine)
    reached = {*seen.answered, *forwarded}
    if more := [_port("UDP", it, owners[it]) for it in sorted(owners) if it in reached]:
        yield _also(name, address, more)
    # A datagram that passed the firewall and was not forwarded goes to the machine itself, which
    # has no socket there: no program takes it at this address.
    closed = {*seen.refused, *passed}
    if any(it.program == _PROXY for it in machine.sockets):
        closed |= arrived
    if unclear := [_port("UDP", it, owners[it]) for it in sorted(owners.keys() - reached - closed)]:
        text = f"nothing shows that the firewall of {address} keeps datagrams from {names(unclear)}"
        yield unknown(name, f"{text}: ask it from outside with its own protocol, or declare it")


def _also(name: str, address: str, ports: Sequence[str]) -> Finding:
    where = f"{address} ({_family(address)})"
    return Finding(
        name, f"expected only declared ports to answer at {where}, seen also {names(ports)}"
    )


def _unasked(name: str, value: Exposed) -> Iterator[Finding]:
    """Public addresses of the machine that the profile does not declare: they were not asked."""
    if isinstance(value.cluster, Unknown):
        text = f"which UDP ports Services and pods take there: {value.cluster.error}"
        yield unknown(name, text)
    else:
        for whose, why in value.cluster.value.items():
            yield unknown(name, f"which UDP ports {whose} takes: {why}")
    if isinstance(value.machine, Unknown):
        yield unknown(name, f"what listens there: {value.machine.error}")
        return
    own = value.machine.value.addresses
    if more := [it for it in own if ip_address(it).is_global and it not in value.tcp]:
        yield unknown(name, f"{names(more)} was not asked: declare it as an outside_address")


def _programs(sockets: Sequence[Socket]) -> dict[tuple[str, int], str]:
    """The program that listens on each port; one beyond the loopback before one on it alone."""
    inner_first = sorted(sockets, key=lambda it: not ip_address(it.address).is_loopback)
    return {(it.protocol, it.port): it.program for it in inner_first}


def _port(protocol: str, number: int, program: str | None) -> str:
    by = program if program not in (None, "the kernel") else _KNOWN.get(number, program)
    return f"{protocol} {number} ({by})" if by else f"{protocol} {number}"


def _family(address: str) -> str:
    return f"IPv{ip_address(address).version}"


def _written(declared: frozenset[Port]) -> list[str]:
    """The ports as a profile writes them, in order."""
    both = {(it.number, it.protocol) for it in declared}
    words = []
    for number, protocol in sorted(both, key=lambda it: (it[1], it[0])):
        versions = [it for it in (4, 6) if Port(number, protocol, it) in declared]
        plain = str(number) if protocol == "tcp" else f"{number}/udp"
        words.append(plain if len(versions) == 2 else f"{number}/{protocol}{versions[0]}")
    return words


CHECKS = {"only declared ports answer": only_declared_ports}
