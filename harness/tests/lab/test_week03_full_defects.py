"""Seeded defects of W3-ROOK and W3-CEPH in the full shape of the lab, where Rook runs Ceph."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from harness.core.waiting import until
from harness.lab.shape import Lab
from harness.tests.lab.conftest import running
from harness.tests.lab.red import says
from harness.tests.lab.test_week03_rook_defects import put, without_operator
from harness.tests.lab.world import World

pytestmark = pytest.mark.lab_full
ROOK = "rook-ceph"
SPACE = f"--namespace={ROOK}"
POOL = ("cephblockpool/defect", SPACE)
ENDPOINTS = ("configmap/rook-ceph-mon-endpoints", SPACE)


@pytest.fixture(scope="module")
def lab(pytestconfig: pytest.Config) -> Lab:
    return running("lab-full", pytestconfig)


@pytest.mark.defect(
    "Rook's operator is ready",
    "Rook's monitors are the declared ones",
    "every pool of Rook keeps three copies",
    "every machine runs its OSD in Rook",
    "every Ceph monitor is in quorum",
    "every OSD is up and in",
    "the failure domain is the host",
)
def test_a_rook_that_lost_its_operator_a_monitor_an_osd_and_its_pools_domain_is_found(
    world: World,
) -> None:
    with (
        pool_on_osds(world),
        without_operator(world),
        stale_monitor(world),
        without_monitor(world, "c"),
        other_device(world, 2),
        without_osd(world, 1),
    ):
        ruling = world.gate("W3-ROOK", "W3-CEPH", cluster="lab-full")
    says(
        ruling,
        "W3-ROOK",
        f"{ROOK}/rook-ceph-operator: expected it to run, seen it scaled to 0",
        "Rook's operator: expected the monitors",
        "10.43.0.109:6789",
        "CephBlockPool defect: expected its copies on different hosts, seen osd",
        f"{world.two.name}: expected one OSD, seen 0",
        f"{world.three.name}: expected its OSD on /dev/sda2, seen /dev/defect",
    )
    says(ruling, "W3-CEPH", "monitor", "osd.1")


@contextmanager
def pool_on_osds(world: World) -> Iterator[None]:
    """A pool whose copies may be on OSDs of one machine."""
    kind = {"apiVersion": "ceph.rook.io/v1", "kind": "CephBlockPool"}
    spec = {"failureDomain": "osd", "replicated": {"size": 3}}
    put(world, {**kind, "metadata": {"name": "defect", "namespace": ROOK}, "spec": spec})
    phase = "--output=jsonpath={.status.phase}"
    try:
        until(lambda: world.kubectl("get", *POOL, phase) == "Ready", within_s=120, what="the pool")
        yield
    finally:
        world.kubectl("delete", *POOL, "--wait=false")
        until(
            lambda: world.kubectl("get", *POOL, "--ignore-not-found") == "",
            within_s=180,
            what="the pool is gone",
        )


@contextmanager
def stale_monitor(world: World) -> Iterator[None]:
    """The operator's list of monitors has the address of one that is no more."""
    before = world.kubectl("get", *ENDPOINTS, "--output=jsonpath={.data.data}")

    def say(monitors: str) -> None:
        patch = json.dumps({"data": {"data": monitors}})
        world.kubectl("patch", *ENDPOINTS, "--type=merge", f"--patch={patch}")

    say(before.replace("10.43.0.103:", "10.43.0.109:"))
    try:
        yield
    finally:
        say(before)


@contextmanager
def without_monitor(world: World, name: str) -> Iterator[None]:
    """A monitor's deployment is deleted; the operator makes it anew when it is back."""
    world.kubectl("delete", f"deployment/rook-ceph-mon-{name}", SPACE)
    until(lambda: "MON_DOWN" in health(world), within_s=90, what="Ceph misses its monitor")
    yield


@contextmanager
def without_osd(world: World, number: int) -> Iterator[None]:
    name, label = f"rook-ceph-osd-{number}", f"ceph-osd-id={number}"
    world.scale(ROOK, name, 0, label=label)
    try:
        until(lambda: "OSD_DOWN" in health(world), within_s=90, what="Ceph misses its OSD")
        yield
    finally:
        world.scale(ROOK, name, 1, label=label)


@contextmanager
def other_device(world: World, number: int) -> Iterator[None]:
    """Rook runs an OSD on another device of its machine, which is the same disk by another name."""
    node = world.lab.nodes[number]
    which = world.do(node, "stat", "--format=%Hr %Lr", "/dev/sda2").split()
    world.do(node, "mknod", "/dev/defect", "b", *which)
    try:
        use(world, number, "/dev/defect")
        yield
    finally:
        use(world, number, "/dev/sda2")
        world.do(node, "rm", "/dev/defect")


def use(world: World, number: int, device: str) -> None:
    """Tell the OSD's containers another device, and wait until the OSD runs with it."""
    name = f"deployment/rook-ceph-osd-{number}"
    world.kubectl("set", "env", name, SPACE, "--containers=*", f"ROOK_BLOCK_PATH={device}")
    status = ("rollout", "status", name, SPACE, "--timeout=5s")
    until(
        lambda: "successfully" in world.kubectl(*status, check=False),
        within_s=180,
        what=f"osd.{number} runs on {device}",
    )


def health(world: World) -> dict[str, Any]:
    """The checks that Ceph raises, as it says in the toolbox."""
    ask = ("ceph", "health", "--format=json")
    told = world.kubectl("exec", "deployment/rook-ceph-tools", SPACE, "--", *ask, check=False)
    checks: dict[str, Any] = json.loads(told or "{}").get("checks", {})
    return checks


@pytest.mark.defect("Ceph is healthy")
def test_without_the_toolbox_nothing_of_ceph_is_proven(world: World) -> None:
    world.scale(ROOK, "rook-ceph-tools", 0, label="app=rook-ceph-tools")
    try:
        ruling = world.gate("W3-CEPH", cluster="lab-full")
    finally:
        world.scale(ROOK, "rook-ceph-tools", 2, label="app=rook-ceph-tools")
    says(ruling, "W3-CEPH", "toolbox", outcome="not_proven")
