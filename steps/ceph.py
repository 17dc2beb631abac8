"""Steps about Ceph: its health, its data, its room."""

from __future__ import annotations

from pytest_bdd import given, then

from harness.engine import Run


@given("all that Ceph says of itself")
def ask_ceph(run: Run) -> None:
    run.observe("ceph")


@then("Ceph is healthy")
def ceph_is_healthy(run: Run) -> None:
    run.require("Ceph is healthy")


@then("every Ceph monitor is in quorum")
def monitors_in_quorum(run: Run) -> None:
    run.require("every Ceph monitor is in quorum")


@then("the monitors' clocks agree")
def clocks_agree(run: Run) -> None:
    run.require("the monitors' clocks agree")


@then("every OSD is up and in")
def osds_serve(run: Run) -> None:
    run.require("every OSD is up and in")


@then("every OSD answers")
def osds_answer(run: Run) -> None:
    run.require("every OSD answers")


@then("every placement group is active and clean")
def groups_clean(run: Run) -> None:
    run.require("every placement group is active and clean")


@then("the copies lie on different machines")
def copies_apart(run: Run) -> None:
    run.require("the copies lie on different machines")


@then("every pool keeps its copies")
def pools_keep_copies(run: Run) -> None:
    run.require("every pool keeps its copies")


@then("the failure domain is the host")
def domain_is_host(run: Run) -> None:
    run.require("the failure domain is the host")


@then("no scrub is overdue")
def scrubbed(run: Run) -> None:
    run.require("no scrub is overdue")


@then("no operation in Ceph is slow")
def nothing_slow(run: Run) -> None:
    run.require("no operation in Ceph is slow")


@then("no crash of Ceph is unread")
def no_unread_crash(run: Run) -> None:
    run.require("no crash of Ceph is unread")


@then("every daemon of Ceph runs one version")
def one_version(run: Run) -> None:
    run.require("every daemon of Ceph runs one version")


@then("no flag holds Ceph back")
def no_flag(run: Run) -> None:
    run.require("no flag holds Ceph back")


@then("the usable capacity is large enough")
def capacity_is_enough(run: Run) -> None:
    run.require("the usable capacity is large enough")


@then("there is more room than before")
def more_than_before(run: Run) -> None:
    run.require("there is more room than before")


@then("losing one machine leaves room")
def room_after_loss(run: Run) -> None:
    run.require("losing one machine leaves room")
