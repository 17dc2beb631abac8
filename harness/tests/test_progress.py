"""Progress: one line a scenario that is over, a live view on a terminal, events for machines."""

from __future__ import annotations

import io
import json

from harness.commands.output import Events, Progress
from harness.tests.stage import manifest, requirement, scenario

PLAN = manifest(
    due=2,
    requirements=(requirement(), requirement("W1-B")),
    scenarios=(scenario("One"), scenario("Two", proves="W1-B")),
    past=(
        {
            "run": "r",
            "week": 1,
            "ended": "2026-11-17T12:41:00Z",
            "decision": "GO",
            "took_s": 90.0,
            "requirements": {},
        },
    ),
)


def played(progress: Progress) -> None:
    progress.pytest_gate_opened(PLAN)
    for one, state in ((PLAN.scenarios[0], "passed"), (PLAN.scenarios[1], "failed")):
        progress.pytest_gate_scenario_began(one)
        progress.pytest_gate_scenario_ended(one, state, "late" if state == "failed" else "")


def test_elsewhere_each_scenario_that_is_over_has_one_line() -> None:
    stream = io.StringIO()
    played(Progress(stream, terminal=False))
    lines = [line.partition("] ")[2] for line in stream.getvalue().splitlines()]
    assert lines[0].startswith("week 1 on small: 2 requirements, 2 scenarios, about 90 s, run ")
    assert lines[1:] == ["W1-A         One: passed", "W1-B         Two: failed: late"]


def test_a_terminal_shows_what_runs_what_is_proven_and_how_long_it_takes() -> None:
    stream = io.StringIO()
    progress = Progress(stream, terminal=True)
    played(progress)
    progress._live.refresh()
    progress._live.stop()
    shown = stream.getvalue()
    for text in (
        "▸ W1-B         Two",
        "2 of 2 scenarios",
        "1 of 2 proven",
        "of about",
    ):
        assert text in shown, text


def test_machines_get_one_event_a_line() -> None:
    stream = io.StringIO()
    events = Events(stream)
    events.pytest_gate_opened(PLAN)
    events.pytest_gate_scenario_ended(PLAN.scenarios[0], "passed", "")
    opened, ended = map(json.loads, stream.getvalue().splitlines())
    assert (opened["event"], opened["week"]) == ("opened", 1)
    assert ended["scenario"] == "small.feature: One"
    assert ended["state"] == "passed"
    assert ended["at"].endswith("Z")
