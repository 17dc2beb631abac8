"""Guards on the lab: REFUSED at once, with the reason, and nothing is touched."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

from harness.core.model import Exit
from harness.core.waiting import until
from harness.tests.lab.forked import cutover
from harness.tests.lab.lived import as_before, traces
from harness.tests.lab.world import World

# No steady state is waited for that cannot come; a loaded computer starts slowly.
_AT_ONCE_S = 60.0


def refused(world: World, words: Sequence[str]) -> tuple[str, float]:
    """The reason for a drill's refusal, and after how many seconds."""
    before = [traces(world, node) for node in world.lab.nodes]
    began = time.monotonic()
    done = cutover(
        ["drill", *words, "--json", "--allow-disruption", f"--cluster={world.lab.name}"], 300
    )
    took_s = time.monotonic() - began
    assert done.returncode == Exit.REFUSED, (done.stdout, done.stderr)
    verdict = json.loads(done.stdout)
    assert verdict["decision"] == "REFUSED"
    assert verdict["faults"] == []
    for node, as_it_was in zip(world.lab.nodes, before, strict=True):
        as_before(world, node, as_it_was)
    return str(verdict["requirements"][0]["reason"]), took_s


def test_a_drill_that_a_lost_monitor_forbids_is_refused_with_the_sums_at_once(
    world: World,
) -> None:
    unit = f"ceph-mon@{world.one.name}"
    world.do(world.one, "systemctl", "stop", unit)
    try:
        until(
            lambda: len(in_quorum(world)) == len(world.lab.nodes) - 1,
            within_s=60,
            what="the monitor is missed",
        )
        reason, took_s = refused(world, ["lose-monitor", f"--machine={world.two.name}"])
    finally:
        world.do(world.one, "systemctl", "start", unit)
    assert "monitors in quorum: 2 − 1 = 1, 2 needed" in reason
    assert took_s <= _AT_ONCE_S


def in_quorum(world: World) -> Sequence[str]:
    asked = ("ceph", "--connect-timeout", "5", "quorum_status", "--format=json")
    told = world.do(world.two, *asked, check=False)
    names: Sequence[str] = json.loads(told)["quorum_names"] if told else []
    return names


def test_a_machine_without_systemd_run_is_refused_by_that_name(world: World) -> None:
    program = "/usr/bin/systemd-run"
    world.do(world.two, "mv", program, f"{program}.away")
    try:
        reason, took_s = refused(world, ["lose-monitor", f"--machine={world.two.name}"])
    finally:
        world.do(world.two, "mv", f"{program}.away", program)
    assert f"{world.two.name} cannot keep the undo, it has no systemd-run" in reason
    assert took_s <= _AT_ONCE_S


def test_losing_the_only_manager_of_the_swarm_is_refused_with_the_sums(world: World) -> None:
    reason, _ = refused(world, ["lose-manager"])
    assert "Swarm managers that are reachable: 1 − 1 = 0, 1 needed: TOO FEW" in reason
    assert "set `accept_swarm_loss`" in reason
