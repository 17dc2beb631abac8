"""Seeded defects of W3-CEPH and W3-CAPACITY: settings, slow writes, lost OSDs and monitors.

Each gate costs seconds, so several defects that do not hide each other are seeded at once; each
must be red with its own reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from harness.core.waiting import until
from harness.faults.budget import refusal
from harness.faults.cluster_state import current_state
from harness.faults.model import BlastRadius
from harness.lab.shape import Node
from harness.tests.lab.breaking import inside
from harness.tests.lab.red import beside, says
from harness.tests.lab.world import World

BOTH = ("W3-CEPH", "W3-CAPACITY")
# What nothing else depends on; all told to one ceph, since each takes a second to start.
SETTINGS = """
osd pool create defect 1
osd pool set defect size 2
osd pool set defect min_size 1
osd crush rule create-replicated defect default osd
osd pool set defect crush_rule defect
osd set noout
osd set-nearfull-ratio 0.01
osd set-full-ratio 0.7
config set osd osd_op_complaint_time 0.001
"""
# What begins with a dash is taken for an option there.
NO_DRIFT = ("config", "set", "mon", "mon_clock_drift_allowed", "--", "-1")
AS_BEFORE = """
config rm osd osd_op_complaint_time
config rm mon mon_clock_drift_allowed
osd pool delete defect defect --yes-i-really-really-mean-it
osd crush rule rm defect
osd unset noout
osd set-full-ratio 0.95
osd set-nearfull-ratio 0.85
"""
# Into the pool that goes again: its writes take longer than what is complained of.
WRITES = ("rados", "-p", "defect", "bench", "600", "write", "-b", "4096", "-t", "8")
# A library whose only difference is the number of its version.
OTHER_VERSION = r"""
set -e
mkdir -p /opt/defect "/run/systemd/system/$1.d"
version=$(ceph --version | cut -d " " -f 3)
sed "s/$version/99${version#??}/g" /usr/lib/x86_64-linux-gnu/ceph/libceph-common.so.2 \
    > /opt/defect/libceph-common.so.2
printf '[Service]\nEnvironment=LD_LIBRARY_PATH=/opt/defect\n' \
    > "/run/systemd/system/$1.d/defect.conf"
"""
SAME_VERSION = 'rm -r /opt/defect "/run/systemd/system/$1.d"'
RESTART = 'systemctl daemon-reload; systemctl reset-failed "$1"; systemctl restart "$1"'


def script(world: World, node: Node, text: str, *arguments: str, check: bool = True) -> str:
    return world.do(node, "sh", "-c", text, "defect", *arguments, check=check)


def ceph(world: World, *words: str) -> Any:
    said = world.do(world.one, "timeout", "20", "ceph", *words, "--format=json", check=False)
    return json.loads(said or "{}")


def complaints(world: World) -> set[str]:
    return set(ceph(world, "health").get("checks", {}))


def alone(world: World, node: Node) -> bool:
    """True if the machine's monitor knows that it is in no quorum."""
    said = world.do(node, "ceph", "daemon", f"mon.{node.name}", "mon_status", check=False)
    return '"state": "leader"' not in said and '"state": "peon"' not in said


def as_declared(world: World) -> str:
    """The lab's profile as another cluster's: a gate on it does not manage the lab."""
    return world.profile_with([])


@contextmanager
def stopped(world: World, node: Node, unit: str) -> Iterator[None]:
    world.do(node, "systemctl", "stop", unit)
    try:
        yield
    finally:
        script(world, node, RESTART, unit)


@contextmanager
def settings(world: World) -> Iterator[None]:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    crash = {"crash_id": f"{now}_defect", "timestamp": now, "entity_name": "mds.defect"}
    try:
        world.do(world.one, "ceph", stdin=SETTINGS.strip())
        world.do(world.one, "ceph", *NO_DRIFT)
        world.do(world.one, "ceph", "crash", "post", "-i", "-", stdin=json.dumps(crash))
        yield
    finally:
        back = f"{AS_BEFORE.strip()}\ncrash rm {crash['crash_id']}"
        world.do(world.one, "ceph", stdin=back, check=False)


@contextmanager
def another_version(world: World) -> Iterator[None]:
    """A standby metadata server runs another version than the rest."""
    active = {rank["name"] for rank in ceph(world, "status")["fsmap"]["by_rank"]}
    node = next(node for node in world.lab.nodes if node.name not in active)
    unit = f"ceph-mds@{node.name}.service"
    try:
        script(world, node, OTHER_VERSION, unit)
        script(world, node, RESTART, unit)
        yield
    finally:
        script(world, node, SAME_VERSION, unit)
        script(world, node, RESTART, unit)


@pytest.mark.defect(
    "Ceph is healthy",
    "the monitors' clocks agree",
    "no operation in Ceph is slow",
    "no crash of Ceph is unread",
    "no flag holds Ceph back",
    "every pool keeps its copies",
    "the failure domain is the host",
    "no scrub is overdue",
    "the usable capacity is large enough",
    "there is more room than before",
    "losing one machine leaves room",
)
def test_wrong_settings_slow_writes_and_an_unread_crash_are_found(world: World) -> None:
    sooner = "\n  W3-CEPH:\n    scrub_age_days: {number: 0.0001, because: a test asks for it}"
    profile = world.profile_with([("\ntargets:", f"\ntargets:{sooner}")])
    with settings(world), beside(world, world.one, *WRITES):
        until(
            lambda: {"SLOW_OPS", "OSD_NEARFULL", "RECENT_CRASH"} <= complaints(world),
            within_s=180,
            what="Ceph complains of slow operations, of a full OSD and of a crash",
        )
        ruling = world.gate(*BOTH, cluster=profile)
    says(
        ruling,
        "W3-CEPH",
        "expected only declared warnings, seen OSD_NEARFULL",
        "RECENT_CRASH",
        "expected its clock within 50 ms",
        "expected no slow operation, seen SLOW_OPS",
        "mds.defect: expected no unread crash",
        "expected no flag that is not declared, seen noout",
        "pool defect: expected size 3, seen size 2",
        "pool defect: expected min_size 2, seen min_size 1",
        "pool defect: expected the failure domain host, seen osd (rule defect)",
        "expected every placement group scrubbed in 0.0001 days",
    )
    says(
        ruling,
        "W3-CAPACITY",
        "expected 11 GB of usable capacity",
        "expected 1.5 times the 7 GB that it replaces",
        f"{world.one.name}: expected every OSD below 1 % after losing this machine",
    )


@pytest.mark.defect(
    "every Ceph monitor is in quorum",
    "every OSD is up and in",
    "every placement group is active and clean",
    "the copies lie on different machines",
    "every daemon of Ceph runs one version",
)
def test_a_lost_disk_a_lost_monitor_and_a_half_done_upgrade_are_found(world: World) -> None:
    lost = world.three
    with (
        another_version(world),
        stopped(world, lost, f"ceph-mon@{lost.name}"),
        stopped(world, lost, "ceph-osd@2"),
    ):
        try:
            world.do(world.one, "ceph", "osd", "out", "2")
            until(
                lambda: "PG_DEGRADED" in complaints(world), within_s=120, what="copies are missing"
            )
            until(
                lambda: "ceph version 99." in json.dumps(ceph(world, "versions")),
                within_s=60,
                what="a metadata server of another version is back",
            )
            ruling = world.gate("W3-CEPH", cluster=as_declared(world))
        finally:
            world.do(world.one, "ceph", "osd", "in", "2")
    says(
        ruling,
        "W3-CEPH",
        f"{lost.name}: expected this monitor in quorum, seen it out of it",
        "expected 3 monitors in quorum, seen 2",
        f"{lost.name}: expected osd.2 up, seen it down",
        f"{lost.name}: expected osd.2 in, seen it out",
        "expected every placement group active and clean",
        "undersized",
        f"{world.one.name} and {world.two.name}: expected copies on 3 machines",
        "expected one version everywhere",
        ", 99.",
    )


@pytest.mark.defect("every Ceph monitor is in quorum")
def test_a_ceph_that_answers_nobody_is_found(world: World) -> None:
    profile = as_declared(world)
    with (
        stopped(world, world.two, f"ceph-mon@{world.two.name}"),
        stopped(world, world.three, f"ceph-mon@{world.three.name}"),
    ):
        # It answers for a few seconds more: until its lease has ended.
        until(lambda: alone(world, world.one), within_s=120, what="the monitor has no quorum")
        ruling = world.gate(*BOTH, cluster=profile)
    says(
        ruling,
        "W3-CEPH",
        "expected monitors that answer, seen none",
        f"its monitor {world.one.name} is",
        "no monitor answers on it",
    )
    assert ruling.outcome("W3-CAPACITY") == "not_proven"
    assert "no monitor answered" in ruling.reason("W3-CAPACITY")


# A frozen OSD does not report the others, which an OSD does that lives while they die.
HALTED = """
set -e
folder="/run/systemd/system/$1.d"
mkdir -p "$folder"
printf '[Service]\\nRestart=no\\n' > "$folder/zz-defect.conf"
systemctl daemon-reload
systemctl kill --signal=STOP "$1"
"""


@contextmanager
def without_osds(world: World) -> Iterator[None]:
    """No OSD runs on any machine, and none is left to report that to the monitors."""
    units = {node: f"ceph-osd@{number}.service" for number, node in enumerate(world.lab.nodes)}
    try:
        with ThreadPoolExecutor(len(units)) as pool:
            list(pool.map(lambda node: script(world, node, HALTED, units[node]), units))
            kill = ("systemctl", "kill", "--signal=KILL")
            list(pool.map(lambda node: world.do(node, *kill, units[node]), units))
        yield
    finally:
        for node, unit in units.items():
            script(world, node, 'rm -r "/run/systemd/system/$1.d"', unit, check=False)
            script(world, node, RESTART, unit)


@pytest.mark.defect("every OSD answers")
def test_osds_that_are_all_gone_at_once_are_found_though_ceph_calls_them_up(
    world: World,
) -> None:
    profile = as_declared(world)
    with inside(world) as do, without_osds(world):
        ruling = world.gate("W3-CEPH", cluster=profile)
        reason = do(
            lambda reach: refusal(
                current_state(reach), world.one.name, frozenset({BlastRadius.OSD})
            )
        )
    for number, node in enumerate(world.lab.nodes):
        seen = f"{node.name}, osd.{number}: expected this OSD to answer, seen Ceph call it up"
        says(ruling, "W3-CEPH", seen)
        assert reason is not None
        assert f"osd.{number} on {node.name} is up in Ceph's map and does not answer" in reason
    assert "expected osd.0 up" not in ruling.reason("W3-CEPH")
