"""Seeded defects of W3-DISK: a disk that differs from its record, and a disk in use."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from harness.lab.host import run
from harness.lab.shape import Node
from harness.tests.lab.red import says
from harness.tests.lab.world import World


def record_of(world: World, node: Node) -> dict[str, Any]:
    """The machine's disk, as sgdisk sees it from outside."""
    whole = run(["sgdisk", "--print", node.disk], log=world.log).stdout
    return {
        "machine_id": world.do(node, "cat", "/etc/machine-id").strip(),
        "serial": "",
        "size_bytes": node.disk.stat().st_size,
        "sector_bytes": 512,
        "guid": _word(whole, "Disk identifier \\(GUID\\)"),
        "partitions": [_partition(world, node, number) for number in (1, 2)],
        "free": {"first": 0, "sectors": 0},
    }


def _partition(world: World, node: Node, number: int) -> dict[str, Any]:
    told = run(["sgdisk", f"--info={number}", node.disk], log=world.log).stdout
    return {
        "number": number,
        "first": int(_word(told, "First sector")),
        "last": int(_word(told, "Last sector")),
        "type": _word(told, "Partition GUID code"),
        "partuuid": _word(told, "Partition unique GUID"),
    }


def _word(text: str, name: str) -> str:
    found = re.search(rf"^{name}: (\S+)", text, re.MULTILINE)
    assert found is not None, text
    return found[1].lower()


@pytest.fixture
def record(world: World) -> dict[str, Any]:
    """The record of the lab's disks; a test may change it before the gate."""
    return {node.name: record_of(world, node) for node in world.lab.nodes}


def profile(world: World, record: dict[str, Any], *changes: tuple[str, str]) -> str:
    """The lab's profile with this record."""
    file = world.scratch / "disks.yaml"
    file.write_text(yaml.safe_dump({"disks": record}))
    place = f"record: ${{state}}/labs/{world.lab.name}/access/disks.yaml"
    return world.profile_with([(place, f"record: {file}"), *changes])


@pytest.mark.defect(
    "every disk for Ceph is the recorded one",
    "no other partition has changed",
    "each disk is used by its OSD alone",
)
def test_disks_that_were_recorded_otherwise_or_are_another_osd_s_are_found(
    world: World, record: dict[str, Any]
) -> None:
    one, two, three = (record[node.name] for node in world.lab.nodes)
    one["partitions"][1]["partuuid"] = "00000000-1111-2222-3333-444444444444"
    two["partitions"][1]["first"] += 8
    two["machine_id"] = "0" * 32
    three["partitions"][0]["last"] -= 8
    osds = "osds: {{vmi2887101: {}, vmi2887102: {}, vmi2887103: {}}}".format
    cluster = profile(world, record, (osds(0, 1, 2), osds(1, 0, 2)))
    names = [node.name for node in world.lab.nodes]
    ruling = world.gate("W3-DISK", cluster=cluster)
    says(
        ruling,
        "W3-DISK",
        f"{names[0]}: /dev/sda2: expected PARTUUID",
        f"{names[1]}: /dev/sda2: expected offset",
        f"{names[1]}: /dev/sda2: expected machine-id",
        f"{names[2]}: partition 1: expected size_bytes",
        f"{names[0]}: /dev/sda2: expected the label of osd.1 (1), seen 0",
        f"{names[1]}: /dev/sda2: expected the label of osd.0 (0), seen 1",
    )
    for as_recorded in (f"{names[0]}: partition 1", f"{names[2]}: /dev/sda2"):
        assert as_recorded not in ruling.reason("W3-DISK")


@pytest.mark.defect("each disk is used by its OSD alone")
def test_a_disk_that_is_declared_raw_and_is_an_osd_s_is_found(
    world: World, record: dict[str, Any]
) -> None:
    cluster = profile(world, record, ("state: osd", "state: raw"))
    ruling = world.gate("W3-DISK", cluster=cluster)
    says(ruling, "W3-DISK", "expected no signature, seen ceph_bluestore", "expected no OSD")
