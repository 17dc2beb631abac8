"""The lab as a whole: it can be killed at any point, and removed without a trace."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from harness.core.errors import Refused
from harness.core.model import Exit
from harness.core.waiting import until
from harness.lab import cgroups, disks, lifecycle, machines
from harness.lab.shape import Lab
from harness.settings import ROOT
from harness.tests.lab.world import World

CUTOVER = str(ROOT / "cutover")


def cutover(*words: str, within_s: float = 900) -> subprocess.CompletedProcess[str]:
    """Run a command as an operator does."""
    return subprocess.run(
        [CUTOVER, *words], capture_output=True, text=True, timeout=within_s, check=False
    )


def test_up_again_changes_nothing(world: World) -> None:
    before = [machines.init(world.lab, node) for node in world.lab.nodes]
    began = time.monotonic()
    assert cutover("lab", "up").returncode == Exit.GO
    assert time.monotonic() - began < 60
    assert [machines.init(world.lab, node) for node in world.lab.nodes] == before


@pytest.mark.long
def test_status_says_whole_only_while_it_is(world: World) -> None:
    assert cutover("lab", "status").returncode == Exit.GO
    world.power_off(world.three)
    try:
        said = cutover("lab", "status")
        assert said.returncode == Exit.NOT_PROVEN
        assert world.three.name in said.stdout
    finally:
        world.power_on(world.three)


def test_one_command_at_a_time_changes_the_lab(world: World) -> None:
    with lifecycle.locked(world.lab, alone=True), pytest.raises(Refused, match="in use"):
        lifecycle.up(world.lab, lambda _: None)


def test_a_lab_of_another_checkout_is_refused(world: World) -> None:
    world.lab.begun.write_text("another key")
    try:
        said = cutover("gate", "1", "--only", "W1-NODES")
        assert said.returncode == Exit.REFUSED
        assert "another checkout" in said.stderr
    finally:
        world.lab.begun.write_text(world.lab.key)


@pytest.mark.long
def test_a_lab_goes_without_a_trace_and_an_up_may_be_killed_at_any_point(lab: Lab) -> None:
    """One lifecycle in one test, because each whole ``up`` takes minutes."""
    gone(lab)  # a whole lab
    try:
        killed_up(after_s=1)
        killed_up(after_s=8)  # goes on where the one before ended
        gone(lab)  # half a lab
        killed_up(after_s=25)
    finally:
        again = cutover("lab", "up")
        assert again.returncode == Exit.GO, again.stderr


def gone(lab: Lab) -> None:
    """Take the lab down; nothing of it is left."""
    assert cutover("lab", "down").returncode == Exit.GO
    until(lambda: not traces(lab), within_s=60, what="no trace is left")


def killed_up(*, after_s: float) -> None:
    """Begin to bring the lab up, and kill the process."""
    began = subprocess.Popen([CUTOVER, "lab", "up"], stderr=subprocess.DEVNULL)
    with pytest.raises(subprocess.TimeoutExpired):
        began.wait(timeout=after_s)
    began.send_signal(signal.SIGKILL)
    began.wait()


def traces(lab: Lab) -> list[str]:
    """Traces of the lab on this host."""
    log = Path(os.devnull)
    found = [f"process {pid}" for pid in cgroups.pids(lab.label)]
    found += [f"mount {path}" for path in disks.mounts_below(lab.state)]
    found += [f"loop device {device}" for device in disks.loops(lab, log).values()]
    found += [f"network {lab.label}"] if Path(f"/run/netns/{lab.label}").exists() else []
    groups = [root / lab.label for root in cgroups.hierarchies()]
    found += [f"control group {path}" for path in groups if path.exists()]
    found += [f"folder {lab.state}"] if lab.state.exists() else []
    return found
