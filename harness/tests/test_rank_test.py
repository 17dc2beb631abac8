"""The rank test of two platforms: its p-values, its false alarms, and what it finds."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from math import inf
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.checks.rank_test import LEVEL, judge, p_value
from harness.core.model import Outcome

_TIMES = st.lists(st.floats(1, 1000), min_size=2, max_size=5)
_BOUND = 1.2


def outcomes(ratio: float, scatter: float, *, runs: int = 5) -> Counter[Outcome]:
    """What one of two tests says of a platform that is ``ratio`` times as slow, in percent."""
    draw = Random(f"{ratio} {scatter} {runs}")

    def platform(slower: float) -> list[float]:
        return [slower * draw.lognormvariate(0, scatter) for _ in range(runs)]

    times = 400
    told = Counter(judge(platform(1), platform(ratio), _BOUND, tests=2)[1] for _ in range(times))
    return Counter({outcome: 100 * many // times for outcome, many in told.items()})


@given(_TIMES, _TIMES)
def test_the_p_value_counts_the_divisions_of_ranks_as_the_definition_says(
    low: list[float], high: list[float]
) -> None:
    """By the number of pairs that are in order (Mann and Whitney's U), not by sums of ranks."""

    def u(first: list[float], second: list[float]) -> float:
        return sum((a > b) + (a == b) / 2 for a in first for b in second)

    together = [*low, *high]
    places = set(range(len(together)))
    divided = [
        u([together[it] for it in some], [together[it] for it in sorted(places - set(some))])
        for some in combinations(range(len(together)), len(low))
    ]
    expected = sum(it <= u(low, high) for it in divided) / len(divided)
    assert p_value(low, high) == pytest.approx(expected)


def test_a_published_table_is_met() -> None:
    """Mann and Whitney (1947), table I: P(U ≤ 2) is 0.016 and P(U ≤ 4) is 0.048 for 5 and 5."""
    assert p_value([1, 2, 3, 4, 7], [5, 6, 8, 9, 10]) == pytest.approx(0.016, abs=5e-4)
    assert p_value([1, 2, 3, 4, 9], [5, 6, 7, 8, 10]) == pytest.approx(0.048, abs=5e-4)


@given(st.lists(st.floats(1, 1000), min_size=4, max_size=5), st.floats(0.1, 10))
def test_a_unit_of_time_changes_nothing(times: list[float], unit: float) -> None:
    slower = [1.3 * it for it in times]
    both = judge(times, slower, _BOUND, tests=2)
    scaled = judge([unit * it for it in times], [unit * it for it in slower], _BOUND, tests=2)
    assert scaled[0] == pytest.approx(both[0])


@given(st.lists(st.floats(1, 1000), min_size=1, max_size=3), _TIMES)
def test_fewer_than_four_runs_prove_nothing(few: list[float], others: list[float]) -> None:
    assert judge(few, others, _BOUND, tests=2)[1] is Outcome.NOT_PROVEN
    assert judge(others, few, _BOUND, tests=2)[1] is Outcome.NOT_PROVEN


@pytest.mark.parametrize("scatter", [0.01, 0.05, 0.2, 1.0])
@pytest.mark.parametrize("ratio", [0.8, 1.0, _BOUND])
def test_noise_is_no_regression(ratio: float, scatter: float) -> None:
    """Half the level for each of the two tests; as slow as is allowed is no regression, too."""
    assert outcomes(ratio, scatter)[Outcome.FAIL] <= 100 * LEVEL


@pytest.mark.parametrize("scatter", [0.01, 0.05, 0.2, 1.0])
@pytest.mark.parametrize("ratio", [_BOUND, 1.3])
def test_a_slower_platform_does_not_pass(ratio: float, scatter: float) -> None:
    """Four hundred simulations scatter by 1.1 % around the level."""
    assert outcomes(ratio, scatter)[Outcome.PASS] <= 100 * LEVEL + 3


@pytest.mark.parametrize(("scatter", "percent"), [(0.02, 97), (0.03, 85), (0.05, 40)])
def test_a_platform_that_is_1_3_times_slower_is_found(scatter: float, percent: int) -> None:
    assert outcomes(1.3, scatter)[Outcome.FAIL] >= percent


@pytest.mark.parametrize(("scatter", "percent"), [(0.02, 99), (0.05, 97), (0.1, 75)])
def test_an_equal_platform_is_proven_in_spite_of_noise(scatter: float, percent: int) -> None:
    assert outcomes(1.0, scatter)[Outcome.PASS] >= percent


def test_runs_without_a_percentile_are_slower_than_any_other() -> None:
    old = [100.0, 101, 102, 103, 104]
    ratio, outcome = judge(old, [inf] * 5, _BOUND, tests=2)
    assert (ratio, outcome) == (inf, Outcome.FAIL)
