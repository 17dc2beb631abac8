"""Seeded defects of W1-ETCD, and of W1-API when a server stops: a member, its room, disk, link."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.core.waiting import until
from harness.lab.shape import Node
from harness.tests.lab.asking import ask
from harness.tests.lab.red import beside, says
from harness.tests.lab.world import World


@pytest.mark.defect(
    "etcd has every member and one leader",
    "every API server is ready",
    "the API answers through every server",
    "etcd's database has room",
    "etcd raises no alarm",
)
def test_a_stopped_member_and_then_one_without_room_are_found(world: World) -> None:
    """A member takes half a minute to start, so it restarts with a quota that is too small."""
    two = world.two
    try:
        with small_quota(world, two, 1 << 20) as start:
            with aside(two, "kube-apiserver"):
                until(
                    lambda: not world.do(two, "pgrep", "-x", "etcd|kube-apiserver", check=False),
                    within_s=90,
                    what="etcd and the API server have stopped",
                )
                ruling = world.gate("W1-ETCD", "W1-API")
            says(ruling, "W1-ETCD", f"{two.name}: expected a running etcd member")
            says(ruling, "W1-API", two.name, "its port closed")
            start()
            until(
                lambda: "NOSPACE" in etcdctl(world, "alarm", "list"),
                within_s=60,
                what="etcd raises its alarm",
            )
            words = (two.name, "of its quota", "expected no alarm, seen NOSPACE")
            says(world.gate("W1-ETCD"), "W1-ETCD", *words)
    finally:
        until(
            lambda: not etcdctl(world, "alarm", "disarm").strip(),
            within_s=240,
            every_s=1.0,
            what="etcd's alarm is off",
        )


@pytest.mark.defect(
    "etcd writes its log fast enough", "etcd's members are near enough to each other"
)
def test_a_member_with_a_slow_disk_and_one_behind_a_crowded_link_are_found(world: World) -> None:
    """One after the other: a member that waits for two others at once has little to judge.

    Neither leads: the API answers too late through a slow leader.
    """
    two, three = world.two, world.three
    lead(world, world.one)
    etcd = world.do(two, "pgrep", "-x", "etcd").strip()
    slow = ("strace", "-f", "-q", "-o", "/dev/null", "-e", "trace=fdatasync", "-p", etcd)
    check = "etcd writes its log fast enough"
    with beside(world, two, *slow, "-e", "inject=fdatasync:delay_enter=900000"):
        outcome, reason = ask(world.lab.name, "etcd-writes", check)[check]
    says = f"{two.name}: expected a p99 of at most 500 ms for a WAL fsync"
    assert (outcome, says in reason) == ("fail", True), reason

    # A sender that always has one more packet in the queue of a narrow link.
    crowd = ("socat", "-u", "-b1400", "OPEN:/dev/zero", f"UDP-SENDTO:{world.one.address}:9")
    narrow = ("root", "tbf", "rate", "1mbit", "burst", "3000", "latency", "5s")
    check = "etcd's members are near enough to each other"
    world.do(three, "tc", "qdisc", "replace", "dev", "host0", *narrow)
    try:
        with beside(world, three, *crowd, unit="crowd"):
            outcome, reason = ask(world.lab.name, "host-facts", check)[check]
    finally:
        world.do(three, "tc", "qdisc", "delete", "dev", "host0", "root")
    # The answers of the crowded machine wait in that queue as well; its own trips may take too long
    # to be judged.
    pairs = re.findall(r"(\S+) → (\S+): expected a p99 of at most 500 ms for a round trip", reason)
    assert outcome == "fail", reason
    assert pairs, reason
    assert all(three.name in pair for pair in pairs), reason


@contextmanager
def aside(node: Node, part: str) -> Iterator[Path]:
    """Move a static pod's manifest away, and its pod stops; the manifest's present path."""
    manifest = node.system / f"rancher/rke2/agent/pod-manifests/{part}.yaml"
    away = manifest.parent.with_name(manifest.name)
    manifest.rename(away)
    try:
        yield away
    finally:
        away.rename(manifest)


@contextmanager
def small_quota(world: World, node: Node, size: int) -> Iterator[Callable[[], None]]:
    """Stop the member; a call starts it with another limit for its database, in bytes.

    It starts in kubeadm's form: with arguments, and a client port that serves HTTP too.
    """
    config = yaml.safe_load((node.system / "rancher/rke2/server/db/etcd/config").read_text())
    limit = f"--quota-backend-bytes={size}"

    with aside(node, "etcd") as away:
        pod = yaml.safe_load(away.read_text())
        pod["spec"]["containers"][0]["command"] = ["etcd", limit, *arguments(config)]
        manifest = away.parent / "pod-manifests" / away.name

        def start() -> None:
            manifest.write_text(yaml.safe_dump(pod))
            until(
                lambda: limit in etcd_runs(world, node), within_s=90, what=f"etcd runs with {limit}"
            )
            etcd_answers(world, node)

        yield start
    until(
        lambda: "--config-file" in etcd_runs(world, node),
        within_s=180,
        what="etcd runs with its own quota",
    )
    etcd_answers(world, node)


def arguments(config: Mapping[str, Any]) -> Iterator[str]:
    """The arguments for a configuration, except a separate port for HTTP."""
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


def lead(world: World, node: Node) -> None:
    """Make a machine's member of etcd the leader, and wait until it is."""

    def leads() -> bool:
        said = etcdctl(world, "endpoint", "status", "--cluster", "--write-out=json")
        members = {it["Endpoint"]: it["Status"] for it in json.loads(said)}
        mine = members[f"https://{node.address}:2379"]["header"]["member_id"]
        leader = {it["leader"] for it in members.values()}
        for other in (world.one, world.two, world.three):
            if members[f"https://{other.address}:2379"]["header"]["member_id"] in leader - {mine}:
                etcdctl(world, "move-leader", f"{mine:x}", node=other)
        return leader == {mine}

    until(leads, within_s=60, what=f"the member of {node.name} leads etcd")


def etcdctl(world: World, *argv: str, node: Node | None = None) -> str:
    """etcdctl's output on a machine, the first if none is given."""
    tls = "/var/lib/rancher/rke2/server/tls/etcd"
    access = (
        "--endpoints=https://127.0.0.1:2379",
        f"--cacert={tls}/ca.crt",
        f"--cert={tls}/healthcheck-client.crt",
        f"--key={tls}/healthcheck-client.key",
    )
    script = '"$@" 2>&1 || true'
    return world.do(node or world.one, "sh", "-c", script, "run", "etcdctl", *access, *argv)
