"""Stages of bringing a lab up: order, what happens on a failure, and the time that is left."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import LabError
from harness.lab.stages import Runner, Stage, remaining_s


def nothing() -> None:
    """Work that is done at once."""


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path / "times.json", lambda _: None)


def test_a_stage_starts_only_when_what_it_needs_is_done(runner: Runner) -> None:
    done: list[str] = []
    runner.run(
        [
            Stage("c", lambda: done.append("c"), 1, ("a", "b")),
            Stage("a", lambda: done.append("a"), 1),
            Stage("b", lambda: done.append("b"), 1, ("a",)),
        ]
    )
    assert done == ["a", "b", "c"]


def test_stages_that_need_nothing_of_each_other_run_side_by_side(runner: Runner) -> None:
    meeting = threading.Barrier(2, timeout=10)
    runner.run(
        [
            Stage("a", lambda: ignore(meeting.wait()), 1),
            Stage("b", lambda: ignore(meeting.wait()), 1),
        ]
    )


def ignore(_: int) -> None:
    """A meeting's number is of no interest."""


def test_a_failure_is_raised_and_what_needs_it_never_starts(runner: Runner) -> None:
    started: list[str] = []

    def fail() -> None:
        raise LabError("broken")

    with pytest.raises(LabError, match="broken"):
        runner.run([Stage("a", fail, 1), Stage("b", lambda: started.append("b"), 1, ("a",))])
    assert started == []


def test_stages_that_wait_for_each_other_are_an_error(runner: Runner) -> None:
    with pytest.raises(LabError, match="wait for each other"):
        runner.run([Stage("a", nothing, 1, ("b",)), Stage("b", nothing, 1, ("a",))])


def test_the_next_run_knows_how_long_a_stage_took(tmp_path: Path) -> None:
    said: list[str] = []
    Runner(tmp_path / "times.json", said.append).run([Stage("a", nothing, 500)])
    assert (tmp_path / "times.json").exists()
    assert any("done" in line and "a" in line for line in said)


@given(first=st.floats(1, 1000), second=st.floats(1, 1000), beside=st.floats(1, 1000))
def test_the_time_left_is_that_of_the_longest_chain(
    first: float, second: float, beside: float
) -> None:
    stages = [
        Stage("first", nothing, first),
        Stage("second", nothing, second, ("first",)),
        Stage("beside", nothing, beside),
    ]
    whole = remaining_s(stages, [], {}, {})
    assert whole == max(first + second, beside)
    assert remaining_s(stages, ["first"], {}, {}) == max(second, beside)
    half = remaining_s(stages, [], {"first": first / 2}, {})
    assert half is not None
    assert half <= whole
    assert remaining_s(stages, ["first", "second", "beside"], {}, {}) == 0


def test_no_time_left_is_told_while_a_stage_of_the_longest_chain_takes_longer_than_usual() -> None:
    stages = [Stage("build", nothing, 100), Stage("last", nothing, 10, ("build",))]
    beside = Stage("beside", nothing, 1)
    assert remaining_s(stages, [], {"build": 99}, {}) == 11
    assert remaining_s(stages, [], {"build": 101}, {}) is None
    assert remaining_s(stages, [], {"build": 101}, {"build": 200}) == 109
    assert remaining_s(stages, ["build"], {"last": 11}, {}) is None
    assert remaining_s([*stages, beside], [], {"build": 20, "beside": 5}, {}) == 90


def test_what_runs_is_told_with_its_time_so_far(tmp_path: Path) -> None:
    said: list[str] = []
    waits = threading.Event()
    stages = [Stage("short", nothing, 9), Stage("long", lambda: ignore(waits.wait(10)), 50)]

    def tell(text: str) -> None:
        said.append(text)
        waits.set()

    Runner(tmp_path / "times.json", tell).run(stages)
    (line,) = [it for it in said if "running" in it]
    assert re.search(r"running  long \(0:0\d\) · about 0:4\d left$", line), line
