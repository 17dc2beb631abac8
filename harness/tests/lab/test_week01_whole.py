"""A whole lab is green: before any defect, and after the undo of all of them."""

from __future__ import annotations

from harness.core.model import Exit
from harness.tests.lab.forked import by_hand
from harness.tests.lab.world import World

BUILT = (
    *("W1-NODES", "W1-HOST", "W1-ETCD", "W1-SNAPSHOT", "W1-API", "W1-NETWORK", "W1-SWARM"),
    *("W3-DISK", "W3-CEPH", "W3-CAPACITY"),
)


def test_a_whole_lab_is_green(world: World) -> None:
    ruling = world.gate(*BUILT, run=by_hand)
    assert {r: ruling.reason(r) for r in BUILT if ruling.outcome(r) != "pass"} == {}
    assert ruling.status == Exit.GO
    assert ruling["W1-SNAPSHOT"]["measured"]["keys_count"] > 100
    assert ruling["W1-SWARM"]["measured"]["missing_tasks_count"] == 0
