"""Seeded defects of W1-ETCD: a member, its room, its disk and its link."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
import yaml

from harness.lab.shape import Node
from harness.tests.lab.red import beside, changed, says
from harness.tests.lab.world import World
from harness.waiting import until

MANIFESTS = "/var/lib/rancher/rke2/agent/pod-manifests"


@pytest.mark.defect("etcd has every member and one leader")
def test_a_stopped_etcd_member_is_found(world: World) -> None:
    away = "/var/lib/rancher/rke2/agent/etcd.yaml"
    world.do(world.three, "mv", f"{MANIFESTS}/etcd.yaml", away)
    try:
        until(
            lambda: not world.do(world.three, "pgrep", "-x", "etcd", check=False).strip(),
            within_s=60,
            what="etcd has stopped",
        )
        says(world.gate("W1-ETCD"), "W1-ETCD", world.three.name, "etcd member")
    finally:
        world.do(world.three, "mv", away, f"{MANIFESTS}/etcd.yaml")
        etcd_answers(world, world.three)


@pytest.mark.defect("etcd's database has room", "etcd raises no alarm")
def test_a_database_that_outgrew_its_quota_and_the_alarm_it_raised_are_found(world: World) -> None:
    try:
        with quota(world, world.two, 1 << 20):
            until(
                lambda: "NOSPACE" in etcdctl(world, "alarm", "list"),
                within_s=60,
                what="etcd raises its alarm",
            )
            words = (world.two.name, "of its quota", "expected no alarm, seen NOSPACE")
            says(world.gate("W1-ETCD"), "W1-ETCD", *words)
    finally:
        until(
            lambda: not etcdctl(world, "alarm", "disarm").strip(),
            within_s=240,
            every_s=5,
            what="etcd's alarm is off",
        )


@pytest.mark.defect("etcd writes its log fast enough")
def test_a_slow_disk_under_etcd_is_found(world: World) -> None:
    etcd = world.do(world.three, "pgrep", "-x", "etcd").strip()
    slow = ("strace", "-f", "-q", "-o", "/dev/null", "-e", "trace=fdatasync", "-p", etcd)
    with beside(world, world.three, *slow, "-e", "inject=fdatasync:delay_enter=300000"):
        says(world.gate("W1-ETCD"), "W1-ETCD", world.three.name, "WAL fsync")


@pytest.mark.defect("etcd's members are near enough to each other")
def test_a_crowded_link_between_members_is_found(world: World) -> None:
    # A sender that always has one more packet in the queue of a narrow link.
    crowd = ("socat", "-u", "-b1400", "OPEN:/dev/zero", f"UDP-SENDTO:{world.one.address}:9")
    narrow = ("root", "tbf", "rate", "3mbit", "burst", "3000", "latency", "3s")
    world.do(world.two, "tc", "qdisc", "replace", "dev", "host0", *narrow)
    try:
        with beside(world, world.two, *crowd):
            says(world.gate("W1-ETCD"), "W1-ETCD", f"{world.two.name} → ", "round trip")
    finally:
        world.do(world.two, "tc", "qdisc", "delete", "dev", "host0", "root")


@contextmanager
def quota(world: World, node: Node, size: int) -> Iterator[None]:
    """The member runs with another limit for its database, in bytes.

    And in kubeadm's form: what it is told is in its arguments, and its client port serves HTTP too.
    """
    manifest = node.system / "rancher/rke2/agent/pod-manifests/etcd.yaml"
    config = yaml.safe_load((node.system / "rancher/rke2/server/db/etcd/config").read_text())
    limit = f"--quota-backend-bytes={size}"
    pod = yaml.safe_load(manifest.read_text())
    pod["spec"]["containers"][0]["command"] = ["etcd", limit, *arguments(config)]
    with changed(manifest, yaml.safe_dump(pod).encode()):
        until(lambda: limit in etcd_runs(world, node), within_s=90, what=f"etcd runs with {limit}")
        etcd_answers(world, node)
        yield
    until(
        lambda: "--config-file" in etcd_runs(world, node),
        within_s=90,
        what="etcd runs with its own quota",
    )
    etcd_answers(world, node)


def arguments(config: Mapping[str, Any]) -> Iterator[str]:
    """The arguments that say what a configuration says, but for a port of HTTP's own."""
    milliseconds = 1_000_000
    for name, value in config.items():
        match name:
            case "listen-client-http-urls":
                continue
            case "client-transport-security" | "peer-transport-security":
                prefix = "peer-" if name.startswith("peer") else ""
                yield from (f"--{prefix}{key}={_plain(it)}" for key, it in value.items())
            case "log-outputs":
                yield f"--{name}={','.join(value)}"
            case "watch-progress-notify-interval":
                yield f"--{name}={value // milliseconds}ms"
            case _:
                yield f"--{name}={_plain(value)}"


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def etcd_runs(world: World, node: Node) -> str:
    """The command line of the machine's etcd; empty when there is none."""
    return world.do(node, "pgrep", "-a", "-x", "etcd", check=False)


def etcd_answers(world: World, node: Node) -> None:
    until(
        lambda: "started" in etcdctl(world, "member", "list", node=node),
        within_s=240,
        what=f"etcd of {node.name} answers",
    )


def etcdctl(world: World, *argv: str, node: Node | None = None) -> str:
    """What etcdctl printed on a machine, the first when none is given."""
    tls = "/var/lib/rancher/rke2/server/tls/etcd"
    access = (
        "--endpoints=https://127.0.0.1:2379",
        f"--cacert={tls}/ca.crt",
        f"--cert={tls}/healthcheck-client.crt",
        f"--key={tls}/healthcheck-client.key",
    )
    script = '"$@" 2>&1 || true'
    return world.do(node or world.one, "sh", "-c", script, "run", "etcdctl", *access, *argv)
