"""Seeded defects of W1-SWARM: a Swarm that is not whole, and services that do not serve."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness.lab import swarm
from harness.lab.shape import Node
from harness.tests.lab.asking import ask
from harness.tests.lab.red import says
from harness.tests.lab.world import WHOLE_AGAIN_S, World
from harness.waiting import until

NODES, REPLICAS = "every Swarm node is ready", "every Swarm service has its replicas"
THERE, ANSWER = "the declared Swarm services are there", "Swarm services answer"
UPDATES, INSTANCES = "no Swarm update stands still", "customers' Swarm instances answer"
CHECKS = (NODES, REPLICAS, UPDATES, THERE, ANSWER)
WEB, WORKER = "platform_web", "platform_worker"


def docker(world: World, node: Node, *argv: str) -> str:
    return swarm.docker(world.lab, node, *argv, log=world.log)


def judged(world: World, *checks: str, profile: str = "") -> dict[str, tuple[str, str]]:
    """Outcome and reason of some checks, without a whole gate."""
    return ask(profile or world.lab.name, "swarm", *checks)


def turns_red(world: World, check: str, *words: str) -> None:
    """Wait until a check is red for a reason with these words in it: Swarm needs a moment."""

    def look() -> bool:
        outcome, reason = judged(world, check)[check]
        return outcome == "fail" and all(word in reason for word in words)

    until(look, within_s=60, what=f"“{check}” is red because of {words}")


@contextmanager
def changed(world: World, service: str, *options: str) -> Iterator[None]:
    """A service is another for a while."""
    docker(world, world.one, "service", "update", "--detach", *options, service)
    try:
        yield
    finally:
        docker(world, world.one, "service", "rollback", "--detach", service)


def healed(world: World) -> None:
    world.whole(within_s=WHOLE_AGAIN_S)
    until(
        lambda: {outcome for outcome, _ in judged(world, *CHECKS).values()} == {"pass"},
        within_s=90,
        what="every check of the old platform passes again",
    )


def test_a_whole_platform_is_proven(world: World) -> None:
    ruling = world.gate("W1-SWARM")
    assert ruling.outcome("W1-SWARM") == "pass", ruling.reason("W1-SWARM")
    assert ruling["W1-SWARM"]["measured"]["missing_tasks_count"] == 0


@pytest.mark.defect("every Swarm service has its replicas")
def test_a_service_short_of_a_replica_is_found(world: World) -> None:
    with changed(world, WORKER, "--constraint-add=node.labels.none==none"):
        turns_red(world, REPLICAS, f"{WORKER}: expected 2 running tasks, seen", "pending")
        ruling = world.gate("W1-SWARM")
    says(ruling, "W1-SWARM", f"{WORKER}: expected 2 running tasks, seen", "no suitable node")
    assert WEB not in ruling.reason("W1-SWARM")
    healed(world)


@pytest.mark.defect("no Swarm update stands still", "every Swarm service has its replicas")
def test_an_update_that_failed_is_found_though_the_old_tasks_run_on(world: World) -> None:
    options = (
        "--image=localhost:1/lab/none:1",
        "--no-resolve-image",
        "--update-failure-action=pause",
        "--update-order=start-first",
    )
    with changed(world, WORKER, *options):
        turns_red(world, UPDATES, f"{WORKER}: expected no update to stand still, seen it paused")
        turns_red(world, REPLICAS, f"{WORKER}: expected its tasks to stay, seen", "is rejected")
    healed(world)


@pytest.mark.defect("customers' Swarm instances answer")
def test_an_instance_that_runs_and_does_not_answer_is_found(world: World) -> None:
    declared = "    platform_worker:\n      replicas: 2\n"
    instances = "  instances: {names: platform_web, port: 8080}\n"
    profile = world.profile_with([(declared, declared + instances)])
    outcome, reason = judged(world, INSTANCES, profile=profile)[INSTANCES]
    assert (outcome, "platform_web: it is to run, and has no" in reason) == ("not_proven", True)
    rule = "traefik.http.routers.acme.rule=Host(`acme.lab.example`)"
    with changed(world, WEB, f"--label-add={rule}"):
        assert judged(world, INSTANCES, profile=profile)[INSTANCES][0] == "pass"
        (task,) = docker(world, world.one, "ps", "--quiet", f"--filter=name={WEB}").split()
        docker(world, world.one, "pause", task)
        try:
            outcome, reason = judged(world, INSTANCES, profile=profile)[INSTANCES]
        finally:
            docker(world, world.one, "unpause", task)
    words = f"{WEB} as acme.lab.example: expected an answer, seen timed out from {world.one.name}"
    assert (outcome, words in reason) == ("fail", True), reason
    healed(world)


@pytest.mark.long
@pytest.mark.defect("every Swarm service has its replicas")
def test_a_service_that_fails_again_and_again_is_found(world: World) -> None:
    with changed(world, WORKER, "--args=false", "--update-failure-action=continue"):
        turns_red(world, REPLICAS, f"{WORKER}: expected its tasks to stay, seen", "exit (1)")
    healed(world)


@pytest.mark.long
@pytest.mark.defect("every Swarm node is ready", "Swarm services answer")
def test_a_machine_without_docker_is_found(world: World) -> None:
    node = world.three
    world.do(node, "systemctl", "stop", "docker.socket", "docker.service")
    try:
        turns_red(world, NODES, f"{node.name}: expected its Swarm node to be ready, seen down")
        ruling = world.gate("W1-SWARM")
    finally:
        world.do(node, "systemctl", "start", "docker.socket", "docker.service")
    says(
        ruling,
        "W1-SWARM",
        f"{node.name}: expected Docker to answer, seen",
        f"{node.name}: expected a reachable manager, seen unreachable",
        f"{WEB} at {node.name}:8080/: expected an answer, seen",
    )
    healed(world)


@pytest.mark.defect("every Swarm node is ready")
def test_a_machine_that_is_drained_is_found(world: World) -> None:
    node = world.two
    docker(world, world.one, "node", "update", "--availability=drain", node.name)
    try:
        ruling = world.gate("W1-SWARM")
    finally:
        docker(world, world.one, "node", "update", "--availability=active", node.name)
    says(ruling, "W1-SWARM", f"{node.name}: expected its Swarm node to be active, seen drain")
    healed(world)


@pytest.mark.defect("the declared Swarm services are there")
def test_a_service_that_was_removed_is_found_and_so_is_one_that_was_scaled(world: World) -> None:
    docker(world, world.one, "service", "rm", WORKER)
    docker(world, world.one, "service", "scale", "--detach", f"{WEB}=2")
    try:
        ruling = world.gate("W1-SWARM")
    finally:
        swarm.up(world.lab, world.log)
    says(
        ruling,
        "W1-SWARM",
        f"{WORKER}: expected this service, seen none of that name",
        f"{WEB}: expected it to want 3 tasks, seen 2",
    )
    healed(world)


@pytest.mark.defect("Swarm services answer")
def test_a_service_that_runs_and_does_not_answer_is_found(world: World) -> None:
    node = world.two
    (task,) = docker(world, node, "ps", "--quiet", f"--filter=name={WEB}").split()
    docker(world, node, "pause", task)
    try:
        found = judged(world, *CHECKS)
    finally:
        docker(world, node, "unpause", task)
    outcome, reason = found.pop(ANSWER)
    assert (outcome, f"{WEB} at {node.name}:8080/: expected an answer, seen" in reason) == (
        "fail",
        True,
    ), reason
    # Swarm sees nothing of it.
    assert {outcome for outcome, _ in found.values()} == {"pass"}, found
    healed(world)


@pytest.mark.defect("Swarm services answer")
def test_another_program_on_the_port_is_found(world: World) -> None:
    profile = world.profile_with([("says: The platform that serves", "says: The shop that serves")])
    outcome, reason = judged(world, ANSWER, profile=profile)[ANSWER]
    assert outcome == "fail"
    assert f"{WEB} at {world.one.name}:8080/: expected an answer that says 'The shop" in reason


@pytest.mark.long
@pytest.mark.defect("every Swarm node is ready", "every Swarm service has its replicas")
def test_a_machine_without_power_is_found_and_its_part_comes_back_by_itself(world: World) -> None:
    node = world.one
    world.power_off(node)
    try:
        turns_red(world, NODES, f"{node.name}: expected its Swarm node to be ready, seen down")
        outcome, reason = judged(world, REPLICAS)[REPLICAS]
        assert outcome == "fail"
        assert f"{WEB}: expected 3 running tasks, seen 2" in reason
    finally:
        world.power_on(node)
    healed(world)
