"""Whole rehearsals over a front that divides by chance and follows late, each with its own seed."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from harness.checks import CHECKS
from harness.core.model import Outcome
from harness.facts.schema import dump
from harness.facts.shift import Shift
from harness.move.shift import Order
from harness.tests.clean_case import case, clean
from harness.tests.clean_cluster import CLUSTER
from harness.tests.simulated_front import Simulated

SHARES = "every step has the share that was set"
GOOD = "the new platform answers as well as the old one at every step"
BACK = "the share comes back in time from every step"


def rehearsed(
    seed: int, monkeypatch: pytest.MonkeyPatch, *shares: int, **world: Any
) -> tuple[Shift, dict[str, Outcome]]:
    """A rehearsal, and what it proves; in simulated time."""
    order = Order(shares=shares, rehearsal=True)
    with monkeypatch.context() as patch:
        moved = Simulated(Random(seed), **world).mover(order, patch).move()
    seen = case(clean() | {"shift": {CLUSTER.name: dump(moved)}})
    return moved, {check: CHECKS[check](seen).outcome for check in (SHARES, GOOD, BACK)}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_good_platforms_prove_all_of_it(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    moved, found = rehearsed(seed, monkeypatch, 1, 5, 50, 100)
    assert set(found.values()) == {Outcome.PASS}, (moved.stopped, moved.returns)


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "from_share"), [(0, 1), (1, 1), (0, 5), (1, 5)])
def test_a_front_that_misses_a_way_back_from_a_small_share_is_never_proven(
    seed: int, from_share: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The third command is the way back from the only step; the first sets what is there."""
    moved, found = rehearsed(seed, monkeypatch, from_share, deaf=frozenset({3}))
    (back,) = moved.returns
    assert (back.back_s, found[BACK]) == (None, Outcome.FAIL)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_an_old_platform_that_fails_as_well_is_not_proven(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails = {"source": 0.1, "target": 0.4}
    _, found = rehearsed(seed, monkeypatch, 50, fails=fails)
    assert found[GOOD] is Outcome.NOT_PROVEN
