"""Steps about the storage that exists already."""

from __future__ import annotations

from pytest_bdd import given, then

from harness.engine import Run


@given("the existing storage, read on every machine")
def read_everywhere(run: Run) -> None:
    run.observe("legacy-mount")


@given("the existing storage, compared with its baseline")
def compare_with_baseline(run: Run) -> None:
    run.observe("legacy-manifest")


@then("the existing storage is mounted and readable everywhere")
def mounted_and_readable(run: Run) -> None:
    run.require("the existing storage is mounted and readable everywhere")


@then("the existing storage is unchanged")
def unchanged(run: Run) -> None:
    run.require("the existing storage is unchanged")
