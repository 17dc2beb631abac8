"""Power cuts: what a machine must take back by itself when it boots without its network."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager

from harness.core.waiting import until
from harness.faults.undo_store import AGENT
from harness.lab import host
from harness.lab.machines import init
from harness.lab.shape import Node
from harness.tests.lab.world import World

_ID = "1ate"


@contextmanager
def with_an_undo(world: World, node: Node) -> Iterator[None]:
    """An undo is armed on the machine that needs the network; afterwards it has run by itself."""
    neighbour = world.lab.nodes[node.index - 2]
    needs_network = ["ping", "-c", "1", "-W", "1", neighbour.address]
    entry = {"id": _ID, "commands": [needs_network], "lease_s": 600.0, "within_s": 10.0}
    ask = ("python3", "-I", "-S", "-", "arm", json.dumps(entry))
    assert "error" not in json.loads(world.do(node, *ask, stdin=AGENT.text))
    yield
    kept = node.root / f"var/lib/cutover-faults/{_ID}"
    until(lambda: not kept.exists(), within_s=90, what="it is taken back")
    assert not (node.root / "etc/systemd/system/cutover-heal.service").exists()


def boot_before_its_network(world: World, node: Node) -> None:
    """A machine that gets its power back has its network once the armed undo has missed it."""
    until(
        lambda: init(world.lab, node) is not None,
        within_s=60,
        every_s=0.1,
        what=f"{node.name} has its power back",
    )
    cable = ["ip", "-n", world.lab.label, "link", "set", f"vb-{node.name}"]
    host.run([*cable, "down"], log=world.log)
    waits = "systemctl list-jobs --no-legend; systemctl show --property=NRestarts cutover-heal"
    until(
        lambda: re.search(
            "cutover-heal.* waiting|NRestarts=[1-9]",
            world.do(node, "sh", "-c", waits, check=False),
        ),
        within_s=120,
        what="the undo has failed, or waits for the network",
    )
    assert (node.root / f"var/lib/cutover-faults/{_ID}/undo").exists()
    host.run([*cable, "up"], log=world.log)
