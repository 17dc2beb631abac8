"""Seeded defects of W3-LEGACY: a mount that is missing or hangs, and changed files.

The lab keeps volumes and snapshots on CephFS, which change. The tests' profile therefore looks only
at a tree of its own.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator

import pytest

from harness.core.model import Exit
from harness.core.waiting import until
from harness.settings import ROOT
from harness.tests.lab.asking import ask
from harness.tests.lab.red import says
from harness.tests.lab.world import World

MOUNTED = "the existing storage is mounted and readable everywhere"
UNCHANGED = "the existing storage is unchanged"
AT, ASIDE = "/mnt/cephfs", "/mnt/aside"
TREE, WRITES = f"{AT}/legacy-test", f"{AT}/legacy-writes"
PLANT = f"""
import os
os.makedirs("{TREE}/folder")
os.makedirs("{WRITES}")
for name in ("bit", "mode", "attribute", "folder/removed", "kept"):
    with open(f"{TREE}/{{name}}", "wb") as file:
        file.write(os.urandom(9000))
os.setxattr("{TREE}/attribute", "user.origin", b"swarm")
"""
# One bit, with size and time set back; one file gone; an attribute lost; another mode.
CHANGE = f"""
import os
path = "{TREE}/bit"
before = os.stat(path)
with open(path, "r+b") as file:
    byte = file.read(1)[0]
    file.seek(0)
    file.write(bytes([byte ^ 1]))
os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
os.remove("{TREE}/folder/removed")
os.removexattr("{TREE}/attribute", "user.origin")
os.chmod("{TREE}/mode", 0o600)
"""


@pytest.fixture
def profile(world: World) -> Iterator[str]:
    """A profile whose existing storage is a small tree on CephFS."""
    changes = [
        ("${state}/labs/lab/access/legacy.manifest.zst", str(world.scratch / "baseline.zst")),
        (
            'except: [volumes, etcd-snapshots, docker-registry, "*_data", odoo_backups/staging]',
            'except: ["[!l]*", legacy-writes]',
        ),
        ("writes: odoo_backups/staging", "writes: legacy-writes"),
    ]
    world.do(world.one, "rm", "-rf", TREE, WRITES)
    world.do(world.one, "python3", "-c", PLANT)
    try:
        yield world.profile_with(changes)
    finally:
        world.do(world.one, "rm", "-rf", TREE, WRITES)


def record(profile: str) -> tuple[int, dict[str, object]]:
    """The output of ``./cutover backup baseline``."""
    command = [str(ROOT / "cutover"), "backup", "baseline", "--json", "--cluster", profile]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, json.loads(done.stdout)


@pytest.mark.defect("the existing storage is unchanged")
def test_storage_that_changed_since_its_baseline_is_found(world: World, profile: str) -> None:
    outcome, reason = ask(profile, "legacy-manifest", UNCHANGED)[UNCHANGED]
    assert (outcome, "./cutover backup baseline" in reason) == ("not_proven", True), reason
    status, said = record(profile)
    assert status == Exit.GO, said
    assert record(profile)[0] == Exit.REFUSED
    outcome, reason = ask(profile, "legacy-manifest", UNCHANGED)[UNCHANGED]
    assert (outcome, str(said["sha256"])[:16] in reason) == ("pass", True), reason
    world.do(world.two, "python3", "-c", CHANGE)
    says(
        world.gate("W3-LEGACY", cluster=profile),
        "W3-LEGACY",
        f"{TREE}/bit: expected it unchanged, seen another content;",
        f"{TREE}/attribute: expected it unchanged, seen another attribute user.origin;",
        f"{TREE}/mode: expected it unchanged, seen another mode;",
        f"{TREE}/folder/removed: expected it to be there, seen it gone",
    )


@pytest.mark.defect("the existing storage is mounted and readable everywhere")
def test_machines_where_it_hangs_is_not_mounted_or_takes_no_writes_are_found(
    world: World, profile: str
) -> None:
    pid = world.do(world.two, "pgrep", "-x", "ceph-fuse").split()[0]
    # Held elsewhere meanwhile, so that the client lives on.
    world.do(world.three, "mkdir", "-p", ASIDE)
    world.do(world.three, "mount", "--bind", AT, ASIDE)
    world.do(world.three, "umount", "--lazy", AT)
    world.do(world.one, "mount", "-o", "remount,bind,ro", AT)
    world.do(world.two, "kill", "-STOP", pid)
    began = time.monotonic()
    try:
        outcome, reason = ask(profile, "legacy-mount", MOUNTED)[MOUNTED]
    finally:
        world.do(world.two, "kill", "-CONT", pid)
        world.do(world.one, "mount", "-o", "remount,bind,rw", AT)
        world.do(world.three, "mount", "--bind", ASIDE, AT)
        world.do(world.three, "umount", "--lazy", ASIDE)
    assert outcome == "fail", reason
    assert f"{world.two.name}: expected {AT} to be readable, seen no answer within" in reason
    assert (
        f"{world.three.name}: expected fuse.ceph-fuse of ceph-fuse at {AT}, seen nothing" in reason
    )
    assert f"{world.one.name}: expected {AT} mounted for reading and writing (rw)" in reason
    assert time.monotonic() - began < 120

    def healed() -> bool:
        outcome, reason = ask(profile, "legacy-mount", MOUNTED)[MOUNTED]
        return outcome == "pass" and "takes reads and writes on every machine" in reason

    # The client that stood still was missed meanwhile.
    until(healed, within_s=90, what="the existing storage is mounted everywhere again")
    # Its own mount says rw, and a folder in it takes no writes all the same.
    world.do(world.one, "mount", "--bind", WRITES, WRITES)
    try:
        world.do(world.one, "mount", "-o", "remount,bind,ro", WRITES)
        outcome, reason = ask(profile, "legacy-mount", MOUNTED)[MOUNTED]
    finally:
        world.do(world.one, "umount", WRITES)
    assert outcome == "fail", reason
    assert f"{world.one.name}: expected a file written" in reason
    assert f"{WRITES}, seen Read-only file system" in reason
    assert not world.do(world.two, "ls", "-A", WRITES)
