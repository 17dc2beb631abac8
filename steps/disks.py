"""Steps about the disks that Ceph is given."""

from __future__ import annotations

from pytest_bdd import given, then

from harness.engine import Run


@given("the disk for Ceph on every machine")
def look_at_disks(run: Run) -> None:
    run.observe("osd-disks")


@then("every disk for Ceph is the recorded one")
def disk_is_recorded(run: Run) -> None:
    run.require("every disk for Ceph is the recorded one")


@then("no other partition has changed")
def others_are_untouched(run: Run) -> None:
    run.require("no other partition has changed")


@then("each disk is used by its OSD alone")
def used_as_declared(run: Run) -> None:
    run.require("each disk is used by its OSD alone")


@given("the disk for Ceph on every machine, measured at the same time")
def measure_disks(run: Run) -> None:
    run.observe("disk-bench")


@then("each disk commits fast enough")
def disks_are_fast(run: Run) -> None:
    run.require("each disk commits fast enough")


@then("each disk is as fast as its baseline")
def disks_are_as_before(run: Run) -> None:
    run.require("each disk is as fast as its baseline")
