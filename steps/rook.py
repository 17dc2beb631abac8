"""Steps about Rook and its CSI drivers."""

from __future__ import annotations

from pytest_bdd import given, then

from harness.engine import Run


@given("Rook, its Ceph and its drivers")
def look_at_rook(run: Run) -> None:
    run.observe("rook")


@then("Rook's operator is ready")
def operator_is_ready(run: Run) -> None:
    run.require("Rook's operator is ready")


@then("Rook is of its declared version")
def version_is_declared(run: Run) -> None:
    run.require("Rook is of its declared version")


@then("Rook's Ceph is as declared and well")
def ceph_is_well(run: Run) -> None:
    run.require("Rook's Ceph is as declared and well")


@then("Rook's monitors are the declared ones")
def monitors_are_declared(run: Run) -> None:
    run.require("Rook's monitors are the declared ones")


@then("no pod of Rook crashes again and again")
def nothing_crashes(run: Run) -> None:
    run.require("no pod of Rook crashes again and again")


@then("Rook's storage class is as declared")
def storage_class_is_declared(run: Run) -> None:
    run.require("Rook's storage class is as declared")


@then("the CSI drivers are on every machine")
def drivers_are_everywhere(run: Run) -> None:
    run.require("the CSI drivers are on every machine")


@then("the CSI controllers have a leader")
def controllers_have_a_leader(run: Run) -> None:
    run.require("the CSI controllers have a leader")


@then("every pool of Rook keeps three copies")
def pools_keep_three_copies(run: Run) -> None:
    run.require("every pool of Rook keeps three copies")


@then("every machine runs its OSD in Rook")
def machines_run_their_osds(run: Run) -> None:
    run.require("every machine runs its OSD in Rook")
