"""The lab's machines: they recover from a power loss, and none reaches its host or neighbours."""

from __future__ import annotations

import json
import shutil
from configparser import ConfigParser
from pathlib import Path

import pytest

from harness.core.waiting import until
from harness.lab import machines
from harness.lab.shape import LAB, Node
from harness.provision.disk import read_records
from harness.tests.lab.power import boot_before_its_network, with_an_undo
from harness.tests.lab.world import World


@pytest.mark.long
@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_machine_that_lost_power_comes_back_whole_by_itself(world: World, number: int) -> None:
    """A fault's undo recovers too, though the network comes up later than the machine."""
    node = world.lab.nodes[number]
    with with_an_undo(world, node):
        world.power_off(node)
        assert machines.init(world.lab, node) is None
        machines.boot(world.lab, node, world.log)
        boot_before_its_network(world, node)
        world.whole_from_power_on(node)


def test_a_machine_out_of_memory_takes_nobody_with_it(world: World) -> None:
    before = boot_times(world)
    limit = world.lab.shape.memory_gb << 30
    # In a unit of the machine's own: what enters from outside is not counted as the machine's.
    unit = ["systemd-run", "--quiet", "--wait", "--pipe", "--collect"]
    hog = "x = []\nwhile True: x.append(bytearray(64 << 20))"
    command = [*unit, "--property=OOMScoreAdjust=1000", "python3", "-c", hog]
    status = world.do(world.three, "sh", "-c", '"$@" || echo killed', "hog", *command)
    assert "killed" in status, status
    assert available_bytes() > limit, "the host itself ran short of memory"
    assert boot_times(world) == before, "a machine was restarted"


def test_a_machine_with_a_full_disk_takes_nobody_with_it(world: World) -> None:
    free = host_free(world)
    # Its kubelet would make room: it evicts pods and deletes images, which do not come back here.
    world.do(world.three, "systemctl", "stop", "rke2-server")
    try:
        fill = "fallocate -l 1T /fill; dd if=/dev/zero of=/fill bs=64M || :"
        world.do(world.three, "sh", "-c", fill, within_s=300)
        used = int(world.do(world.three, "df", "--output=pcent", "/").split()[-1].rstrip("%"))
        assert used >= 99
        for neighbour in (world.one, world.two):
            world.do(neighbour, "dd", "if=/dev/zero", "of=/written", "bs=1M", "count=64")
            world.do(neighbour, "rm", "/written")
        assert free - host_free(world) < (world.lab.shape.disk_gb + 2) << 30
    finally:
        (world.three.root / "fill").unlink(missing_ok=True)
        world.do(world.three, "systemctl", "start", "rke2-server")
        world.do(world.three, "fstrim", "/", check=False)


# What a machine tries, and what of its host it would reach.
FORBIDDEN = {
    "the panic key": "echo h > /proc/sysrq-trigger",
    "swap": "fallocate -l 16M /tmp/swap && mkswap -q /tmp/swap && swapon /tmp/swap",
    # Its own time: that no clock moves is what is asked, so none may.
    "the clock": "date --set=@$(date +%s)",
    "the kernel's settings": "echo 1 > /proc/sys/vm/drop_caches",
    "the kernel's modules": "modprobe loop",
}


def test_no_machine_reaches_the_kernel_of_its_host(world: World) -> None:
    tries = "; ".join(
        f"({command}) 2>&1 && echo reached: {what!r}; echo asked"
        for what, command in FORBIDDEN.items()
    )
    said = world.ssh(world.one, f"{tries}; rm -f /tmp/swap")
    assert said.count("asked") == len(FORBIDDEN), said
    assert "reached" not in said, said


def test_a_remount_inside_a_machine_stays_inside(world: World) -> None:
    own = ("/", "/var/lib/rancher", "/var/lib/kubelet", "/var/lib/docker")
    for path in own:
        world.do(world.one, "mount", "-o", "remount,ro", path, check=False)
    try:
        world.scratch.joinpath("still-writable").touch()
        world.do(world.two, "touch", "/still-writable")
    finally:
        for path in own:
            world.do(world.one, "mount", "-o", "remount,rw", path, check=False)
        world.do(world.two, "rm", "-f", "/still-writable")


def test_the_disk_of_a_machine_looks_like_a_real_one(world: World) -> None:
    for node in world.lab.nodes:
        table = world.do(node, "sgdisk", "--print", "/dev/sda")
        rows = [line.split() for line in table.splitlines() if line.strip()[:1].isdigit()]
        assert [row[0] for row in rows[-2:]] == ["1", "2"], table
        assert "Partition unique GUID" in world.do(node, "sgdisk", "--info=2", "/dev/sda")
        size = int(world.do(node, "blockdev", "--getsize64", "/dev/sda2"))
        assert abs(size - (world.lab.shape.osd_gb << 30)) < 64 << 20


def test_the_disk_that_came_without_room_for_ceph_was_given_it_as_an_operator_would(
    world: World,
) -> None:
    node, disks = world.lab.node(world.lab.shape.new_disk), world.lab.profile.disks
    assert disks is not None
    said = world.do(node, "sgdisk", "--info=2", "/dev/sda")
    recorded = {it.number: it.partuuid for it in read_records(disks.record)[node.name].partitions}
    assert f"Partition unique GUID: {recorded[2]}" in said
    # The table as it was before is kept there: with the system's partition only.
    kept = "$(ls /var/lib/cutover/sda.*.gpt)"
    before = f"truncate -s 24G /tmp/disk && sgdisk --load-backup={kept} /tmp/disk"
    try:
        world.do(node, "sh", "-c", before)
        table = world.do(node, "sgdisk", "--print", "/tmp/disk")
    finally:
        world.do(node, "rm", "-f", "/tmp/disk")
    assert [row[0] for row in map(str.split, table.splitlines()) if row][-1] == "1", table


ON_CEPHFS = (
    "docker ps --quiet | while read it; do "
    "docker inspect --format '{{range .Mounts}}{{.Source}} {{end}}' $it | "
    "grep -q ^/mnt && echo $it; done | xargs --no-run-if-empty docker restart"
)


def test_a_client_that_ceph_gave_up_mounts_again_by_itself(world: World) -> None:
    """Like after a partition that lasted longer than a session."""
    name = world.two.name
    clients = json.loads(world.do(world.one, "ceph", "tell", "mds.0", "client", "ls"))
    ids = [it["id"] for it in clients if it["client_metadata"]["hostname"] == name]
    for number in ids:
        world.do(world.one, "ceph", "tell", "mds.0", "client", "evict", f"id={number}")
    assert ids
    look = ("timeout", "5", "ls", "/mnt/cephfs")
    until(
        lambda: "odoo_instances" in world.do(world.two, *look, check=False),
        within_s=120,
        what="CephFS answers there again",
    )
    # The old platform's containers still hold the mount that is gone.
    world.do(world.two, "sh", "-c", ON_CEPHFS, within_s=300)


def test_what_the_lab_asks_of_ceph_is_what_ceph_does(world: World) -> None:
    """Ceph ignores an unknown option.

    A lab that starts from its copy tells the metadata servers alone how long they wait for clients.
    """
    asked = ConfigParser()
    asked.read_string((LAB / "machine/etc/ceph/ceph.conf").read_text(encoding="utf-8"))
    for daemon in ("mon", "mds"):
        name = f"{daemon}.{world.one.name}"
        shown = json.loads(world.do(world.one, "ceph", "daemon", name, "config", "show"))
        other = {
            key: (value, shown.get(key))
            for key, value in asked["global"].items()
            if "{{" not in value
            and not same(value, shown.get(key, ""))
            and (daemon, key) != ("mon", "mds_reconnect_timeout")
        }
        assert not other, name


def same(one: str, other: str) -> bool:
    try:
        return float(one) == float(other)
    except ValueError:
        return one == other


@pytest.mark.long
def test_a_metadata_server_that_is_gone_with_a_monitor_is_missed_and_replaced(
    world: World,
) -> None:
    """Ceph alone waits a minute for it: see the drill lose-manager."""
    name = metadata_server(world, world.one)
    node = next(it for it in world.lab.nodes if it.name == name)
    other = next(it for it in world.lab.nodes if it.name != name)
    world.power_off(node)
    try:
        until(
            lambda: metadata_server(world, other) not in ("", name),
            within_s=85,  # the sum in that drill, and a moment to ask
            what="another metadata server has taken over",
        )
        write = "timeout 5 sh -c 'echo > /mnt/cephfs/written && rm /mnt/cephfs/written && echo ok'"
        until(
            lambda: world.do(other, "sh", "-c", write, check=False),
            within_s=40,
            what="CephFS is written again",
        )
    finally:
        world.whole_from_power_on(node)


def metadata_server(world: World, node: Node) -> str:
    """The active metadata server's machine, as that machine reports it; empty if there is none."""
    told = world.do(node, "timeout", "10", "ceph", "fs", "status", "--format=json", check=False)
    servers = json.loads(told)["mdsmap"] if told else []
    return next((it["name"] for it in servers if it["state"] == "active"), "")


def test_the_node_agent_stops_and_its_pods_stay_as_under_rke2(world: World) -> None:
    world.do(world.two, "systemctl", "stop", "rke2-server")
    try:
        assert world.do(world.two, "pgrep", "-x", "kube-apiserver").strip()
        assert world.do(world.two, "pgrep", "-x", "etcd").strip()
    finally:
        world.do(world.two, "systemctl", "start", "rke2-server")
    until(
        lambda: world.readiness(world.two) == "True", within_s=120, what="the node is Ready again"
    )


def test_an_etcd_snapshot_is_taken_and_listed(world: World) -> None:
    said = world.do(world.one, "rke2", "etcd-snapshot", "save", within_s=150)
    path = said.strip().splitlines()[-1]
    assert Path(path).name in world.do(world.one, "rke2", "etcd-snapshot", "ls")
    status = world.do(world.one, "etcdctl", "snapshot", "status", path, check=False)
    assert status or int(world.do(world.one, "stat", "-c", "%s", path)) > 1_000_000


def boot_times(world: World) -> list[str]:
    """When each machine's PID 1 started."""
    numbers = [machines.init(world.lab, node) for node in world.lab.nodes]
    return [Path(f"/proc/{number}/stat").read_text().split()[21] for number in numbers]


def available_bytes() -> int:
    """Memory that the host can still allocate."""
    line = next(
        line for line in Path("/proc/meminfo").read_text().splitlines() if "MemAvailable" in line
    )
    return int(line.split()[1]) << 10


def host_free(world: World) -> int:
    """Bytes free where the lab's disks lie."""
    return shutil.disk_usage(world.lab.pool_image.parent).free
