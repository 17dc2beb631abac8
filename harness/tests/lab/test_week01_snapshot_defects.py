"""Seeded defects of W1-SNAPSHOT: snapshots that are old, in one place only, or broken."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.tests.lab.red import says
from harness.tests.lab.world import World

OWN = "/var/lib/rancher/rke2/server/db/snapshots"
COPIES = "/mnt/cephfs/etcd-snapshots"
UNIT = "rke2-etcd-snapshot"


@contextmanager
def no_new_one(world: World) -> Iterator[None]:
    """No new snapshot is taken meanwhile; afterwards each machine takes one."""
    for node in world.lab.nodes:
        world.do(node, "systemctl", "stop", f"{UNIT}.timer")
    try:
        yield
    finally:
        with ThreadPoolExecutor(len(world.lab.nodes)) as pool:
            start = ("systemctl", "start", f"{UNIT}.timer", UNIT)
            list(pool.map(lambda node: world.do(node, *start, within_s=150), world.lab.nodes))


def shell(world: World, script: str) -> None:
    world.do(world.one, "sh", "-euc", script)


@pytest.mark.defect(
    "an etcd snapshot is fresh",
    "a copy of the newest snapshot is off its machine",
    "the newest snapshot restores",
)
def test_snapshots_that_are_old_broken_or_in_one_place_are_found(world: World) -> None:
    """Unfinished and empty snapshots do not count; another copy of the newest is cut short."""
    part, empty = f"{OWN}/etcd-snapshot-1746343203.part", f"{OWN}/etcd-snapshot-1746343204"
    newest = f"{COPIES}/$(ls -1t {COPIES} | head -1)"
    with no_new_one(world), counting_more(world):
        ruling = world.gate("W1-SNAPSHOT")
        says(ruling, "W1-SNAPSHOT", "keys, as before it was restored, seen")
        cut = f"cp -p {newest} {COPIES}/.whole; truncate --size=-100000 {newest}; touch {newest}"
        shell(world, cut)
        try:
            ruling = world.gate("W1-SNAPSHOT")
        finally:
            shell(world, f"mv {COPIES}/.whole {newest}")
        says(ruling, "W1-SNAPSHOT", "expected it to restore", "seen other bytes")
        for node in world.lab.nodes:
            world.do(node, "sh", "-c", f"touch --date='2 days ago' {OWN}/*")
        shell(world, f"mv {COPIES} {COPIES}.away; echo half > {part}; touch {empty}")
        try:
            ruling = world.gate("W1-SNAPSHOT")
        finally:
            shell(world, f"rm {part} {empty}; mv {COPIES}.away {COPIES}")
    says(
        ruling,
        "W1-SNAPSHOT",
        "expected a snapshot of the last 24 hours",
        "1746343203.part on vmi2887101 is not finished",
        "1746343204 on vmi2887101 is empty",
        "expected a copy off the machine, seen none",
    )


# Before a restore it counts a thousand keys more: so many seem to be lost by it.
COUNTS_MORE = """#!/bin/sh
status=0
said=$(/usr/local/lib/real/etcdutl "$@") || status=$?
case "$2" in status) said=$(echo "$said" | sed -E 's/("totalKey":)([0-9]+)/\\11\\2/') ;; esac
echo "$said"
exit $status
"""


@contextmanager
def counting_more(world: World) -> Iterator[None]:
    lied, real = Path("/usr/local/bin/etcdutl"), "/usr/local/lib/real/etcdutl"
    for node in world.lab.nodes:
        world.do(node, "sh", "-euc", f"mkdir -p {Path(real).parent}; mv {lied} {real}")
        place = node.root / lied.relative_to("/")
        place.write_text(COUNTS_MORE)
        place.chmod(0o755)
    try:
        yield
    finally:
        for node in world.lab.nodes:
            world.do(node, "sh", "-euc", f"mv {real} {lied}; rmdir {Path(real).parent}")
