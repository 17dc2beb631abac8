"""Seeded defects of W1-HOST: machines that are not fit to carry a node."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.lab.shape import Node
from harness.tests.lab.red import changed, says
from harness.tests.lab.world import World
from harness.waiting import until

SILENT = """table inet silent {
  chain out {
    type filter hook output priority 0
    udp dport 123 drop
  }
}
"""
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"


@pytest.mark.defect(
    "the node service runs and starts at boot",
    "every declared machine is a ready node",
)
def test_a_stopped_kubelet_is_found_on_its_machine_and_in_the_node_list(world: World) -> None:
    world.do(world.two, "systemctl", "stop", "rke2-server")
    try:
        world.lost(world.two)
        ruling = world.gate("W1-HOST", "W1-NODES")
        says(ruling, "W1-HOST", world.two.name, "rke2-server")
        says(ruling, "W1-NODES", world.two.name, "Ready")
    finally:
        world.do(world.two, "systemctl", "start", "rke2-server")


@pytest.mark.defect("every clock follows its source")
def test_a_clock_that_is_off_its_source_is_found(world: World) -> None:
    configuration = world.two.root / "etc/chrony/chrony.conf"
    text = configuration.read_text()
    shifted = re.sub(r"^(server .*)$", r"\1 offset 0.3", text, flags=re.MULTILINE)
    with changed(configuration, shifted.encode()):
        try:
            world.do(world.two, "systemctl", "restart", "chrony")
            clock_follows(world, world.two)
            says(world.gate("W1-HOST"), "W1-HOST", world.two.name, "clock")
        finally:
            configuration.write_text(text)
            world.do(world.two, "systemctl", "restart", "chrony")
            clock_follows(world, world.two)


@pytest.mark.defect("every clock follows its source")
def test_a_clock_whose_only_source_has_fallen_silent_is_found(world: World) -> None:
    """chrony itself goes on saying Normal."""
    configuration = world.two.root / "etc/chrony/chrony.conf"
    text = configuration.read_text()
    # Asked every second, a silent source is out of reach after eight of them.
    often = re.sub(r"^(server \S+).*$", r"\1 iburst minpoll 0 maxpoll 0", text, flags=re.MULTILINE)
    with changed(configuration, often.encode()):
        try:
            world.do(world.two, "systemctl", "restart", "chrony")
            clock_follows(world, world.two)
            world.do(world.two, "nft", "-f", "-", stdin=SILENT)
            until(
                lambda: _reach(world, world.two) == "0",
                within_s=30,
                what="chrony has lost its source",
            )
            assert ",Normal" in world.do(world.two, "chronyc", "-c", "tracking")
            says(world.gate("W1-HOST"), "W1-HOST", f"{world.two.name}: expected a clock source")
        finally:
            world.do(world.two, "nft", "delete table inet silent", check=False)
            configuration.write_text(text)
            world.do(world.two, "systemctl", "restart", "chrony")
            clock_follows(world, world.two)


def _reach(world: World, node: Node) -> str:
    return world.do(node, "chronyc", "-c", "sources").strip().split(",")[5]


@pytest.mark.defect("all clocks agree")
def test_a_clock_that_disagrees_with_the_others_is_found(world: World) -> None:
    # The kernel's clock is the host's: whoever logs in is shown another one.
    setting = world.two.root / "etc/ssh/sshd_config.d/clock.conf"
    setting.write_text(f"SetEnv LD_PRELOAD={FAKETIME} FAKETIME=+5s\n")
    try:
        world.do(world.two, "systemctl", "reload", "ssh")
        says(world.gate("W1-HOST"), "W1-HOST", f"{world.one.name} and {world.two.name}", "clocks")
    finally:
        setting.unlink()
        world.do(world.two, "systemctl", "reload", "ssh")


@pytest.mark.defect(
    "every clock follows its source",
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
        stopped_chrony(world, three),
    ):
        ruling = world.gate("W1-HOST")
    says(
        ruling,
        "W1-HOST",
        f"{three.name}: expected a running chrony, seen it stopped",
        f"{three.name}: expected 20 % of the space of /var/lib/rancher free, seen 17.",
        f"{two.name}: expected 10 % of memory available, seen 5.5 %",
        f"{one.name}: expected no swap in use, seen /swapfile",
        f"{one.name}: expected no swap configured for the next boot, seen /at-boot",
        f"{two.name}: expected net.ipv4.ip_forward = 1, seen 0",
        f"{three.name}: expected MTU 1500 on {three.address}, seen 1400",
        f"{one.name}: expected no failed unit, seen broken.service",
    )


def test_a_machine_with_another_host_key_proves_nothing(world: World) -> None:
    pinned = world.lab.profile.access.ssh.known_hosts.read_text().splitlines()
    swapped = [line.replace(world.one.address, "10.0.0.99") for line in pinned]
    unknown = world.scratch / "known_hosts"
    unknown.write_text("\n".join(swapped) + "\n")
    place = "${state}/labs/lab/access/known_hosts"
    ruling = world.gate("W1-HOST", cluster=world.profile_with([(place, str(unknown))]))
    says(ruling, "W1-HOST", world.one.name, "host key", outcome="not_proven")


def clock_follows(world: World, node: Node) -> None:
    """Wait until the machine's chronyd has chosen its source."""
    until(
        lambda: ",Normal" in world.do(node, "chronyc", "-c", "tracking", check=False),
        within_s=60,
        what=f"chronyd of {node.name} follows its source",
    )


@contextmanager
def shown_instead(world: World, node: Node, path: str, content: str) -> Iterator[None]:
    """What the machine reads at a path of the kernel's."""
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
def stopped_chrony(world: World, node: Node) -> Iterator[None]:
    with until_undone(world, node, "systemctl stop chrony", "systemctl start chrony"):
        yield
    clock_follows(world, node)


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
