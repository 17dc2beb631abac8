"""Seeded defects of W1-NETWORK in the quick shape of the lab: routes, packets, services, names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness.core.waiting import until
from harness.lab.shape import Node
from harness.tests.lab.asking import ask
from harness.tests.lab.red import says
from harness.tests.lab.world import World


@pytest.mark.defect(
    "pods reach pods on every ordered pair of nodes",
    "full-sized packets pass between pods",
    "pods reach services",
)
def test_a_lost_route_a_narrow_bridge_and_services_that_do_not_answer_are_found(
    world: World,
) -> None:
    """The lost route fails exactly its own pair, in one direction."""
    one, two, three = world.lab.nodes
    with lost_route(world, one, three), narrow_bridge(world, two), without_services(world, three):
        ruling = world.gate("W1-NETWORK")
    says(
        ruling,
        "W1-NETWORK",
        f"{one.name} → {two.name}: expected unfragmented packets",
        f"{three.name} → {two.name}: expected the service to answer",
    )
    lost = re.findall(r"(\S+ → \S+): expected datagrams", ruling.reason("W1-NETWORK"))
    assert lost == [f"{one.name} → {three.name}"]


@contextmanager
def lost_route(world: World, node: Node, to: Node) -> Iterator[None]:
    """The machine has no route to the other's pods."""
    destination = next(it for it in routes(world, node) if f"via {to.address} " in it).split()[0]
    world.do(node, "ip", "route", "delete", destination)
    try:
        yield
    finally:
        world.do(node, "networkctl", "reconfigure", "host0")
        until(
            lambda: any(line.startswith(destination) for line in routes(world, node)),
            within_s=90,
            what="the route is back",
        )


@contextmanager
def narrow_bridge(world: World, node: Node) -> Iterator[None]:
    """Only small packets pass to and from the machine's pods."""
    world.do(node, "ip", "link", "set", "cni0", "mtu", "1300")
    try:
        yield
    finally:
        world.do(node, "ip", "link", "set", "cni0", "mtu", "1500")


@contextmanager
def without_services(world: World, node: Node) -> Iterator[None]:
    """The machine's pods reach no service except the name servers'."""
    network = world.lab.profile.kubernetes.service_network
    rules = (
        "add table inet defect\n"
        "add chain inet defect first { type filter hook prerouting priority -300; }\n"
        f"add rule inet defect first iifname cni0 ip daddr {network} tcp dport != 53 drop\n"
    )
    world.do(node, "nft", "-f", "-", stdin=rules)
    try:
        yield
    finally:
        world.do(node, "nft", "delete", "table", "inet", "defect")


@pytest.mark.defect("a name server answers the pods of every machine")
def test_a_cluster_whose_name_servers_all_fall_silent_is_found(world: World) -> None:
    check = "a name server answers the pods of every machine"
    rules = (
        "add table inet defect\n"
        "add chain inet defect first { type filter hook prerouting priority -300; }\n"
        "add rule inet defect first udp dport 53 drop\n"
    )
    for node in world.lab.nodes:
        world.do(node, "nft", "-f", "-", stdin=rules)
    try:
        outcome, reason = ask(world.lab.name, "pod-network", check)[check]
        assert outcome == "fail", reason
        assert "expected a name server on" in reason
    finally:
        for node in world.lab.nodes:
            world.do(node, "nft", "delete", "table", "inet", "defect")


@pytest.mark.defect("names resolve in pods")
def test_a_cluster_without_dns_is_found(world: World) -> None:
    try:
        name_servers(world, 0)
        says(world.gate("W1-NETWORK"), "W1-NETWORK", "name server")
    finally:
        name_servers(world, 2)


def name_servers(world: World, replicas: int) -> None:
    world.scale("kube-system", "coredns", replicas, label="k8s-app=kube-dns")


def routes(world: World, node: Node) -> list[str]:
    """The machine's routes, as ``ip route`` prints them."""
    return world.do(node, "ip", "route").splitlines()
