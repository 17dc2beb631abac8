"""Steps about the claim that holds every customer's backups."""

from __future__ import annotations

from pytest_bdd import given, then

from harness.engine import Run


@given("the claims that hold backups, and what lies in the shared one")
def look_at_claims(run: Run) -> None:
    run.observe("backup-claims")


@then("one shared claim holds the backups")
def shared_claim(run: Run) -> None:
    run.require("one shared claim holds the backups")


@then("no instance has a backup claim of its own")
def no_other_claim(run: Run) -> None:
    run.require("no instance has a backup claim of its own")


@then("backups lie as declared")
def layout(run: Run) -> None:
    run.require("backups lie as declared")
