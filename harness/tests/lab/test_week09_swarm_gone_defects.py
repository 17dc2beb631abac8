"""Seeded defects of W9-SWARM-GONE: the lab's Swarm itself, of which one machine leaves."""

from __future__ import annotations

import pytest

from harness.lab import swarm
from harness.tests.lab.asking import ask
from harness.tests.lab.world import World

GONE = "no machine is in a Swarm"
CLOSED = "no port of Docker listens"


@pytest.mark.defect("no machine is in a Swarm", "no port of Docker listens")
def test_a_swarm_that_runs_is_found_on_each_machine_that_has_not_left_it(world: World) -> None:
    first, last = swarm.manager(world.lab), world.three
    before = ask("lab", "old-platform", GONE, CLOSED)
    for node in world.lab.nodes:
        words = f"{node.name}: expected no node of a Swarm, seen its Docker active in one"
        assert words in before[GONE][1], before
        assert f"{node.name}: expected no port of Docker that listens, seen" in before[CLOSED][1]
    assert "expected no container of a Swarm, seen some of" in before[GONE][1]

    world.do(last, "docker", "swarm", "leave")
    try:
        after = ask("lab", "old-platform", GONE, CLOSED)
    finally:
        swarm.docker(
            world.lab, first, "node", "rm", "--force", last.name, log=world.log, check=False
        )
        swarm.up(world.lab, world.log)
    assert {outcome for outcome, _ in after.values()} == {"fail"}, after
    for _, reason in after.values():
        assert f"{first.name}: " in reason
        assert f"{last.name}: " not in reason, reason
