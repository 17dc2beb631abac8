"""Raw disks are measured on every machine at once, and a reset restores their content.

The lab's disks are Ceph's. Here Ceph gives them up, fio overwrites them behind the guard, and the
lab is reset.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from harness.core.model import Exit
from harness.core.waiting import until
from harness.lab.shape import Lab
from harness.settings import ROOT
from harness.tests.lab.world import World

CUTOVER = str(ROOT / "cutover")
RESET_S = 60.0
# A disk without Ceph: no OSD is known, and the partition has no label.
GIVEN_UP = """
set -e
systemctl disable --quiet --now "ceph-osd@$1"
ceph osd down "$1"
ceph osd purge "$1" --yes-i-really-mean-it
dd if=/dev/zero of=/dev/sda2 bs=1M count=8 conv=fsync
"""


@dataclass(frozen=True)
class Raw:
    """A lab whose disks are raw, and the profile that says so."""

    world: World
    profile: str

    @property
    def bench(self) -> list[str]:
        return [CUTOVER, "bench", "osd", f"--cluster={self.profile}", "--allow-writes", "--json"]

    def measuring(self) -> list[str]:
        """The machines on which fio runs."""
        nodes = self.world.lab.nodes
        return [it.name for it in nodes if self.world.do(it, "pgrep", "-x", "fio", check=False)]


@pytest.fixture(scope="module")
def raw(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Raw]:
    world = World(lab, tmp_path_factory.mktemp("raw"))
    world.still_whole()
    try:
        for node in lab.nodes:
            world.do(node, "sh", "-c", GIVEN_UP, "given-up", str(node.index - 1))
        changes = [("  state: osd\n", "  state: raw\n  allow_writes: true\n")]
        yield Raw(world, world.profile_with(changes))
    finally:
        if world.trouble():
            reset()


def reset() -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [CUTOVER, "lab", "reset"], capture_output=True, text=True, timeout=600, check=False
    )


def test_ctrl_c_leaves_no_fio_on_any_machine(raw: Raw) -> None:
    # If the tests run in the background, Ctrl-C is ignored.
    bench = ["env", "--default-signal=INT", *raw.bench]
    began = subprocess.Popen(bench, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        until(
            lambda: len(raw.measuring()) == len(raw.world.lab.nodes),
            within_s=60,
            what="fio runs on every machine",
        )
        began.send_signal(signal.SIGINT)
        out, _ = began.communicate(timeout=60)
    finally:
        began.kill()
    assert raw.measuring() == []
    told = json.loads(out)
    assert began.returncode == told["exit"] == Exit.NOT_PROVEN
    assert {it["unproven"] for it in told["results"]} == {"interrupted"}


def test_every_machine_is_measured_at_once_and_says_what_with(raw: Raw) -> None:
    said = subprocess.run(raw.bench, capture_output=True, text=True, timeout=300, check=False)
    assert said.returncode in (Exit.GO, Exit.NO_GO), said.stderr
    told = json.loads(said.stdout)
    assert told["measured"] == "raw"
    for node, it in zip(raw.world.lab.nodes, told["results"], strict=True):
        assert (it["machine"], it["refused"], it["unproven"]) == (node.name, [], "")
        assert it["iops"] > 0
        assert it["p99_ms"] > 0
        evidence = it["evidence"]
        assert "[commit]" in evidence["job"]
        assert json.loads(evidence["output"])["fio version"].startswith("fio-")
    assert raw.measuring() == []


def test_reset_returns_to_the_just_built_state(raw: Raw) -> None:
    world = raw.world
    world.do(world.one, "touch", "/root/changed")
    world.do(world.two, "rm", "-rf", "/etc/kubernetes", "/etc/ceph")
    began = time.monotonic()
    said = reset()
    took_s = time.monotonic() - began
    assert said.returncode == Exit.GO, said.stderr
    assert not (world.one.root / "root/changed").exists()
    world.whole()
    assert took_s < RESET_S * patience(), f"reset took {took_s:.0f} s"


def patience() -> float:
    """The factor by which other work on this host may slow the test."""
    return 1 + max(0.0, os.getloadavg()[0] / (os.cpu_count() or 1) - 1)
