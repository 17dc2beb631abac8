"""Seeded defects of W1-NETWORK in the quick shape of the lab: routes, packets, services, names."""

from __future__ import annotations

import pytest

from harness.lab.shape import Node
from harness.tests.lab.asking import ask
from harness.tests.lab.red import says
from harness.tests.lab.world import World
from harness.waiting import until


@pytest.mark.defect("pods reach pods on every ordered pair of nodes")
def test_one_lost_pod_route_fails_exactly_its_own_pair(world: World) -> None:
    to_three = [line for line in routes(world, world.one) if f"via {world.three.address} " in line]
    destination = to_three[0].split()[0]
    world.do(world.one, "ip", "route", "delete", destination)
    try:
        ruling = world.gate("W1-NETWORK")
        says(ruling, "W1-NETWORK", f"{world.one.name} → {world.three.name}")
        names = [node.name for node in world.lab.nodes]
        pairs = {
            (a, b) for a in names for b in names if f"{a} → {b}" in ruling.reason("W1-NETWORK")
        }
        assert pairs == {(world.one.name, world.three.name)}
    finally:
        world.do(world.one, "networkctl", "reconfigure", "host0")
        until(
            lambda: any(line.startswith(destination) for line in routes(world, world.one)),
            within_s=30,
            what="the route is back",
        )


@pytest.mark.defect("full-sized packets pass between pods")
def test_a_narrow_pod_bridge_is_found(world: World) -> None:
    # Small packets still pass to and from the machine's pods.
    world.do(world.two, "ip", "link", "set", "cni0", "mtu", "1300")
    try:
        ruling = world.gate("W1-NETWORK")
        says(ruling, "W1-NETWORK", f"{world.one.name} → {world.two.name}", "unfragmented")
    finally:
        world.do(world.two, "ip", "link", "set", "cni0", "mtu", "1500")


@pytest.mark.defect("pods reach services")
def test_services_that_do_not_answer_on_one_machine_are_found(world: World) -> None:
    services = world.lab.profile.kubernetes.service_network
    rules = (
        "add table inet defect\n"
        "add chain inet defect first { type filter hook prerouting priority -300; }\n"
        f"add rule inet defect first iifname cni0 ip daddr {services} tcp dport != 53 drop\n"
    )
    world.do(world.three, "nft", "-f", "-", stdin=rules)
    try:
        ruling = world.gate("W1-NETWORK")
        says(ruling, "W1-NETWORK", f"{world.three.name} → ", "the service to answer")
    finally:
        world.do(world.three, "nft", "delete", "table", "inet", "defect")


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
