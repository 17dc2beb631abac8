"""Steps about soaking: hours of work with one random fault after the other."""

from __future__ import annotations

from pytest_bdd import then, when

from harness.engine import Run


@when("the platform is soaked")
def soak(run: Run) -> None:
    run.soak()


@then("the soak lasted as long as it should")
def lasted(run: Run) -> None:
    run.require("the soak lasted as long as it should")


@then("every fault of the soak came and went")
def faults_came_and_went(run: Run) -> None:
    run.require("every fault of the soak came and went")


@then("the soak lost no acknowledged write")
def nothing_lost(run: Run) -> None:
    run.require("the soak lost no acknowledged write")


@then("the soak left no write twice or from nowhere")
def nothing_invented(run: Run) -> None:
    run.require("the soak left no write twice or from nowhere")


@then("the bank kept its total through the soak")
def total_kept(run: Run) -> None:
    run.require("the bank kept its total through the soak")


@then("nothing leaked")
def nothing_leaked(run: Run) -> None:
    run.require("nothing leaked")


@then("answers did not become slower")
def no_slower(run: Run) -> None:
    run.require("answers did not become slower")
