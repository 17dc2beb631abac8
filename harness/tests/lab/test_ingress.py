"""The lab's ingress: a route reaches its service, and any other host reaches nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.core.waiting import until
from harness.lab.host import run
from harness.lab.network import inside
from harness.tests.lab import objects
from harness.tests.lab.objects import Namespace
from harness.tests.lab.world import World

SERVE = ("python3", "-m", "http.server", "8000", "--directory", "/etc/alternatives")
HOST = "shop.lab.example"


@pytest.fixture
def shop(world: World) -> Iterator[Namespace]:
    """A web server on the second machine, behind a service."""
    with objects.namespace(world, "test-ingress") as one:
        label = {"app": "shop"}
        one.apply(
            objects.pod("shop", world.two.name, *SERVE, labels=label),
            objects.service("shop", label, 8000),
        )
        one.ready("shop")
        yield one


def addresses(world: World) -> list[str]:
    """The addresses of the ingress: the load balancer's address, else every machine's own."""
    if world.lab.profile.stack.load_balancer is None:
        return [node.address for node in world.lab.nodes]
    return [balanced(world)]


def balanced(world: World) -> str:
    path = "--output=jsonpath={.status.loadBalancer.ingress[0].ip}"
    return world.kubectl("get", "service", "ingress", "--namespace=ingress", path)


def status(world: World, address: str, host: str) -> str:
    """The status of a request for a host at an address, from outside the cluster."""
    command = ["curl", "--silent", "--max-time", "5", "--output", "/dev/null"]
    command += ["--write-out", "%{http_code}", "--header", f"Host: {host}", f"http://{address}/"]
    return run([*inside(world.lab), *command], log=world.log, check=False).stdout


def test_a_host_rule_reaches_its_service_and_an_unknown_host_gets_404(shop: Namespace) -> None:
    world = shop.world
    shop.apply(objects.ingress("shop", HOST, "shop"))
    for address in addresses(world):
        until(
            lambda address=address: status(world, address, HOST) == "200",  # type: ignore[misc]
            within_s=60,
            what=f"{HOST} answers at {address}",
        )
        assert status(world, address, "nobody.example") == "404"
    shop.kubectl("delete", "ingress", "shop", "--wait=false")
    for address in addresses(world):
        until(
            lambda address=address: status(world, address, HOST) == "404",  # type: ignore[misc]
            within_s=60,
            what=f"{HOST} is forgotten at {address}",
        )


@pytest.mark.parametrize(
    "route", ["kind: annotation\n  ingress_class: traefik", "kind: ingressroute"]
)
def test_every_kind_of_route_that_traefik_follows_is_proven(world: World, route: str) -> None:
    by_class = "ingress_class: traefik"
    ruling = world.gate("W1-INGRESS", cluster=world.profile_with([(by_class, route)]))
    assert ruling.outcome("W1-INGRESS") == "pass", ruling.reason("W1-INGRESS")
