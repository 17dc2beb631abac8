"""Steps about etcd, beside what every machine says about itself."""

from __future__ import annotations

from pytest_bdd import given, then

from harness.engine import Run


@given("a burst of small writes to etcd")
def write_to_etcd(run: Run) -> None:
    run.observe("etcd-writes")


@then("etcd has every member and one leader")
def members_and_leader(run: Run) -> None:
    run.require("etcd has every member and one leader")


@then("etcd raises no alarm")
def no_alarm(run: Run) -> None:
    run.require("etcd raises no alarm")


@then("etcd's database has room")
def database_has_room(run: Run) -> None:
    run.require("etcd's database has room")


@then("etcd writes its log fast enough")
def log_is_fast(run: Run) -> None:
    run.require("etcd writes its log fast enough")


@then("etcd's members are near enough to each other")
def peers_are_near(run: Run) -> None:
    run.require("etcd's members are near enough to each other")
