"""Seeded defect of W3-BENCH: one machine's disk is throttled, and only that one is found slow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.lab import cgroups, disks
from harness.lab.machines import init
from harness.lab.shape import Node
from harness.tests.lab.red import says
from harness.tests.lab.world import World

# Writes a second to the disk, of which each of the bench's takes several.
WRITES = 1200


@contextmanager
def throttled(world: World, node: Node) -> Iterator[None]:
    """The machine's writes to its own disk pass one by one (blkio)."""
    device = disks.loops(world.lab, world.log)[str(node.disk)]
    number = Path(f"/sys/block/{Path(device).name}/dev").read_text().strip()
    place = group_of(world, node) / "blkio.throttle.write_iops_device"
    place.write_text(f"{number} {WRITES}")
    try:
        yield
    finally:
        place.write_text(f"{number} 0")


def group_of(world: World, node: Node) -> Path:
    """The blkio group that the machine's OSD runs in, or the nearest one above it."""
    leader = init(world.lab, node)
    assert leader is not None
    osd = next(it for it in _children(leader) if _name(it) == "ceph-osd")
    lines = Path(f"/proc/{osd}/cgroup").read_text().splitlines()
    (path,) = [it.split(":", 2)[2] for it in lines if "blkio" in it.split(":")[1].split(",")]
    return cgroups.MOUNT / "blkio" / path.lstrip("/")


def _children(of: int) -> Iterator[int]:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            same = (process / "ns/pid").stat().st_ino == Path(f"/proc/{of}/ns/pid").stat().st_ino
        except OSError:
            continue
        if same:
            yield int(process.name)


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


@pytest.mark.defect("each disk commits fast enough", "each disk is as fast as its baseline")
def test_a_throttled_disk_is_found_on_exactly_its_machine(world: World) -> None:
    """Its baseline was recorded when the lab was built."""
    stricter = [("number: 20\n", "number: 200\n"), ("number: 80\n", "number: 60\n")]
    cluster = world.profile_with(stricter)
    with throttled(world, world.two):
        ruling = world.gate("W3-BENCH", cluster=cluster)
    says(ruling, "W3-BENCH", "expected 200 committed writes/s, seen", "below its baseline of")
    for other in (world.one, world.three):
        assert f"{other.name}: expected" not in ruling.reason("W3-BENCH")
