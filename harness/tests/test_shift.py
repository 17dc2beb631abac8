"""The move of the traffic: its steps, its ways back, and what a killed harness leaves."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.checks import CHECKS
from harness.core.errors import Garbled
from harness.core.interrupts import BY_HAND
from harness.core.model import Outcome, Verdict
from harness.facts.schema import dump, read
from harness.facts.shift import SHIFT, Quality, Shift
from harness.move.shift import Order
from harness.tests.clean_case import case, clean
from harness.tests.clean_cluster import CLUSTER
from harness.tests.fake_front import FakeVisitors, Killed, World

ALL = (10, 50, 100)
STAYS = Order(shares=ALL, rehearsal=False, agreed="R. Winter")
REHEARSAL = Order(shares=ALL, rehearsal=True)
GOOD = "the new platform answers as well as the old one at every step"
BACK = "the share comes back in time from every step"


def judged(check: str, moved: Shift) -> Verdict:
    return CHECKS[check](case(clean() | {"shift": {CLUSTER.name: dump(moved)}}))


def test_good_steps_are_taken_in_order_and_the_last_share_stays() -> None:
    world = World()
    moved = world.mover(STAYS).move()
    assert (world.share, moved.left, moved.stopped) == (100, 100, None)
    assert [step.quality for step in moved.steps] == [Quality.GOOD] * 3
    assert moved.no_return.agreed == "R. Winter"
    assert world.armed is None
    assert judged(GOOD, moved).outcome is Outcome.PASS


def test_what_is_observed_comes_back_from_the_journal() -> None:
    moved = World().mover(REHEARSAL).move()
    assert read(SHIFT.kind, dump(moved)) == moved


def test_a_rehearsal_comes_back_from_every_step_and_leaves_the_share_as_it_was() -> None:
    world = World()
    moved = world.mover(REHEARSAL).move()
    assert world.share == 0
    assert [(it.from_share, it.to_share) for it in moved.returns] == [(100, 0), (50, 0), (10, 0)]
    assert world.was_set == [0, 10, 50, 100, 0, 50, 0, 10, 0, 0]
    assert judged(BACK, moved).outcome is Outcome.PASS
    armed = {share for share, event in world.events if event["event"] == "armed"}
    assert armed == {0}


@pytest.mark.parametrize("dead", [False, True])
def test_a_defect_at_half_goes_back_to_the_last_good_share_before_anything_else(
    dead: bool,
) -> None:
    world = World(sick_at=50, dead=dead)
    moved = world.mover(STAYS).move()
    assert world.share == 10
    (back,) = moved.returns
    assert (back.from_share, back.to_share) == (50, 10)
    assert back.set_s is not None
    assert back.first_error_s is not None
    assert back.after is not None
    assert not back.after.front.errors_at
    verdict = judged(GOOD, moved)
    assert verdict.outcome is Outcome.FAIL
    assert "10 % was back" in verdict.reason


def test_a_sick_step_fails_also_where_the_ledger_is_silent_by_then() -> None:
    world = World(sick_at=10)
    mover = world.mover(STAYS)
    mover.trouble = lambda: "no write of bank was acknowledged for 31 s" if world.share else None
    moved = mover.move()
    assert (world.share, moved.steps[-1].quality) == (0, Quality.SICK)
    assert judged(GOOD, moved).outcome is Outcome.FAIL


def test_a_harness_that_stood_still_itself_goes_back_and_blames_nobody() -> None:
    world = World(sick_at=50, stall_s=1.5)
    moved = world.mover(STAYS).move()
    assert world.share == 10
    verdict = judged(GOOD, moved)
    assert verdict.outcome is Outcome.NOT_PROVEN
    assert "the harness itself stood still for 1.5 s" in verdict.reason


def test_a_slow_step_goes_back() -> None:
    world = World(slow=True)
    moved = world.mover(STAYS).move()
    assert (world.share, moved.steps[0].quality) == (0, Quality.SLOW)
    assert judged(GOOD, moved).outcome is Outcome.FAIL


def test_an_old_platform_that_fails_itself_lets_nothing_begin() -> None:
    world = World(source_fails=True)
    moved = world.mover(STAYS).move()
    assert (world.share, moved.steps) == (0, ())
    assert moved.stopped is not None
    assert moved.stopped.startswith("nothing was changed: the old platform failed itself")
    assert judged(GOOD, moved).outcome is Outcome.NOT_PROVEN


def test_a_front_that_does_not_follow_is_not_proven_and_goes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("harness.move.evidence._FOLLOWS_WITHIN_S", 0.0)
    world = World(stuck=True)
    moved = world.mover(STAYS).move()
    assert world.was_set == [0, 10, 0, 0]
    (step,) = moved.steps
    assert (step.quality, step.shown_s) == (Quality.UNDECIDED, None)
    assert "the share did not show: 0 of " in step.says


def test_a_share_that_a_part_of_the_front_follows_is_not_proven_and_goes_back() -> None:
    """Of two instances of Traefik, one may not see the new file: some answers show the share."""
    world = World(lags=0.8)
    moved = world.mover(STAYS).move()
    assert 100 not in world.was_set
    assert moved.steps[-1].quality is Quality.UNDECIDED
    assert "the share did not show: " in moved.steps[-1].says
    (back,) = moved.returns
    assert (back.from_share, world.share) == (50, back.to_share)


def test_without_agreement_the_last_step_is_not_taken() -> None:
    world = World()
    moved = world.mover(Order(shares=ALL, rehearsal=False)).move()
    assert world.share == 50
    assert moved.stopped is not None
    assert "no operator agreed" in moved.stopped
    assert 100 not in world.was_set


def test_a_way_back_that_would_not_work_stops_before_the_point_of_no_return() -> None:
    world = World(missing={"/mnt/cephfs is writable on one": "read-only"})
    moved = world.mover(REHEARSAL).move()
    assert 100 not in world.was_set
    assert world.share == 0
    assert moved.no_return.needs["/mnt/cephfs is writable on one"] == "read-only"
    assert judged("what the way back needs is there", moved).outcome is Outcome.FAIL


def test_who_agreed_is_recorded_with_what_was_looked_at() -> None:
    world = World()
    world.mover(STAYS).move()
    (agreed,) = [(share, it) for share, it in world.events if it["event"] == "agreed"]
    assert agreed == (
        100,
        {"event": "agreed", "by": "R. Winter", "needs": {"the registry answers": ""}},
    )


def test_a_lost_lock_stops_the_move_at_the_safe_share() -> None:
    world = World()
    mover = world.mover(STAYS)
    mover.give_up("another harness holds the Lease")
    moved = mover.move()
    assert (world.share, moved.stopped) == (0, "another harness holds the Lease")


def test_a_lost_lock_raises_no_share_again_for_the_rest_of_a_rehearsal() -> None:
    world = World()
    mover = world.mover(REHEARSAL)
    record = mover.parts.record

    def loses(share: int, event: Any) -> None:
        record(share, event)
        if event["event"] == "back":
            mover.give_up("another harness holds the Lease")

    object.__setattr__(mover.parts, "record", loses)
    moved = mover.move()
    assert world.was_set == [0, 10, 50, 100, 0, 0]
    assert (world.share, moved.stopped) == (0, "another harness holds the Lease")
    assert judged(BACK, moved).outcome is Outcome.NOT_PROVEN


def test_a_lease_that_ended_stops_the_move() -> None:
    world = World()
    mover = world.mover(STAYS)
    mover.parts.way_back.is_lost = True
    moved = mover.move()
    assert moved.stopped is not None
    assert "by itself" in moved.stopped
    assert world.share == 0


@pytest.mark.parametrize(("order", "taken"), [(STAYS, 1), (REHEARSAL, 3)])
def test_a_visitor_who_is_logged_out_ends_a_move_but_no_rehearsal(order: Order, taken: int) -> None:
    world = World()
    mover = world.mover(order)
    mover.visitors = FakeVisitors(lost={"visitor 2": "at 10 %: status 401"})
    moved = mover.move()
    assert (world.share, len(moved.steps)) == (0, taken)
    expected = "10 %: visitor 2 was logged out at 10 %: status 401"
    assert moved.stopped == (expected if taken == 1 else None)


def test_no_step_is_taken_once_the_machine_has_gone_back_by_itself() -> None:
    world = World()
    mover = world.mover(REHEARSAL)
    record = mover.parts.record

    def expires(share: int, event: Any) -> None:
        record(share, event)
        if (share, event["event"]) == (10, "judged"):
            world.expire()  # no renewal has come since

    object.__setattr__(mover.parts, "record", expires)
    moved = mover.move()
    assert 50 not in world.was_set
    assert moved.stopped is not None
    assert "set the safe share by itself" in moved.stopped
    assert world.share == 0


def test_a_new_safe_share_whose_arming_was_not_confirmed_does_not_come_back_at_the_end() -> None:
    world = World(unheard=frozenset({50}))
    moved = world.mover(STAYS).move()
    (back,) = moved.returns
    assert (back.from_share, back.to_share) == (50, 10)
    assert (world.share, moved.left) == (10, 10)
    assert world.armed is None


def test_ctrl_c_goes_back_to_the_safe_share() -> None:
    world = World(share=10)
    mover = world.mover(Order(shares=(50, 100), rehearsal=False, agreed="R. Winter"))
    stops = [KeyboardInterrupt()]

    def interrupted(share: int) -> None:
        world.follow(share)
        if share == 100 and stops:
            raise stops.pop()

    world.set = interrupted  # type: ignore[method-assign]
    moved = mover.move()
    assert (world.share, moved.by_hand, moved.stopped) == (50, True, BY_HAND)


def test_ctrl_c_while_going_back_does_not_bring_the_share_forth_again() -> None:
    world = World(share=50)
    mover = world.mover(Order(shares=(0,), rehearsal=False))
    stops = [KeyboardInterrupt()]

    def interrupted(share: int) -> None:
        world.follow(share)
        if stops:
            raise stops.pop()

    world.set = interrupted  # type: ignore[method-assign]
    moved = mover.move()
    assert (world.share, moved.by_hand) == (0, True)


def test_commands_that_fail_are_given_again_on_the_way_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("harness.move.shift._SET_AGAIN_S", 0.01)
    world = World(sick_at=10)
    mover = world.mover(STAYS)
    record = mover.parts.record

    def deaf_once(share: int, event: Any) -> None:
        world.deaf = 3 if event["event"] == "judged" else world.deaf
        record(share, event)

    object.__setattr__(mover.parts, "record", deaf_once)
    moved = mover.move()
    assert world.share == 0
    assert moved.returns[0].set_s is not None


def test_going_back_alone_needs_no_judgement_of_the_present() -> None:
    world = World(share=50, sick_at=1)
    mover = world.mover(Order(shares=(0,), rehearsal=False))
    mover.visitors = FakeVisitors(behind=("visitor 2",))
    moved = mover.move()
    assert (world.share, moved.before, moved.steps) == (0, None, ())
    assert moved.no_return.needs == {"the registry answers": ""}
    assert moved.returns[0].left_behind == ("visitor 2",)
    assert judged(BACK, moved).outcome is Outcome.FAIL


def test_visitors_who_get_no_answer_any_more_do_not_prove_the_way_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A sticky cookie leads one to the new platform, which is dead: it never serves it again."""
    monkeypatch.setattr("harness.move.shift._SERVED_WITHIN_S", 0.0)
    mover = World().mover(Order(shares=(10,), rehearsal=True))
    mover.visitors = FakeVisitors(silent=("visitor 2",))
    moved = mover.move()
    assert [it.unserved for it in moved.returns] == [("visitor 2",)]
    assert judged(BACK, moved).outcome is Outcome.NOT_PROVEN


def test_a_share_that_is_there_already_is_not_taken_again() -> None:
    world = World(share=50)
    moved = world.mover(STAYS).move()
    assert moved.stopped is not None
    assert moved.stopped.startswith("the share is 50 % already")
    assert set(world.was_set) == {50}


def test_a_front_that_cannot_be_read_changes_nothing() -> None:
    world = World()

    def unreadable() -> int:
        raise Garbled("expected a share from 0 to 100, seen ''")

    world.read = unreadable  # type: ignore[method-assign]
    with pytest.raises(Garbled):
        world.mover(STAYS).move()
    assert (world.was_set, world.armed) == ([], None)


@settings(max_examples=150, deadline=None)
@given(
    killed_at=st.integers(0, 60),
    sick_at=st.sampled_from([10, 50, 100, 101]),
    dead=st.booleans(),
    rehearsal=st.booleans(),
)
def test_a_harness_killed_anywhere_leaves_the_last_safe_share(
    killed_at: int, sick_at: int, dead: bool, rehearsal: bool
) -> None:
    world = World(sick_at=sick_at, dead=dead, calls_left=killed_at)
    with suppress(Killed):
        world.mover(REHEARSAL if rehearsal else STAYS).move()
    world.expire()
    good = [share for share in ALL if share < sick_at]
    armed = [share for share, event in world.events if event["event"] == "armed"]
    assert world.share in [0, *good]
    assert world.share in armed[-2:] or not armed
    if rehearsal:
        assert world.share == 0
