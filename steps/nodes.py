"""Steps about the cluster's node list."""

from __future__ import annotations

from pytest_bdd import given, then

from harness.engine import Run


@given("the cluster's node list")
def list_nodes(run: Run) -> None:
    run.observe("nodes")


@then("every declared machine is a ready node")
def every_machine_ready(run: Run) -> None:
    run.require("every declared machine is a ready node")


@then("every node has its declared address, role and version")
def nodes_as_declared(run: Run) -> None:
    run.require("every node has its declared address, role and version")


@then("no node is unexpected")
def none_unexpected(run: Run) -> None:
    run.require("no node is unexpected")


@then("no node is under pressure")
def no_pressure(run: Run) -> None:
    run.require("no node is under pressure")


@then("no node has an undeclared taint")
def no_undeclared_taint(run: Run) -> None:
    run.require("no node has an undeclared taint")
