"""The sequential test: its bounds, what it decides, and how often it is wrong."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from harness.core.sprt import Health, Sprt

TEST = Sprt(p0=0.001, p1=0.01, alpha=0.01, beta=0.01, most=20_000)
RUNS = 1000
# Wald's bounds keep α / (1 - β); three standard deviations of that rate in a thousand runs.
MOST_WRONG = 20
TESTS = st.builds(
    lambda p0, ratio, alpha, beta: Sprt(
        p0=p0, p1=min(0.49, p0 * ratio), alpha=alpha, beta=beta, most=20_000
    ),
    p0=st.floats(0.0005, 0.05),
    ratio=st.floats(3, 20),
    alpha=st.floats(0.001, 0.2),
    beta=st.floats(0.001, 0.2),
)


def runs(p: float, seed: int, most: int = 20_000) -> list[Health]:
    """The first decision of each of a thousand sides with this rate of errors."""
    draw = Random(seed)
    return [first(p, draw, most) for _ in range(RUNS)]


def first(p: float, draw: Random, most: int) -> Health:
    errors: set[int] = set()
    answers = 0
    while answers < most:
        errors |= {answers + it for it in range(TEST.least) if draw.random() < p}
        answers += TEST.least
        health, _ = TEST.judge(answers, errors)
        if health is not Health.UNDECIDED:
            return health
    return Health.UNDECIDED


def test_a_thousand_healthy_sides_are_called_sick_about_as_rarely_as_declared() -> None:
    found = runs(TEST.p0, 1)
    assert found.count(Health.UNDECIDED) == 0
    assert 0 < found.count(Health.SICK) <= MOST_WRONG


def test_a_thousand_sick_sides_are_missed_about_as_rarely_as_declared() -> None:
    found = runs(TEST.p1, 2)
    assert found.count(Health.UNDECIDED) == 0
    assert 0 < found.count(Health.HEALTHY) <= MOST_WRONG


def test_a_side_far_from_both_rates_is_hardly_ever_misjudged() -> None:
    assert runs(TEST.p0 / 10, 3).count(Health.SICK) <= 1
    assert runs(TEST.p1 * 5, 4).count(Health.HEALTHY) == 0


def test_fewer_answers_than_the_least_decide_nothing_and_these_do() -> None:
    assert TEST.least == 508
    assert TEST.judge(507, ()) == (Health.UNDECIDED, 0)
    assert TEST.judge(508, ()) == (Health.HEALTHY, 508)


def test_errors_in_a_row_are_sick_at_once() -> None:
    assert TEST.judge(1, {0}) == (Health.UNDECIDED, 0)
    assert TEST.judge(10, {0, 1}) == (Health.SICK, 2)


def test_one_sick_round_after_healthy_ones_is_sick() -> None:
    errors = {1600, 1601, 1602}
    assert TEST.judge(1600, errors)[0] is Health.HEALTHY
    assert TEST.judge(1700, errors)[0] is Health.SICK


def test_a_round_that_takes_too_many_answers_stays_undecided() -> None:
    short = Sprt(p0=0.001, p1=0.01, alpha=0.01, beta=0.01, most=600)
    assert short.judge(5000, {300})[0] is Health.UNDECIDED


@given(TESTS)
def test_the_least_is_exactly_where_a_flawless_side_becomes_healthy(test: Sprt) -> None:
    assert test.judge(test.least, ())[0] is Health.HEALTHY
    assert test.judge(test.least - 1, ())[0] is Health.UNDECIDED


@given(TESTS, st.sets(st.integers(0, 400)), st.integers(0, 400), st.integers(0, 400))
def test_more_answers_never_heal_a_sick_side(
    test: Sprt, errors: set[int], answers: int, more: int
) -> None:
    health, decided = test.judge(answers, errors)
    if health is Health.SICK:
        assert test.judge(answers + more, errors) == (health, decided)


@given(TESTS, st.integers(1, 400))
def test_a_side_without_errors_is_never_sick_and_one_of_errors_alone_never_healthy(
    test: Sprt, answers: int
) -> None:
    assert test.judge(answers, ())[0] is not Health.SICK
    assert test.judge(answers, range(answers))[0] is not Health.HEALTHY
