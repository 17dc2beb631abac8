"""Steps about claims: what a program that keeps data on CephFS relies on."""

from __future__ import annotations

from pytest_bdd import given, then

from harness.engine import Run


@given("claims that every machine writes and reads")
def look_at_claims(run: Run) -> None:
    run.observe("claims")


@then("the storage class is as declared")
def class_as_declared(run: Run) -> None:
    run.require("the storage class is as declared")


@then("claims are bound in time")
def bound_in_time(run: Run) -> None:
    run.require("claims are bound in time")


@then("what one machine writes every other reads unchanged")
def read_unchanged(run: Run) -> None:
    run.require("what one machine writes every other reads unchanged")


@then("metadata survives")
def metadata_survives(run: Run) -> None:
    run.require("metadata survives")


@then("appenders with locks lose nothing")
def appenders_lose_nothing(run: Run) -> None:
    run.require("appenders with locks lose nothing")


@then("many small files are whole")
def small_files_are_whole(run: Run) -> None:
    run.require("many small files are whole")


@then("a full claim gives EDQUOT")
def full_gives_edquot(run: Run) -> None:
    run.require("a full claim gives EDQUOT")


@then("a claim grows while it is in use")
def grows_in_use(run: Run) -> None:
    run.require("a claim grows while it is in use")


@then("a deleted claim gives its space back")
def space_comes_back(run: Run) -> None:
    run.require("a deleted claim gives its space back")
