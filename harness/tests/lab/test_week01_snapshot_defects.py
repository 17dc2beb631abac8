"""Seeded defects of W1-SNAPSHOT: snapshots that are old, lie in one place, or are broken."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.tests.lab.red import says
from harness.tests.lab.world import World

OWN = "/var/lib/rancher/rke2/server/db/snapshots"
COPIES = "/mnt/cephfs/etcd-snapshots"
UNIT = "rke2-etcd-snapshot"


@pytest.fixture
def still(world: World) -> Iterator[World]:
    """No new snapshot is taken meanwhile; afterwards each machine takes one."""
    for node in world.lab.nodes:
        world.do(node, "systemctl", "stop", f"{UNIT}.timer")
    try:
        yield world
    finally:
        for node in world.lab.nodes:
            world.do(node, "systemctl", "start", f"{UNIT}.timer", UNIT)


def shell(world: World, script: str) -> None:
    world.do(world.one, "sh", "-euc", script)


@pytest.mark.defect("an etcd snapshot is fresh", "a copy of the newest snapshot is off its machine")
def test_snapshots_that_are_too_old_and_have_no_copy_elsewhere_are_found(still: World) -> None:
    for node in still.lab.nodes:
        still.do(node, "sh", "-c", f"touch --date='2 days ago' {OWN}/*")
    shell(still, f"mv {COPIES} {COPIES}.away")
    try:
        says(
            still.gate("W1-SNAPSHOT"),
            "W1-SNAPSHOT",
            "expected a snapshot of the last 24 hours",
            "expected a copy off the machine, seen none",
        )
    finally:
        shell(still, f"mv {COPIES}.away {COPIES}")


@pytest.mark.defect(
    "the newest snapshot restores", "a copy of the newest snapshot is off its machine"
)
def test_a_truncated_copy_is_found(still: World) -> None:
    newest = f"{COPIES}/$(ls -1t {COPIES} | head -1)"
    shell(
        still, f"cp -p {newest} {COPIES}/.whole; truncate --size=-100000 {newest}; touch {newest}"
    )
    try:
        ruling = still.gate("W1-SNAPSHOT")
        says(ruling, "W1-SNAPSHOT", "expected it to restore", "seen other bytes")
    finally:
        shell(still, f"mv {COPIES}/.whole {newest}")
