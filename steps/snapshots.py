"""Steps about snapshots of etcd."""

from __future__ import annotations

from pytest_bdd import given, then

from harness.engine import Run


@given("the snapshots of etcd on every server")
def look_at_snapshots(run: Run) -> None:
    run.observe("etcd-snapshots")


@then("an etcd snapshot is fresh")
def snapshot_is_fresh(run: Run) -> None:
    run.require("an etcd snapshot is fresh")


@then("a copy of the newest snapshot is off its machine")
def snapshot_is_copied(run: Run) -> None:
    run.require("a copy of the newest snapshot is off its machine")


@then("the newest snapshot restores")
def snapshot_restores(run: Run) -> None:
    run.require("the newest snapshot restores")
