"""Steps about the old platform: Docker Swarm and its services."""

from __future__ import annotations

from pytest_bdd import given, then

from harness.engine import Run


@given("what Docker says on every machine")
def ask_docker(run: Run) -> None:
    run.observe("swarm")


@then("every Swarm node is ready")
def nodes_ready(run: Run) -> None:
    run.require("every Swarm node is ready")


@then("every Swarm service has its replicas")
def services_have_replicas(run: Run) -> None:
    run.require("every Swarm service has its replicas")


@then("no Swarm update stands still")
def updates_are_done(run: Run) -> None:
    run.require("no Swarm update stands still")


@then("the declared Swarm services are there")
def services_there(run: Run) -> None:
    run.require("the declared Swarm services are there")


@then("Swarm services answer")
def services_answer(run: Run) -> None:
    run.require("Swarm services answer")


@then("customers' Swarm instances answer")
def instances_answer(run: Run) -> None:
    run.require("customers' Swarm instances answer")
