"""Seeded defects of W1-HOST: machines that are not fit to be a node."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.core.waiting import until
from harness.lab.shape import Node
from harness.tests.lab.red import changed, says
from harness.tests.lab.world import World

SILENT = """table inet silent {
  chain out {
    type filter hook output priority 0
    udp dport 123 drop
  }
}
"""
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"


@pytest.mark.defect(
    "every clock follows its source",
    "all clocks agree",
    "every disk has room",
    "every machine has memory available",
    "swap is off and stays off",
    "kernel parameters are as declared",
    "full-sized packets pass between machines",
    "every machine is safe to reboot",
)
def test_machines_that_are_unfit_in_one_way_each_are_found(world: World) -> None:
    one, two, three = world.lab.nodes
    # The kernel is the host's, so no memory is used up and no swap turned on: it is only shown.
    memory = "MemTotal: 16384000 kB\nMemFree: 100000 kB\nMemAvailable: 900000 kB\n"
    swaps = "Filename Type Size Used Priority\n/swapfile file 1048572 0 -2\n"
    with (
        shown_instead(world, one, "/proc/swaps", swaps),
        changed(one.root / "etc/fstab", b"/at-boot none swap sw 0 0\n"),
        failed_unit(world, one),
        shown_instead(world, two, "/proc/meminfo", memory),
        until_undone(world, three, "ip link set host0 mtu 1400", "ip link set host0 mtu 1500"),
        until_undone(
            world, two, "sysctl -w net.ipv4.ip_forward=0", "sysctl -w net.ipv4.ip_forward=1"
        ),
        nearly_full(three.system / "rancher"),
        wrong_clocks(world),
        another_time(world, two),
    ):
        ruling = world.gate("W1-HOST")
    says(
        ruling,
        "W1-HOST",
        f"{one.name}: expected a clock source that answers",
        f"{two.name}: expected a clock within",
        f"{three.name}: expected a running chrony, seen it stopped",
        f"{one.name} and {two.name}: expected clocks",
        f"{three.name}: expected 20 % of the space of /var/lib/rancher free, seen 17.",
        f"{two.name}: expected 10 % of memory available, seen 5.5 %",
        f"{one.name}: expected no swap in use, seen /swapfile",
        f"{one.name}: expected no swap configured for the next boot, seen /at-boot",
        f"{two.name}: expected net.ipv4.ip_forward = 1, seen 0",
        f"{three.name}: expected MTU 1500 on {three.address}, seen 1400",
        f"{one.name}: expected no failed unit, seen broken.service",
    )


@contextmanager
def wrong_clocks(world: World) -> Iterator[None]:
    """The first machine's source is silent, the second's clock is off, the third has no source.

    chrony itself still reports Normal.
    """
    one, two, three = world.lab.nodes
    # Asked every second, a silent source is out of reach after eight of them.
    silent = r"\1 iburst minpoll 0 maxpoll 0"
    try:
        with source_line(one, silent), source_line(two, r"\1 iburst offset 0.3"):
            for node in (one, two):
                world.do(node, "systemctl", "restart", "chrony")
            world.do(three, "systemctl", "stop", "chrony")
            clock_follows(world, one)
            world.do(one, "nft", "-f", "-", stdin=SILENT)
            clock_follows(world, two)
            until(lambda: _reach(world, one) == "0", within_s=90, what="the source is lost")
            for node in (one, two):
                assert ",Normal" in world.do(node, "chronyc", "-c", "tracking")
            yield
    finally:
        world.do(one, "nft", "delete table inet silent", check=False)
        for node in world.lab.nodes:
            world.do(node, "systemctl", "restart", "chrony")
        for node in world.lab.nodes:
            clock_follows(world, node)


@contextmanager
def source_line(node: Node, line: str) -> Iterator[None]:
    """The machine's time source has other options in chrony's configuration."""
    path = node.root / "etc/chrony/chrony.conf"
    text = re.sub(r"^(server \S+).*$", line, path.read_text(), flags=re.MULTILINE)
    with changed(path, text.encode()):
        yield


def _reach(world: World, node: Node) -> str:
    return world.do(node, "chronyc", "-c", "sources").strip().split(",")[5]


def clock_follows(world: World, node: Node) -> None:
    """Wait until the machine's chronyd has chosen its source."""
    until(
        lambda: ",Normal" in world.do(node, "chronyc", "-c", "tracking", check=False),
        within_s=120,
        what=f"chronyd of {node.name} follows its source",
    )


@contextmanager
def another_time(world: World, node: Node) -> Iterator[None]:
    """A login shell shows another time: the kernel's clock is the host's."""
    setting = node.root / "etc/ssh/sshd_config.d/clock.conf"
    setting.write_text(f"SetEnv LD_PRELOAD={FAKETIME} FAKETIME=+5s\n")
    try:
        world.do(node, "systemctl", "reload", "ssh")
        yield
    finally:
        setting.unlink()
        world.do(node, "systemctl", "reload", "ssh")


@contextmanager
def shown_instead(world: World, node: Node, path: str, content: str) -> Iterator[None]:
    """Replace the content of a kernel path on the machine."""
    world.do(node, "sh", "-c", "cat > /run/shown", stdin=content)
    world.do(node, "mount", "--bind", "/run/shown", path)
    try:
        yield
    finally:
        world.do(node, "umount", path)


@contextmanager
def until_undone(world: World, node: Node, command: str, undo: str) -> Iterator[None]:
    world.do(node, *command.split())
    try:
        yield
    finally:
        world.do(node, *undo.split())


@contextmanager
def failed_unit(world: World, node: Node) -> Iterator[None]:
    world.do(node, "systemd-run", "--unit=broken", "--wait", "false", check=False)
    try:
        yield
    finally:
        world.do(node, "systemctl", "reset-failed", "broken")


@contextmanager
def nearly_full(folder: Path) -> Iterator[None]:
    """A disk below the target of 20 % free, and above the 15 % at which images are deleted."""
    usage = shutil.disk_usage(folder)
    fill = folder / "fill"
    with fill.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, usage.free - usage.total * 175 // 1000)
    try:
        yield
    finally:
        fill.unlink()
