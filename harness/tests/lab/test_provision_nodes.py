"""The gates' needs on the lab's machines: planned, installed, and unchanged the second time."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from harness.core.model import Exit
from harness.lab.network import inside
from harness.lab.shape import Node
from harness.settings import ROOT
from harness.tests.lab.world import World
from harness.transport.login import command_line

STATUS = "/var/lib/dpkg/status"
FORGOTTEN = "Status: deinstall ok config-files"
FORGET = f"""
cp -p {STATUS} {STATUS}.kept
sed '/^Package: stress-ng$/,/^Status:/s/^Status:.*/{FORGOTTEN}/' {STATUS}.kept > {STATUS}
"""


def provision(*words: str) -> tuple[int, dict[str, Any]]:
    """Run the command as an operator does: its exit status, and its result for each machine."""
    command = [str(ROOT / "cutover"), "provision", "nodes", "--json", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    document = json.loads(done.stdout)
    return done.returncode, {it["machine"]: it for it in document["machines"]}


def as_harness(world: World, node: Node, command: str) -> subprocess.CompletedProcess[str]:
    """Run a command as the harness's own user on a machine, by its key."""
    access = world.lab.profile.access.ssh
    options = ("-o", f"UserKnownHostsFile={access.known_hosts}", "-o", "BatchMode=yes")
    words = [*inside(world.lab), "ssh", "-i", access.key, *options]
    return subprocess.run(
        [str(word) for word in [*words, f"cutover@{node.address}", command]],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_nodes_are_planned_then_provided_and_the_second_time_nothing_changes(world: World) -> None:
    world.do(world.two, "sh", "-c", FORGET)
    try:
        status, planned = provision()
    finally:
        world.do(world.two, "mv", f"{STATUS}.kept", STATUS)
    assert status == Exit.REFUSED
    assert [it["state"] for it in planned.values()] == ["planned"] * 3
    says = {name: "\n".join(it["says"]) for name, it in planned.items()}
    assert "install stress-ng" in says[world.two.name]
    assert "install" not in says[world.one.name]
    assert "+cutover ALL=(root) NOPASSWD: /usr/bin/timeout --signal KILL *" in says[world.one.name]
    assert not world.do(world.one, "getent", "passwd", "cutover", check=False)
    try:
        status, done = provision("--yes", "--machine", world.one.name)
        assert (status, done[world.one.name]["state"]) == (Exit.GO, "done"), done
        world.do(world.one, "visudo", "--check", "--strict")
        asked = command_line("cutover", ("python3", "-I", "-S", "-"), 20)
        script = "import os; print(os.geteuid(), len(os.environ['SSH_CONNECTION'].split()))"
        said = as_harness(world, world.one, f'echo "{script}" | {asked}')
        assert said.stdout == "0 4\n", said.stderr
        assert as_harness(world, world.one, "sudo -n id").returncode != 0
        status, again = provision("--yes", "--machine", world.one.name)
        assert (status, again[world.one.name]["state"]) == (Exit.GO, "ok"), again
    finally:
        # A session that has just ended may still have a process.
        world.do(world.one, "userdel", "--force", "--remove", "cutover", check=False)
        world.do(world.one, "rm", "-f", "/etc/sudoers.d/cutover")
