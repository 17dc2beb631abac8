"""Seeded defects of W9-SWARM-GONE: the lab's Swarm itself, of which one machine leaves."""

from __future__ import annotations

import pytest

from harness.lab import swarm
from harness.tests.lab.asking import ask
from harness.tests.lab.objects import namespace
from harness.tests.lab.world import World

GONE = "no machine is in a Swarm"
CLOSED = "no port of Docker listens"
LEAD = "no name of the old platform leads to it"
ROUTE = "no Service leads to the old platform"


@pytest.mark.defect("no machine is in a Swarm", "no port of Docker listens")
def test_a_swarm_that_runs_is_found_on_each_machine_that_has_not_left_it(world: World) -> None:
    first, last = swarm.manager(world.lab), world.three
    before = ask("lab", "old-platform", GONE, CLOSED)
    for node in world.lab.nodes:
        words = f"{node.name}: expected no node of a Swarm, seen its Docker active in one"
        assert words in before[GONE][1], before
        assert f"{node.name}: expected no port of Docker that listens, seen" in before[CLOSED][1]
    assert "expected no container of a Swarm, seen some of" in before[GONE][1]

    world.do(last, "docker", "swarm", "leave")
    try:
        after = ask("lab", "old-platform", GONE, CLOSED)
    finally:
        swarm.docker(
            world.lab, first, "node", "rm", "--force", last.name, log=world.log, check=False
        )
        swarm.up(world.lab, world.log)
    assert {outcome for outcome, _ in after.values()} == {"fail"}, after
    for _, reason in after.values():
        assert f"{first.name}: " in reason
        assert f"{last.name}: " not in reason, reason


@pytest.mark.defect("no name of the old platform leads to it")
def test_a_name_that_a_machine_still_knows_is_found(world: World) -> None:
    """The machines carry both platforms, so the Swarm's own port tells which one answers."""
    two, address = world.two, world.lab.profile.machines[1].address
    before = ask("lab", "old-names", LEAD)
    assert f"app.lab.example on {two.name}: expected" not in before[LEAD][1], before
    world.do(two, "cp", "/etc/hosts", "/run/hosts.before")
    world.do(two, "sh", "-c", f"echo {address} app.lab.example >> /etc/hosts")
    try:
        after = ask("lab", "old-names", LEAD)
    finally:
        world.do(two, "cp", "/run/hosts.before", "/etc/hosts")
    assert after[LEAD][0] == "fail", after
    where = f"app.lab.example on {two.name}: expected no answer of the old platform, seen one at"
    assert f"{where} {address}:8080" in after[LEAD][1]


@pytest.mark.defect("no Service leads to the old platform")
def test_a_service_whose_endpoints_are_the_swarms_is_found(world: World) -> None:
    address = str(world.lab.profile.machines[1].address)
    labels = {"kubernetes.io/service-name": "front"}
    with namespace(world, "old-routes") as there:
        there.apply(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "front"},
                "spec": {"ports": [{"port": 80, "targetPort": 8080}]},
            },
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {"name": "front-by-hand", "labels": labels},
                "addressType": "IPv4",
                "endpoints": [{"addresses": [address]}],
                "ports": [{"port": 8080}],
            },
        )
        found = ask("lab", "old-routes", ROUTE)
    assert found[ROUTE][0] == "fail", found
    assert f"{there.name}/front: expected no endpoint" in found[ROUTE][1]
    assert f"{address}:8080" in found[ROUTE][1]
