"""Seeded defects in the full shape of the lab: Cilium, its policies, and the load balancer."""

from __future__ import annotations

import json
from ipaddress import ip_address
from typing import Any

import pytest

from harness.core.waiting import until
from harness.lab.shape import Lab
from harness.tests.lab import objects
from harness.tests.lab.conftest import running
from harness.tests.lab.red import says
from harness.tests.lab.world import World

pytestmark = pytest.mark.lab_full
POOL = ("ipaddresspool", "lab", "--namespace=metallb-system")
AGENTS = ("daemonset/cilium", "--namespace=kube-system")


@pytest.fixture(scope="module")
def lab(pytestconfig: pytest.Config) -> Lab:
    return running("lab-full", pytestconfig)


@pytest.mark.defect("Cilium is healthy on every node")
def test_a_machine_without_an_agent_is_found(world: World) -> None:
    there = {"key": "kubernetes.io/hostname", "operator": "NotIn", "values": [world.two.name]}
    required = {"nodeSelectorTerms": [{"matchExpressions": [there]}]}
    terms = {"requiredDuringSchedulingIgnoredDuringExecution": required}
    before = json.loads(world.kubectl("get", *AGENTS, "--output=json"))
    affinity = before["spec"]["template"]["spec"].get("affinity")
    place(world, {**(affinity or {}), "nodeAffinity": terms})
    try:
        says(world.gate("W1-NETWORK", cluster="lab-full"), "W1-NETWORK", world.two.name, "agent")
    finally:
        place(world, {**(affinity or {}), "nodeAffinity": None})


def place(world: World, affinity: dict[str, object]) -> None:
    """Choose the machines where agents run, and wait until they do."""
    patch = {"spec": {"template": {"spec": {"affinity": affinity}}}}
    world.kubectl("patch", *AGENTS, "--type=merge", f"--patch={json.dumps(patch)}")
    world.rolled_out("daemonset/cilium", "kube-system")


@pytest.mark.defect("a network policy that denies really denies")
def test_policies_that_nobody_enforces_are_found(world: World) -> None:
    enforce(world, "never")
    try:
        ruling = world.gate("W1-NETWORK", cluster="lab-full")
        says(ruling, "W1-NETWORK", "expected the stranger shut out, seen it connect")
    finally:
        enforce(world, "default")


def enforce(world: World, when: str) -> None:
    """Set when Cilium enforces policies, and restart its agents, which read it at their start."""
    patch = json.dumps({"data": {"enable-policy": when}})
    configuration = ("configmap/cilium-config", "--namespace=kube-system")
    world.kubectl("patch", *configuration, "--type=merge", f"--patch={patch}")
    world.kubectl("rollout", "restart", *AGENTS)
    world.rolled_out("daemonset/cilium", "kube-system")


@pytest.mark.defect(
    "a service is given an address of the pool", "the load balancer's pool has addresses left"
)
def test_a_pool_without_a_free_address_is_found(world: World) -> None:
    first, last = map(ip_address, pool_of(world)[0].split("-"))
    size = int(last) - int(first) + 1
    # The ingress has one of them.
    wanted = [f"taker-{n}" for n in range(size - 1)]
    with objects.namespace(world, "test-pool") as one:
        one.apply(*(balanced_service(name) for name in wanted))
        until(lambda: len(given(one)) == len(wanted), within_s=30, what="all addresses are given")
        ruling = world.gate("W1-LB", cluster="lab-full")
        says(
            ruling, "W1-LB", "expected an address, seen none", f"free addresses or more in {first}"
        )


def balanced_service(name: str) -> dict[str, Any]:
    """A service with an address from the pool; it needs no pod."""
    made = objects.service(name, {"app": "none"}, 80)
    spec = {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False}
    return {**made, "spec": {**made["spec"], **spec}}


def given(one: objects.Namespace) -> list[str]:
    """The outside addresses of the namespace's services."""
    listed = one.kubectl(
        "get", "services", "--output=jsonpath={.items[*].status.loadBalancer.ingress[*].ip}"
    )
    return listed.split()


def pool_of(world: World) -> list[str]:
    found = world.kubectl("get", *POOL, "--output=json")
    addresses: list[str] = json.loads(found)["spec"]["addresses"]
    return addresses


@pytest.mark.defect("the service answers at its address")
def test_an_address_at_which_nobody_answers_is_found(world: World) -> None:
    # Neighbours still learn who has the address, and what they send there is dropped.
    rules = (
        "add table inet defect\n"
        "add chain inet defect first { type filter hook prerouting priority -300; }\n"
        f"add rule inet defect first ip daddr {pool_of(world)[0]} tcp dport != {{ 80, 443 }} drop\n"
    )
    for node in world.lab.nodes:
        world.do(node, "nft", "-f", "-", stdin=rules)
    try:
        ruling = world.gate("W1-LB", cluster="lab-full")
        says(ruling, "W1-LB", "expected the service to answer, seen")
    finally:
        for node in world.lab.nodes:
            world.do(node, "nft", "delete", "table", "inet", "defect")
