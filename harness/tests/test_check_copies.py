"""What keeps copies apart, and what is left when a machine is lost: rules and arithmetic."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.checks.ceph_data import failure_domain
from harness.core.model import Outcome
from harness.facts.ceph import CrushStep
from harness.facts.schema import read
from harness.tests.ceph_seen import BY_HOST, BY_OSD, DOMAIN, LOSS, item, items, judge, rule, steps
from harness.tests.clean_case import Seen, clean

# --- rules --------------------------------------------------------------------------------------


def _domain(made: list[dict[str, Any]]) -> str:
    return failure_domain(read(tuple[CrushStep, ...], made))


@pytest.mark.parametrize(
    ("made", "domain"),
    [
        (BY_HOST, "host"),
        (steps(("chooseleaf_indep", 0, "rack")), "rack"),
        (BY_OSD, "osd"),
        (steps(("choose_firstn", 3, "host"), ("choose_firstn", 1, "osd")), "host"),
        (steps(("choose_firstn", 2, "host"), ("choose_firstn", 2, "osd")), "osd"),
        (steps(("choose_firstn", 2, "rack"), ("chooseleaf_firstn", 2, "host")), "host"),
        (steps(("choose_firstn", 1, "rack"), ("chooseleaf_firstn", 0, "host")), "host"),
        (steps(("choosemsr", 3, "host"), ("choosemsr", 1, "osd")), "host"),
        (
            [{"op": "set_chooseleaf_tries", "num": 5}, *steps(("chooseleaf_firstn", 0, "host"))],
            "host",
        ),
        (
            [*steps(("chooseleaf_firstn", 1, "host")), *steps(("chooseleaf_firstn", -1, "host"))],
            "none",
        ),
    ],
)
def test_the_failure_domain_is_what_the_last_choice_of_several_is_of(
    made: list[dict[str, Any]], domain: str
) -> None:
    assert _domain(made) == domain


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from(["rack", "host", "osd"]), st.integers(0, 3)), max_size=4))
def test_several_copies_of_one_host_are_never_taken_for_separate(
    chain: list[tuple[str, int]],
) -> None:
    made = steps(*(("choose_firstn", number, kind) for kind, number in chain))
    several = [kind for kind, number in chain if number != 1]
    if not several:
        with pytest.raises(ValueError, match="one place"):
            _domain(made)
    elif several[-1] == "osd":
        assert _domain(made) == "osd"
    else:
        assert _domain(made) in ("host", "rack")


@pytest.mark.parametrize("kind", ["chooseleaf_firstn", "chooseleaf_indep"])
def test_a_domain_above_the_host_separates_hosts_too(kind: str) -> None:
    seen = clean()
    rule(*steps((kind, 0, "rack")))(seen)
    assert judge(DOMAIN, seen).outcome is Outcome.PASS


# --- a machine is lost --------------------------------------------------------------------------


def hosts_of(seen: Seen, *used_gb: float) -> None:
    """As many machines of one 100 GB disk each, filled so far; three copies on hosts."""
    tree = {f"h{n}": [{"id": n, "up": True, "in": True}] for n in range(len(used_gb))}
    item("osd tree", {"hosts": tree, "stray": []})(seen)
    use = {
        str(n): {"bytes": 100e9, "used_bytes": gb * 1e9, "weight": 0.1}
        for n, gb in enumerate(used_gb)
    }
    item("osd use", use)(seen)


def after_loss(seen: Seen) -> float:
    return judge(LOSS, seen).measured["used_after_loss_percent"]


def test_with_three_machines_and_three_copies_nothing_moves() -> None:
    seen = clean()
    hosts_of(seen, 60, 60, 60)
    assert after_loss(seen) == pytest.approx(60)


def test_with_four_machines_the_lost_data_is_written_again_on_the_others() -> None:
    seen = clean()
    hosts_of(seen, 60, 60, 60, 60)
    assert after_loss(seen) == pytest.approx(80)
    hosts_of(seen, 66, 66, 66, 66)
    assert judge(LOSS, seen).outcome is Outcome.FAIL


def test_two_copies_on_three_machines_move_too() -> None:
    seen = clean()
    for one in items(seen)["osd map"]["value"]["pools"]:
        one["size"] = 2
    hosts_of(seen, 40, 40, 40)
    assert after_loss(seen) == pytest.approx(60)


def test_with_copies_on_one_machine_the_others_take_all_of_it() -> None:
    seen = clean()
    rule(*BY_OSD)(seen)
    tree = {"a": [0, 1], "b": [2, 3]}
    osds = {h: [{"id": n, "up": True, "in": True} for n in ids] for h, ids in tree.items()}
    hosts_of(seen, 30, 30, 30, 30)
    item("osd tree", {"hosts": osds, "stray": []})(seen)
    for one in items(seen)["osd map"]["value"]["pools"]:
        one["size"] = 2
    assert after_loss(seen) == pytest.approx(60)


def test_an_osd_that_is_out_takes_nothing() -> None:
    seen = clean()
    hosts_of(seen, 60, 60, 60, 60)
    items(seen)["osd tree"]["value"]["hosts"]["h3"][0]["in"] = False
    assert after_loss(seen) == pytest.approx(60)


@settings(max_examples=30)
@given(st.lists(st.floats(1, 84), min_size=3, max_size=6))
def test_what_is_left_is_never_reckoned_emptier_than_it_is(used_gb: list[float]) -> None:
    seen = clean()
    hosts_of(seen, *used_gb)
    fullest, moves = after_loss(seen), len(used_gb) > 3
    # Whichever machine is lost, the fullest of the others stays at least as full.
    assert fullest >= sorted(used_gb)[-1] - 1e-9
    assert fullest <= max(used_gb) + (max(used_gb) if moves else 0) + 1e-9
