"""Steps about drills: something breaks on purpose, and everything else goes on."""

from __future__ import annotations

from pytest_bdd import parsers, then, when

from harness.engine import Run


@when(parsers.parse("the drill {name} is carried out"))
def carry_out(run: Run, name: str) -> None:
    run.drill(name)


@then("every fault was seen by somebody else, and seen to be gone")
def faults_were_real(run: Run) -> None:
    run.require("every fault was seen by somebody else, and seen to be gone")


@then("no more broke than was meant to")
def no_more_broke(run: Run) -> None:
    run.require("no more broke than was meant to")


@then("what was not hit went on")
def others_went_on(run: Run) -> None:
    run.require("what was not hit went on")


@then("what machines wrote to claims meanwhile is unchanged")
def claims_survived(run: Run) -> None:
    run.require("what machines wrote to claims meanwhile is unchanged")


@then("others noticed it in time")
def noticed_in_time(run: Run) -> None:
    run.require("others noticed it in time")


@then("the drill lost no acknowledged write")
def nothing_lost(run: Run) -> None:
    run.require("the drill lost no acknowledged write")


@then("the drill left no write twice or from nowhere")
def nothing_invented(run: Run) -> None:
    run.require("the drill left no write twice or from nowhere")


@then("the bank kept its total through the drill")
def total_kept(run: Run) -> None:
    run.require("the bank kept its total through the drill")


@then("writing went on in time")
def writing_went_on(run: Run) -> None:
    run.require("writing went on in time")


@then("no more requests failed than may")
def few_requests_failed(run: Run) -> None:
    run.require("no more requests failed than may")


@then("requests were answered in time again")
def requests_fast_again(run: Run) -> None:
    run.require("requests were answered in time again")


@then("the steady state came back in time")
def steady_again(run: Run) -> None:
    run.require("the steady state came back in time")
