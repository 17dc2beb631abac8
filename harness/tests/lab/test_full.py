"""The full shape of the lab: Cilium between pods, MetalLB in front of them, power loss survived."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from harness.core.waiting import until
from harness.lab.host import run
from harness.lab.network import inside
from harness.lab.shape import Lab
from harness.tests.lab import objects
from harness.tests.lab.conftest import running
from harness.tests.lab.objects import Namespace
from harness.tests.lab.test_ingress import HOST, SERVE, balanced, status
from harness.tests.lab.world import World

pytestmark = pytest.mark.lab_full
MOVED_WITHIN_S = 30


@pytest.fixture(scope="module")
def lab(pytestconfig: pytest.Config) -> Lab:
    return running("lab-full", pytestconfig)


@pytest.fixture
def shop(world: World) -> Iterator[Namespace]:
    """A web server on every machine behind one service, and the ingress in front of it."""
    label = {"app": "shop"}
    names = [node.name for node in world.lab.nodes]
    with objects.namespace(world, "test-full") as one:
        one.apply(
            *(objects.pod(name, name, *SERVE, labels=label) for name in names),
            objects.service("shop", label, 8000),
            objects.ingress("shop", HOST, "shop"),
        )
        one.ready(*names)
        yield one


def holder(world: World, address: str) -> str:
    """The hardware address that answers for an address on the lab's bridge."""
    ip = [*inside(world.lab), "ip"]
    run([*ip, "neigh", "flush", "to", address], log=world.log)
    status(world, address, HOST)
    seen = run([*ip, "--json", "neigh", "show", "to", address], log=world.log).stdout
    return str(next((one.get("lladdr", "") for one in json.loads(seen or "[]")), ""))


def test_pods_reach_pods_and_a_policy_that_denies_denies(world: World) -> None:
    ruling = world.gate("W1-NETWORK", cluster="lab-full")
    assert ruling.outcome("W1-NETWORK") == "pass", ruling.reason("W1-NETWORK")


def test_a_machine_that_lost_power_comes_back_with_its_pod_network(world: World) -> None:
    for node in world.lab.nodes:
        world.power_off(node)
        world.lost(node)
        world.whole_from_power_on(node)
    ruling = world.gate("W1-NETWORK", cluster="lab-full")
    assert ruling.outcome("W1-NETWORK") == "pass", ruling.reason("W1-NETWORK")


def test_the_address_of_the_ingress_moves_when_its_machine_loses_power(shop: Namespace) -> None:
    world = shop.world
    address = balanced(world)
    until(lambda: status(world, address, HOST) == "200", within_s=20, what=f"{HOST} answers")
    before = holder(world, address)
    assert before, f"nobody answers for {address}"
    owner = next(
        node
        for node in world.lab.nodes
        if before in world.do(node, "cat", "/sys/class/net/host0/address")
    )
    world.power_off(owner)
    try:
        until(
            lambda: holder(world, address) not in ("", before),
            within_s=MOVED_WITHIN_S,
            what=f"{address} is answered for by another machine",
        )
        until(
            lambda: status(world, address, "nobody.example") == "404",
            within_s=MOVED_WITHIN_S,
            what=f"the ingress answers at {address} again",
        )
    finally:
        world.power_on(owner)
