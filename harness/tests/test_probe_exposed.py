"""The probe of open ports: what it asks where, and what a machine's sockets and packets mean."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

import pytest

from harness.facts.edge import Socket
from harness.facts.schema import read
from harness.probes.open_ports import payload, reachable
from harness.probes.scripts import sockets_script
from harness.tests.fake_transport import FakeExternalClient, FakeKube, FakeShell
from harness.tests.probe_rig import MACHINES, PROFILE, observe, reach
from harness.transport import Completed, Echoed
from harness.transport.network import Network, send_datagrams

# As ss of iproute2 6.1 prints them on a machine of a Swarm with RKE2.
SS = """\
udp UNCONN 0 0 127.0.0.1:323 0.0.0.0:* users:(("chronyd",pid=124,fd=5)) ino:32699 sk:1 <->
udp UNCONN 0 0 0.0.0.0:4789 0.0.0.0:* ino:41000 sk:2 cgroup:unreachable:1 <->
udp UNCONN 0 0 [::1]:323 [::]:* users:(("chronyd",pid=124,fd=6)) ino:32700 sk:3 v6only:1 <->
udp UNCONN 0 0 *:7946 *:* users:(("dockerd",pid=111,fd=28)) ino:72279 sk:4 v6only:0 <->
udp UNCONN 0 0 [::]:5353 [::]:* users:(("avahi-daemon",pid=7,fd=9)) ino:7 sk:5 v6only:1 <->
udp UNCONN 0 0 10.0.0.1%eth1:68 0.0.0.0:* users:(("dhclient",pid=8,fd=9)) ino:8 sk:6 <->
udp UNCONN 0 0 127.0.0.53%lo:53 0.0.0.0:* users:(("systemd-resolve",pid=9,fd=9)) ino:9 sk:7 <->
udp UNCONN 0 0 [::ffff:10.0.0.1]:9999 *:* users:(("java",pid=10,fd=9)) ino:9 sk:8 v6only:0 <->
tcp LISTEN 0 128 [::]:22 [::]:* users:(("sshd",pid=101,fd=4)) ino:10 sk:9 v6only:1 <->
"""
SOCKETS = [sockets_script.described(line) for line in SS.splitlines()]


def test_a_socket_is_told_with_its_program_or_as_the_kernels_own() -> None:
    by_port = {it["port"]: it for it in SOCKETS}
    assert by_port[7946]["program"] == "dockerd"
    assert by_port[4789]["program"] == "the kernel"
    assert by_port[22] == {
        "protocol": "tcp",
        "address": "::",
        "port": 22,
        "device": "",
        "both": False,
        "program": "sshd",
    }


@pytest.mark.parametrize(
    ("address", "ports"),
    [
        ("10.0.0.1", {4789, 7946, 68, 9999}),
        ("10.0.0.9", {4789, 7946}),
        ("2001:db8::1", {7946, 5353}),
        ("203.0.113.7", {4789, 7946, 68, 9999}),  # translated on its way
    ],
)
def test_what_takes_a_datagram_depends_on_where_it_is_sent(address: str, ports: set[int]) -> None:
    own = ("10.0.0.1", "10.0.0.9", "2001:db8::1")
    assert set(reachable(read(tuple[Socket, ...], SOCKETS), address, own)) == ports


def said(addresses: Sequence[str] = ("10.0.0.1",), **after: Any) -> Completed:
    first = {"sockets": SOCKETS, "addresses": addresses}
    last = {"sockets": SOCKETS[:5], "arrived": [], "passed": [], "forwarded": []}
    lines = f"{json.dumps(first)}\n{json.dumps({**last, **after})}\n"
    return Completed(status=0, stdout=lines, stderr="")


def test_both_families_are_asked_and_a_socket_that_went_away_is_not_judged() -> None:
    both = (ip_address("203.0.113.7"), ip_address("2001:db8::1"))
    one = PROFILE.machines[0].model_copy(update={"outside_address": both})
    profile = PROFILE.model_copy(update={"machines": (one, *PROFILE.machines[1:])})
    outside = FakeExternalClient(
        {"203.0.113.7": [22, 70000], "2001:db8::1": [22, 4444]},
        datagrams={"2001:db8::1": Echoed(answered=(7946,), refused=(33434,))},
    )
    shell = FakeShell({(MACHINES[0], "python3"): said(passed=[["2001:db8::1", 7946]])})
    seen = observe("open-ports", reach(shell, outside=outside, like=profile), MACHINES[0])
    refused = {"open": [22], "refused": 65534, "silent": 0}
    assert seen["tcp"]["203.0.113.7"] == {"value": refused}
    assert seen["tcp"]["2001:db8::1"]["value"]["open"] == [22, 4444]
    assert set(seen["udp"]["203.0.113.7"]["value"]["asked"]) == {"4789", "7946"}
    asked = {"5353": "avahi-daemon", "7946": "dockerd"}
    told = {"asked": asked, "of_cluster": {}, "answered": [7946], "refused": [33434]}
    assert seen["udp"]["2001:db8::1"] == {"value": told}
    assert seen["machine"]["value"]["passed"] == [["2001:db8::1", 7946]]


def named(space: str, name: str, **fields: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": space, "name": name}, **fields}


def udp_port(**numbers: Any) -> dict[str, Any]:
    return {"protocol": "UDP", **numbers}


# As RKE2's API lists them: Traefik with HTTP/3 on a host port, a DNS for customers on a node port
# and at the machine's own address, another at an address of MetalLB's.
SERVICES = [
    named("default", "kubernetes", spec={"ports": [{"protocol": "TCP", "port": 443}]}),
    named("kube-system", "rke2-coredns-rke2-coredns", spec={"ports": [udp_port(port=53)]}),
    named(
        "shop",
        "dns",
        spec={"externalIPs": ["10.0.0.1"], "ports": [udp_port(port=5301, nodePort=30053)]},
    ),
    named(
        "shop",
        "balanced",
        spec={"ports": [udp_port(port=5302)]},
        status={"loadBalancer": {"ingress": [{"ip": "10.0.0.200"}]}},
    ),
    named("shop", "odd", spec={"ports": [{"protocol": "UDP", "nodePort": "many"}]}),
]
WEBSECURE = {"name": "websecure-http3", "containerPort": 8443, "hostPort": 443}
TRAEFIK = {"containers": [{"ports": [WEBSECURE | {"protocol": it} for it in ("TCP", "UDP")]}]}
PODS = [
    named("kube-system", "rke2-traefik-x7k2p", spec=TRAEFIK, status={"phase": "Running"}),
    named("kube-system", "rke2-traefik-old", spec=TRAEFIK, status={"phase": "Failed"}),
    named(
        "shop",
        "resolver",
        spec={"containers": [{"ports": [udp_port(hostPort=5303, hostIP="127.0.0.1")]}]},
    ),
]


@pytest.mark.parametrize(
    ("outside_address", "ports"),
    [
        ("10.0.0.1", {"443", "5301", "30053"}),
        ("2001:db8::1", {"443", "30053"}),
        ("203.0.113.7", {"443", "5301", "30053"}),  # translated on its way
    ],
)
def test_udp_ports_that_services_and_pods_take_without_a_socket_are_asked_too(
    outside_address: str, ports: set[str]
) -> None:
    one = PROFILE.machines[0].model_copy(update={"outside_address": (ip_address(outside_address),)})
    profile = PROFILE.model_copy(update={"machines": (one, *PROFILE.machines[1:])})
    shell = FakeShell({(MACHINES[0], "python3"): said(addresses=["10.0.0.1", "2001:db8::1"])})
    objects = {
        "/api/v1/services": {"items": SERVICES},
        f"/api/v1/pods?fieldSelector=spec.nodeName%3D{MACHINES[0]}": {"items": PODS},
    }
    outside = FakeExternalClient({outside_address: [22]})
    ways = reach(shell, kube=FakeKube(objects), outside=outside, like=profile)
    seen = observe("open-ports", ways, MACHINES[0])
    of_cluster = seen["udp"][outside_address]["value"]["of_cluster"]
    assert set(of_cluster) == ports
    assert of_cluster["443"] == "pod kube-system/rke2-traefik-x7k2p"
    assert of_cluster["30053"] == "Service shop/dns"
    assert "nodePort is of type str" in seen["cluster"]["value"]["Service shop/odd"]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (Completed(status=1, stdout="", stderr="FileNotFoundError: ss"), "FileNotFoundError: ss"),
        (
            Completed(status=0, stdout=json.dumps({"sockets": [], "addresses": []}), stderr=""),
            "iproute2",
        ),
    ],
)
def test_a_machine_without_ss_leaves_its_tcp_ports_proven_and_its_udp_ports_not(
    answer: Completed, says: str
) -> None:
    shell = FakeShell({(MACHINES[0], "python3"): answer})
    outside = FakeExternalClient({"10.0.0.1": [22]})
    seen = observe("open-ports", reach(shell, outside=outside), MACHINES[0])
    assert seen["tcp"]["10.0.0.1"]["value"]["open"] == [22]
    assert "sockets_script" in seen["udp"]["10.0.0.1"]["error"]
    assert says in seen["machine"]["error"]


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_port_is_seen_open_in_either_family(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as listening:
        listening.bind((address, 0))
        listening.listen()
        port = listening.getsockname()[1]
        assert Network().scan_ports(address, [port, 1]).open == (port,)


@pytest.mark.slow
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_datagram_is_answered_refused_or_met_with_silence(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with (
        socket.socket(family, socket.SOCK_DGRAM) as echo,
        socket.socket(family, socket.SOCK_DGRAM) as silent,
    ):
        for it in (echo, silent):
            it.bind((address, 0))
        answers, keeps_quiet = echo.getsockname()[1], silent.getsockname()[1]

        def answer() -> None:
            words, sender = echo.recvfrom(100)
            echo.sendto(words, sender)

        threading.Thread(target=answer, daemon=True).start()
        seen = send_datagrams(address, {answers: b"x", keeps_quiet: b"x", 1: b"x"})
    assert seen == Echoed(answered=(answers,), refused=(1,))


@pytest.mark.skipif(os.geteuid() != 0, reason="raw sockets are root's")
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_datagram_with_the_token_is_seen_to_arrive_and_to_pass(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    token = os.urandom(16)
    stop = threading.Event()

    def speak() -> None:
        with socket.socket(family, socket.SOCK_DGRAM) as way:
            while not stop.wait(0.05):
                for words in (token, b"somebody else's."):
                    way.sendto(payload(words, address, 9), (address, 9))

    speaker = threading.Thread(target=speak)
    speaker.start()
    try:
        heard = sockets_script.hear(token, 0.5)
    finally:
        stop.set()
        speaker.join()
    assert (heard["arrived"], heard["passed"]) == ([[address, 9]], [[address, 9]])
    assert "sockets" in json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("address", ["203.0.113.7", "2001:db8::1"])
def test_a_datagram_counts_for_the_address_that_was_asked_whatever_nat_made_of_it(
    address: str,
) -> None:
    token = bytes(range(16))
    translated = b"\x45" + bytes(27) + payload(token, address, 30053)
    assert sockets_script.sent_to(translated, token) == (address, 30053)
    assert sockets_script.sent_to(translated[:-1], token) is None
    assert sockets_script.sent_to(translated, bytes(16)) is None


@pytest.mark.parametrize(("type_", "kind"), [(0, "arrived"), (4, "forwarded"), (3, None)])
def test_a_datagram_that_goes_out_by_another_interface_is_forwarded(
    type_: int, kind: str | None
) -> None:
    assert sockets_script.seen_on_card(("cni0", 0x0800, type_, 1, b"")) == kind
