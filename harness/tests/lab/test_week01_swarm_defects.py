"""Seeded defects of W1-SWARM: a Swarm that is not whole, and services that do not serve."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from harness.core.waiting import until
from harness.lab import swarm
from harness.lab.shape import Node
from harness.tests.lab.asking import ask
from harness.tests.lab.red import says
from harness.tests.lab.world import World

NODES, REPLICAS = "every Swarm node is ready", "every Swarm service has its replicas"
THERE, ANSWER = "the declared Swarm services are there", "Swarm services answer"
UPDATES, INSTANCES = "no Swarm update stands still", "customers' Swarm instances answer"
CHECKS = (NODES, REPLICAS, UPDATES, THERE, ANSWER)
FRONTEND, WORKER = "saasodoo_frontend-service", "saasodoo_instance-worker"
REGISTRY, ACME = "saasodoo_registry", "odoo-acme-1a2b3c4d"
IMAGE = swarm.IMAGE
CREATE = ("service", "create", "--detach", "--no-resolve-image", "--init", "--endpoint-mode=dnsrr")


def docker(world: World, *argv: str, on: Node | None = None) -> str:
    return swarm.docker(world.lab, on or swarm.manager(world.lab), *argv, log=world.log)


def judged(world: World, *checks: str, profile: str = "") -> dict[str, tuple[str, str]]:
    """Outcome and reason of some checks, without a whole gate."""
    return ask(profile or world.lab.name, "swarm", *checks)


def turns_red(world: World, check: str, *words: str) -> None:
    """Wait until a check is red for a reason with these words in it: Swarm needs a moment."""

    def look() -> bool:
        outcome, reason = judged(world, check)[check]
        return outcome == "fail" and all(word in reason for word in words)

    until(look, within_s=120, what=f"“{check}” is red because of {words}")


@contextmanager
def services(world: World, **options: Sequence[str]) -> Iterator[None]:
    """The test's own services, which the profile does not declare, by their options."""
    try:
        for name, more in options.items():
            docker(world, *CREATE, f"--name={name}", *more, IMAGE, "sleep", "600")
        yield
    finally:
        docker(world, "service", "rm", *options)


@contextmanager
def changed(world: World, service: str, *options: str) -> Iterator[None]:
    """Change a service for a while."""
    docker(world, "service", "update", "--detach", *options, service)
    try:
        yield
    finally:
        docker(world, "service", "rollback", "--detach", service)


def runs(world: World, service: str) -> None:
    """Wait until the service, of one task, runs it."""
    told = ("service", "ls", f"--filter=name={service}", "--format={{.Replicas}}")
    until(
        lambda: docker(world, *told).strip() == "1/1",
        within_s=120,
        what=f"{service} has its task",
    )


@contextmanager
def paused(world: World, service: str) -> Iterator[None]:
    """The service's one task stands still, and Swarm does not notice."""
    told = ("service", "ps", "--filter=desired-state=running", "--format={{.Node}}", service)
    node = world.lab.node(docker(world, *told).strip())
    (task,) = docker(world, "ps", "--quiet", f"--filter=name={service}", on=node).split()
    docker(world, "pause", task, on=node)
    try:
        yield
    finally:
        docker(world, "unpause", task, on=node)


def healed(world: World) -> None:
    world.whole()
    until(
        lambda: {outcome for outcome, _ in judged(world, *CHECKS).values()} == {"pass"},
        within_s=180,
        what="every check of the old platform passes again",
    )


@pytest.mark.defect(
    "every Swarm node is ready",
    "every Swarm service has its replicas",
    "no Swarm update stands still",
    "the declared Swarm services are there",
)
def test_services_that_are_not_whole_and_a_machine_that_is_drained_are_found(world: World) -> None:
    """One service finds no machine, one update failed, one service is gone, one is scaled."""
    node = world.three
    standing_still = ("--update-failure-action=pause", "--update-order=start-first")
    nowhere = ("--replicas=2", "--constraint=node.labels.none==none")
    with services(world, test_nowhere=nowhere, test_update=standing_still):
        try:
            docker(world, "node", "update", "--availability=drain", node.name)
            docker(world, "service", "rm", WORKER)
            docker(world, "service", "scale", "--detach", f"{FRONTEND}=0")
            runs(world, "test_update")
            other = ("--image=localhost:1/lab/none:1", "--no-resolve-image")
            docker(world, "service", "update", "--detach", *other, "test_update")
            turns_red(world, UPDATES, "test_update: expected no update to stand still")
            turns_red(world, REPLICAS, "test_update: expected its tasks to stay, seen")
            ruling = world.gate("W1-SWARM")
        finally:
            docker(world, "node", "update", "--availability=active", node.name)
            swarm.up(world.lab, world.log)
    says(
        ruling,
        "W1-SWARM",
        "test_nowhere: expected 2 running tasks, seen 0 (task",
        "is pending: no suitable node",
        "test_update: expected no update to stand still, seen it paused",
        "test_update: expected its tasks to stay, seen",
        "is rejected",
        f"{node.name}: expected its Swarm node to be active, seen drain",
        f"{WORKER}: expected this service, seen none of that name",
        f"{FRONTEND}: expected it to want 1 tasks, seen 0",
    )
    assert f"{FRONTEND}: expected 0 running tasks" not in ruling.reason("W1-SWARM")
    healed(world)


@pytest.mark.defect("Swarm services answer", "customers' Swarm instances answer")
def test_services_that_run_and_do_not_answer_or_answer_otherwise_are_found(world: World) -> None:
    """Swarm notices nothing: two tasks stand still, and one service is another program."""
    profile = world.profile_with([("says: The platform that serves", "says: The shop that serves")])
    with paused(world, REGISTRY), paused(world, ACME):
        found = judged(world, *CHECKS, INSTANCES, profile=profile)
    front = f"{swarm.manager(world.lab).name}:8080"
    for check, words in (
        (INSTANCES, f"{ACME} as acme.lab.example: expected an answer, seen timed out"),
        (
            ANSWER,
            f"{REGISTRY} at {front}/v2/ as registry.lab.example: expected an answer, seen timed",
        ),
        (
            ANSWER,
            f"{FRONTEND} at {front}/ as app.lab.example: expected an answer that says 'The shop",
        ),
    ):
        outcome, reason = found[check]
        assert (outcome, words in reason) == ("fail", True), reason
    others = {found[it][0] for it in CHECKS if it != ANSWER}
    assert others == {"pass"}, found
    healed(world)


@pytest.mark.long
@pytest.mark.defect("customers' Swarm instances answer")
def test_an_instance_without_a_label_is_not_proven(world: World) -> None:
    profile = world.profile_with([('names: "odoo-*"', "names: saasodoo_postgres")])
    outcome, reason = judged(world, INSTANCES, profile=profile)[INSTANCES]
    assert (outcome, "saasodoo_postgres: it must run, but no" in reason) == ("not_proven", True)


@pytest.mark.long
@pytest.mark.defect("every Swarm service has its replicas")
def test_a_service_that_fails_again_and_again_is_found(world: World) -> None:
    with changed(world, WORKER, "--args=false", "--update-failure-action=continue"):
        turns_red(world, REPLICAS, f"{WORKER}: expected its tasks to stay, seen", "exit (1)")
    healed(world)


@pytest.mark.long
@pytest.mark.defect("every Swarm node is ready")
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
        f"{node.name}: expected its Swarm node to be ready, seen down",
    )
    healed(world)


@pytest.mark.long
@pytest.mark.defect("every Swarm node is ready", "every Swarm service has its replicas")
def test_the_only_manager_without_power_leaves_nothing_proven_and_comes_back_by_itself(
    world: World,
) -> None:
    node = swarm.manager(world.lab)
    world.power_off(node)
    try:
        found = judged(world, NODES, REPLICAS, THERE)
    finally:
        world.power_on(node)
    assert {outcome for outcome, _ in found.values()} == {"not_proven"}, found
    assert "no manager tells the state of all nodes and services" in found[NODES][1]
    healed(world)
