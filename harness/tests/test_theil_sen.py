"""The slope of Theil and Sen: right on lines, unmoved by wild points, seldom wrong on noise."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.checks.theil_sen import slope

numbers = st.floats(-1000, 1000, allow_nan=False)


@given(start=numbers, grows=st.floats(-50, 50), many=st.integers(2, 40))
def test_a_line_has_its_own_slope(start: float, grows: float, many: int) -> None:
    found = slope([(float(n), start + grows * n) for n in range(many)])
    assert found is not None
    assert found.middle == pytest.approx(grows, abs=1e-6)
    assert found.least <= found.middle


@given(values=st.lists(numbers, min_size=2, max_size=30), moved=numbers)
def test_a_series_that_is_moved_as_a_whole_has_the_same_slope(
    values: list[float], moved: float
) -> None:
    points = [(float(n), value) for n, value in enumerate(values)]
    one, other = slope(points), slope([(at + 7, value + moved) for at, value in points])
    assert one is not None
    assert other is not None
    assert one.middle == pytest.approx(other.middle, abs=1e-6)


@pytest.mark.parametrize("wild", [-1e9, 1e9])
def test_a_wild_point_does_not_move_it(wild: float) -> None:
    points = [(float(n), 5.0 * n) for n in range(30)]
    points[20] = (20.0, wild)
    found = slope(points)
    assert found is not None
    assert found.middle == pytest.approx(5.0)


def test_one_moment_has_no_slope_and_few_points_prove_none() -> None:
    assert slope([]) is None
    assert slope([(1.0, 5.0), (1.0, 9.0)]) is None
    for many in range(2, 8):
        few = slope([(float(n), 100.0 * n) for n in range(many)])
        assert few is not None
        assert few.least == -math.inf
    enough = slope([(float(n), 100.0 * n) for n in range(8)])
    assert enough is not None
    assert enough.least == pytest.approx(100.0)


def test_noise_seldom_proves_growth_and_a_leak_nearly_always_does() -> None:
    draw = Random(7)
    noise = [[(float(n), draw.gauss(1000, 50)) for n in range(30)] for _ in range(2000)]
    wrong = sum((found := slope(it)) is not None and found.least > 0 for it in noise)
    assert wrong <= 0.002 * len(noise)
    leaks = [[(at, value + 10 * at) for at, value in it] for it in noise[:300]]
    told = sum((found := slope(it)) is not None and found.least > 0 for it in leaks)
    assert told >= 0.99 * len(leaks)
