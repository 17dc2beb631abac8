"""Power cuts: the undo that a machine runs by itself when it boots without its network."""

from __future__ import annotations

import json
import re

from harness.faults.undo_store import AGENT
from harness.lab import host, machines
from harness.lab.shape import Node
from harness.tests.lab.world import World
from harness.waiting import until

_ID = "1ate"


def arm_an_undo(world: World, node: Node) -> None:
    """Arm an undo that needs the network on the machine."""
    neighbour = world.lab.nodes[node.index - 2]
    needs_network = ["ping", "-c", "1", "-W", "1", neighbour.address]
    entry = {"id": _ID, "commands": [needs_network], "lease_s": 600.0, "within_s": 10.0}
    ask = ("python3", "-I", "-S", "-", "arm", json.dumps(entry))
    assert "error" not in json.loads(world.do(node, *ask, stdin=AGENT.text))


def undo_has_run(world: World, node: Node) -> None:
    """Wait until the machine has run its undo by itself, and no trace is left."""
    world.power_on(node)
    kept = node.root / f"var/lib/cutover-faults/{_ID}"
    until(lambda: not kept.exists(), within_s=30, what="it is taken back")
    assert not (node.root / "etc/systemd/system/cutover-heal.service").exists()


def boot_before_its_network(world: World, node: Node) -> None:
    """Boot the machine, and connect its network after the undo has failed once without it."""
    machines.boot(world.lab, node, world.log)
    cable = ["ip", "-n", world.lab.label, "link", "set", f"vb-{node.name}"]
    host.run([*cable, "down"], log=world.log)
    waits = "systemctl list-jobs --no-legend; systemctl show --property=NRestarts cutover-heal"
    until(
        lambda: re.search(
            "cutover-heal.* waiting|NRestarts=[1-9]",
            world.do(node, "sh", "-c", waits, check=False),
        ),
        within_s=60,
        what="the undo has failed, or waits for the network",
    )
    assert (node.root / f"var/lib/cutover-faults/{_ID}/undo").exists()
    host.run([*cable, "up"], log=world.log)
