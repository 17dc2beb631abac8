"""Seeded defects of W1-HOST: machines that are not fit to carry a node."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness.lab.shape import Node
from harness.tests.lab.red import changed, says
from harness.tests.lab.world import World
from harness.waiting import until

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
def test_a_stopped_chronyd_is_found(world: World) -> None:
    world.do(world.three, "systemctl", "stop", "chrony")
    try:
        says(world.gate("W1-HOST"), "W1-HOST", world.three.name, "chrony")
    finally:
        world.do(world.three, "systemctl", "start", "chrony")
        clock_follows(world, world.three)


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


@pytest.mark.defect("every disk has room")
def test_a_disk_that_fills_up_is_found(world: World) -> None:
    # Below the target of 20 % free, and above the 15 % at which a kubelet deletes images.
    folder = world.three.system / "rancher"
    usage = shutil.disk_usage(folder)
    fill = folder / "fill"
    with fill.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, usage.free - usage.total * 175 // 1000)
    try:
        says(world.gate("W1-HOST"), "W1-HOST", world.three.name, "/var/lib/rancher", "17.")
    finally:
        fill.unlink()


@pytest.mark.defect("every machine has memory available")
def test_a_machine_short_of_memory_is_found(world: World) -> None:
    # The kernel counts the host's memory: the machine is shown one that is nearly used up.
    shown = "MemTotal: 16384000 kB\nMemFree: 100000 kB\nMemAvailable: 900000 kB\n"
    with shown_instead(world, world.two, "/proc/meminfo", shown):
        says(world.gate("W1-HOST"), "W1-HOST", world.two.name, "memory available, seen 5.5 %")


@pytest.mark.defect("swap is off and stays off")
def test_swap_that_is_on_is_found(world: World) -> None:
    # The kernel is the host's, so no swap is turned on: the machine is shown one that would be.
    shown = "Filename Type Size Used Priority\n/swapfile file 1048572 0 -2\n"
    with shown_instead(world, world.one, "/proc/swaps", shown):
        says(world.gate("W1-HOST"), "W1-HOST", world.one.name, "swap", "/swapfile")


@pytest.mark.defect("swap is off and stays off")
def test_swap_that_a_reboot_would_bring_is_found(world: World) -> None:
    with changed(world.one.root / "etc/fstab", b"/swapfile none swap sw 0 0\n"):
        says(world.gate("W1-HOST"), "W1-HOST", world.one.name, "swap")


@pytest.mark.defect("kernel parameters are as declared")
def test_a_kernel_that_forwards_nothing_is_found(world: World) -> None:
    world.do(world.three, "sysctl", "-w", "net.ipv4.ip_forward=0")
    try:
        says(world.gate("W1-HOST"), "W1-HOST", world.three.name, "net.ipv4.ip_forward = 1, seen 0")
    finally:
        world.do(world.three, "sysctl", "-w", "net.ipv4.ip_forward=1")


@pytest.mark.defect("full-sized packets pass between machines")
def test_a_lower_mtu_on_one_link_is_found(world: World) -> None:
    world.do(world.three, "ip", "link", "set", "host0", "mtu", "1400")
    try:
        says(world.gate("W1-HOST"), "W1-HOST", world.three.name, "1400")
    finally:
        world.do(world.three, "ip", "link", "set", "host0", "mtu", "1500")


@pytest.mark.defect("every machine is safe to reboot")
def test_a_unit_that_failed_is_found(world: World) -> None:
    world.do(world.one, "systemd-run", "--unit=broken", "--wait", "false", check=False)
    try:
        says(world.gate("W1-HOST"), "W1-HOST", world.one.name, "broken.service")
    finally:
        world.do(world.one, "systemctl", "reset-failed", "broken")


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
