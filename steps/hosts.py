"""Steps about the machines under the cluster."""

from __future__ import annotations

from pytest_bdd import given, then

from harness.engine import Run


@given("what every machine says about itself")
def ask_machines(run: Run) -> None:
    run.observe("host-facts")


@then("every clock follows its source")
def clocks_follow_source(run: Run) -> None:
    run.require("every clock follows its source")


@then("all clocks agree")
def clocks_agree(run: Run) -> None:
    run.require("all clocks agree")


@then("every disk has room")
def disks_have_room(run: Run) -> None:
    run.require("every disk has room")


@then("every machine has memory available")
def memory_available(run: Run) -> None:
    run.require("every machine has memory available")


@then("swap is off and stays off")
def swap_off(run: Run) -> None:
    run.require("swap is off and stays off")


@then("kernel parameters are as declared")
def kernel_parameters(run: Run) -> None:
    run.require("kernel parameters are as declared")


@then("full-sized packets pass between machines")
def full_packets_between_machines(run: Run) -> None:
    run.require("full-sized packets pass between machines")


@then("the node service runs and starts at boot")
def node_service_runs(run: Run) -> None:
    run.require("the node service runs and starts at boot")


@then("every machine is safe to reboot")
def safe_to_reboot(run: Run) -> None:
    run.require("every machine is safe to reboot")
