"""Steps about where pods may run, and what they need to start again."""

from __future__ import annotations

from pytest_bdd import given, then

from harness.engine import Run


@given("what every pod needs and every node has")
def ask_scheduling(run: Run) -> None:
    run.observe("scheduling")


@then("the pods of a lost machine fit on the others")
def fits_without_one(run: Run) -> None:
    run.require("the pods of a lost machine fit on the others")


@then("no image comes from a registry of the Swarm")
def no_image_of_the_swarm(run: Run) -> None:
    run.require("no image comes from a registry of the Swarm")
