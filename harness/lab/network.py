"""The lab's own network: a namespace with one bridge, apart from the host's addresses."""

from __future__ import annotations

from pathlib import Path

from harness.lab.host import run
from harness.lab.shape import Lab, Node

BRIDGE = "lab0"


def inside(lab: Lab) -> list[str]:
    """Words that run the following command inside the lab's network.

    Not ``ip netns exec``: that mounts a new /sys, which hides the control groups.
    """
    return ["nsenter", f"--net=/run/netns/{lab.label}", "--"]


def exists(lab: Lab) -> bool:
    return Path(f"/run/netns/{lab.label}").exists()


def up(lab: Lab, log: Path) -> None:
    """Make the namespace and its bridge; an existing one is completed."""
    if not exists(lab):
        run(["ip", "netns", "add", lab.label], log=log)
    batch = ["ip", "-n", lab.label]
    run([*batch, "link", "set", "lo", "up"], log=log)
    run([*batch, "link", "add", BRIDGE, "type", "bridge"], log=log, check=False)
    run([*batch, "address", "replace", str(lab.shape.address), "dev", BRIDGE], log=log)
    ipv6 = str(lab.shape.ipv6_address)
    run([*batch, "address", "replace", ipv6, "dev", BRIDGE, "nodad"], log=log)
    run([*batch, "link", "set", BRIDGE, "up"], log=log)


def forget(lab: Lab, node: Node, log: Path) -> None:
    """Remove the machine's end of its cable, which the kernel keeps a while after a power loss."""
    run(["ip", "-n", lab.label, "link", "delete", f"vb-{node.name}"], log=log, check=False)


def down(lab: Lab, log: Path) -> None:
    """Remove the namespace and everything in it."""
    if exists(lab):
        run(["ip", "netns", "delete", lab.label], log=log)
