"""The schedule of a soak: drawn alike from the same seed, and made smaller while it still fails."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import ConfigError
from harness.drill.schedule import Turn, drawn, shrunk
from harness.faults.kinds import FAULTS
from harness.settings.drills import Soak, load_soak, seconds

SOAK = Soak.model_validate(
    {
        "schema": 1,
        "faults": [
            {"fault": "often", "weight": 9, "hold_s": [1, 2]},
            {"fault": "seldom", "weight": 1, "hold_s": [5, 5], "with": {"percent": 3}},
        ],
        "pause_s": [10, 20],
        "calm_within_s": 60,
        "look_every_s": 60,
        "grows_percent": 10,
        "refused_percent": 20,
        "slower_ratio": 1.5,
        "ledger": ["postgres"],
        "writes_per_s": 1,
    }
)


def test_the_same_seed_draws_the_same_turns_and_another_does_not() -> None:
    first, again, other = (list(islice(drawn(SOAK, ("a", "b"), n), 50)) for n in (7, 7, 8))
    assert first == again
    assert first != other


def test_turns_are_within_what_was_declared() -> None:
    turns = list(islice(drawn(SOAK, ("a", "b"), 1), 500))
    assert {turn.machine for turn in turns} == {"a", "b"}
    assert all(10 <= turn.pause_s <= 20 for turn in turns)
    often = [turn for turn in turns if turn.fault == "often"]
    assert 0.85 < len(often) / len(turns) < 0.95
    assert all(1 <= turn.hold_s <= 2 for turn in often)
    assert all(it.parameters == {"percent": 3} for it in turns if it.fault == "seldom")


def test_a_turn_comes_back_from_json_unchanged() -> None:
    (turn,) = islice(drawn(SOAK, ("a",), 3), 1)
    assert Turn.model_validate_json(turn.model_dump_json()) == turn


def test_the_soak_of_the_project_draws_from_faults_that_exist() -> None:
    assert {chance.fault for chance in load_soak().faults} <= set(FAULTS)


@given(st.sets(st.integers(0, 40), min_size=1, max_size=4), st.integers(41, 60))
def test_shrinking_finds_exactly_what_makes_it_fail(culprits: set[int], number: int) -> None:
    asked: list[Sequence[int]] = []

    def fails(items: Sequence[int]) -> bool:
        asked.append(items)
        return culprits <= set(items)

    assert set(shrunk(range(number), fails)) == culprits
    assert len(asked) < number**2


def test_one_turn_is_as_small_as_it_gets() -> None:
    assert shrunk([5], lambda _: pytest.fail("asked about nothing")) == [5]


@pytest.mark.parametrize(
    ("text", "number"), [("8h", 28800), ("90m", 5400), ("1h30m", 5400), ("45s", 45), ("0.5h", 1800)]
)
def test_a_duration_is_read(text: str, number: float) -> None:
    assert seconds(text) == number


@pytest.mark.parametrize("text", ["", "8", "8 h", "h", "8h!", "-1h"])
def test_what_is_no_duration_is_told(text: str) -> None:
    with pytest.raises(ConfigError, match="is no duration"):
        seconds(text)


@pytest.mark.parametrize("text", ["0s", "0h", "0h0m0.0s", "", "8", "-1h", "1d", "1 h", "h"])
def test_a_soak_of_no_time_is_a_usage_error(text: str) -> None:
    with pytest.raises(ConfigError, match=r"lasts no time|is no duration"):
        seconds(text)


@given(hours=st.integers(0, 99), minutes=st.integers(0, 999), rest=st.integers(1, 9999))
def test_a_duration_is_the_sum_of_its_parts(hours: int, minutes: int, rest: int) -> None:
    assert seconds(f"{hours}h{minutes}m{rest}s") == hours * 3600 + minutes * 60 + rest
