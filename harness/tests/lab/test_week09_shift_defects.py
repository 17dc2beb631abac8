"""Defects that a move of the traffic must find, each by going back."""

from __future__ import annotations

import pytest

from harness.tests.lab.red import says
from harness.tests.lab.shifting import AGREES, DOUBLES, FORGETS, PER_S, QUICK, declared, sides
from harness.tests.lab.world import World


@pytest.mark.defect("the new platform answers as well as the old one at every step")
def test_a_defect_that_appears_at_half_goes_back_by_itself_and_loses_nothing(
    world: World,
) -> None:
    with sides(world, most=PER_S // 4) as moving:
        ruling = moving.shift(*AGREES)
        says(ruling, "W9-SHIFT", "50 %: expected at most 1.00% failures", "10 % was back after")
        assert moving.share == 10
        moved = moving.moved(ruling)
        assert {"shift/front", "shift/vmi2887102/postgres"} == moved["ledger"].keys()
        assert sum(it["lost"] for it in moved["ledger"].values()) == 0
        assert moved["returns"][0]["back_s"] < 45


@pytest.mark.defect(
    "no one is logged out on the way",
    "the share comes back in time from every step",
    "what the way back needs is there",
    "the point of no return is not passed unasked",
    "the move makes no write twice",
)
def test_lost_sessions_doubled_writes_a_slow_way_back_and_a_missing_need_are_found(
    world: World,
) -> None:
    with sides(world, most=10**6) as moving:
        world.do(world.three, "touch", FORGETS, DOUBLES)
        numbers = {"machine": "vmi2887101", "count": ["date", "+%s"]}
        profile = moving.profile(
            targets="  W9-ROLLBACK:\n    back_s: {number: 0.01, because: it is a seeded defect}\n",
            steps=[50, 100],
            ledger=QUICK,
            no_return={"counts": {"first invoice": numbers}, "needs": {"writable": ["/proc"]}},
        )
        ruling = world.gate("W9-SHIFT", "W9-ROLLBACK", cluster=profile, disrupt=True, within_s=600)
        says(ruling, "W9-SHIFT", "logged out at 50 %: status 401", "expected each write once, seen")
        says(
            ruling,
            "W9-ROLLBACK",
            "50 %: expected 0 % back within 0.01 s",
            "/proc is writable on vmi2887101: cannot write there",
            "first invoice: expected none on the way",
        )
        assert moving.share == 0


@pytest.mark.defect("every step has the share that was set")
def test_a_front_that_does_not_take_the_share_is_found(world: World) -> None:
    with sides(world, most=10**6) as moving:
        front = declared(world)["front"] | {"set": ["echo", "{share}"]}
        ruling = moving.shift("--to", "10", front=front, ledger=QUICK)
        says(ruling, "W9-SHIFT", "10 %: the front reads 0 % after 10 % was set")
        assert moving.share == 0
