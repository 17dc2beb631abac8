"""Seeded defects of W3-ROOK on the lab's own Rook, which is connected to the machines' Ceph."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness.core.waiting import until
from harness.lab import kubernetes
from harness.tests.lab.red import says
from harness.tests.lab.world import World

OPERATOR, SPACE = "rook-ceph", "rook-ceph-external"
DRIVER = "rook-ceph.cephfs.csi.ceph.com"
# The user that Rook's own script made in Ceph, with the rights that Rook asks for.
USER = "client.healthchecker"
ENDPOINTS = ("configmap/rook-ceph-mon-endpoints", f"--namespace={SPACE}")
SECRET = ("secret/rook-csi-cephfs-node", f"--namespace={SPACE}")


@pytest.mark.defect(
    "Rook's operator is ready",
    "Rook's monitors are the declared ones",
    "Rook's storage class is as declared",
    "the CSI drivers are the declared ones",
)
def test_a_stopped_operator_a_stale_monitor_a_lost_secret_and_a_driver(world: World) -> None:
    with (
        without_operator(world),
        stale_monitor(world),
        without(world, *SECRET),
        csi_driver(world),
    ):
        ruling = world.gate("W3-ROOK")
    says(
        ruling,
        "W3-ROOK",
        f"{OPERATOR}/rook-ceph-operator: expected it to run, seen it scaled to 0",
        "Rook's operator: expected the monitors 10.0.0.1:6789, 10.0.0.2:6789 and 10.0.0.3:6789",
        "10.0.0.9:6789",
        f"expected the secret {SPACE}/rook-csi-cephfs-node, seen none",
        f"{DRIVER}: expected none (rook.csi: absent), seen a CSIDriver",
    )


@contextmanager
def without_operator(world: World) -> Iterator[None]:
    def scale(replicas: int) -> None:
        world.scale(OPERATOR, "rook-ceph-operator", replicas, label="app=rook-ceph-operator")

    scale(0)
    try:
        yield
    finally:
        scale(1)


@contextmanager
def stale_monitor(world: World) -> Iterator[None]:
    """Rook's list of monitors has the address of one that is no more."""
    path = "--output=jsonpath={.data.data}"
    before = world.kubectl("get", *ENDPOINTS, path)

    def say(monitors: str) -> None:
        patch = json.dumps({"data": {"data": monitors}})
        world.kubectl("patch", *ENDPOINTS, "--type=merge", f"--patch={patch}")

    say(before.replace("10.0.0.3:", "10.0.0.9:"))
    try:
        yield
    finally:
        say(before)


@contextmanager
def without(world: World, *which: str) -> Iterator[None]:
    """An object is away."""
    held = world.kubectl("get", *which, "--output=json")
    world.kubectl("delete", *which)
    try:
        yield
    finally:
        put(world, json.loads(held))


@contextmanager
def csi_driver(world: World) -> Iterator[None]:
    """A driver of Ceph's that the profile calls absent."""
    put(
        world,
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "CSIDriver",
            "metadata": {"name": DRIVER},
            "spec": {"attachRequired": False},
        },
    )
    try:
        yield
    finally:
        world.kubectl("delete", f"csidriver/{DRIVER}")


def put(world: World, item: dict[str, object]) -> None:
    kubernetes.insist(world.lab, "apply", "-f", "-", stdin=json.dumps(item), log=world.log)


@pytest.mark.defect("Rook's Ceph is as declared and well")
def test_a_ceph_that_refuses_rooks_user_is_found_by_what_rook_says(world: World) -> None:
    with refused(world):
        until(lambda: connected(world) == "False", within_s=150, what="Rook is no more connected")
        ruling = world.gate("W3-ROOK")
    says(
        ruling,
        "W3-ROOK",
        f"CephCluster {SPACE}: expected the condition Connected, seen Connected=False",
        f"CephCluster {SPACE}: expected HEALTH_OK, seen HEALTH_ERR",
    )


def connected(world: World) -> str:
    path = '--output=jsonpath={.status.conditions[?(@.type=="Connected")].status}'
    return world.kubectl("get", f"cephcluster/{SPACE}", f"--namespace={SPACE}", path)


@contextmanager
def refused(world: World) -> Iterator[None]:
    """Ceph answers none of the questions that Rook asks."""
    (held,) = json.loads(world.do(world.one, "ceph", "auth", "get", USER, "--format", "json"))
    rights = [word for part, right in held["caps"].items() for word in (part, right)]
    world.do(world.one, "ceph", "auth", "caps", USER, "mon", "allow command version")
    try:
        yield
    finally:
        world.do(world.one, "ceph", "auth", "caps", USER, *rights)
