"""Shared by seeded defects: a temporary change, and a red verdict."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.core.model import Exit
from harness.lab.shape import Node
from harness.tests.lab.world import Ruling, World


def says(ruling: Ruling, requirement: str, *words: str, outcome: str = "fail") -> None:
    """Assert that the requirement is red, for a reason with these words in it."""
    reason = ruling.reason(requirement)
    assert ruling.outcome(requirement) == outcome, reason
    missing = [word for word in words if word not in reason]
    assert not missing, f"the reason does not say {missing}: {reason}"
    assert ruling.status == (Exit.NO_GO if outcome == "fail" else Exit.NOT_PROVEN)


@contextmanager
def changed(path: Path, content: bytes) -> Iterator[None]:
    """Replace the file's content for a while; its mode and owner stay."""
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(before)


@contextmanager
def beside(world: World, node: Node, *argv: str, unit: str = "beside") -> Iterator[None]:
    """Run a command on the machine while the body runs."""
    world.do(node, "systemd-run", f"--unit={unit}", "--collect", *argv)
    try:
        yield
        assert world.do(node, "systemctl", "is-active", unit, check=False).strip() == "active"
    finally:
        world.do(node, "systemctl", "stop", unit)
