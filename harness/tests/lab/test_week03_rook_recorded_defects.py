"""Seeded defects of W3-ROOK that the lab's own Rook cannot have, on recorded objects: see ``rook``.

Each test breaks several things that different checks look at, and one gate must report them all.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from harness.core.waiting import until
from harness.lab.shape import Lab
from harness.tests.lab import rook as lab_rook
from harness.tests.lab.red import says
from harness.tests.lab.rook import StandIn
from harness.tests.lab.world import World
from harness.tests.rook_objects import GROUP, stamp

CEPHFS, RBD = "rook-ceph.cephfs.csi.ceph.com", "rook-ceph.rbd.csi.ceph.com"


@pytest.fixture(scope="module")
def installed(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    world = World(lab, tmp_path_factory.mktemp("rook"))
    world.still_whole()
    with lab_rook.stand_in(world) as rook:
        yield rook
    world.whole()


@pytest.fixture
def rook(installed: StandIn) -> StandIn:
    """An intact Rook, as of now."""
    installed.put()
    return installed


def test_recorded_objects_of_rook_are_proven(rook: StandIn) -> None:
    ruling = rook.gate()
    assert ruling.outcome("W3-ROOK") == "pass", ruling.reason("W3-ROOK")
    assert ruling["W3-ROOK"]["measured"]["health_age_minutes"] < 10


@pytest.mark.defect(
    "Rook's operator is ready",
    "Rook is of its declared version",
    "Rook's Ceph is as declared and well",
    "Rook's monitors are the declared ones",
    "Rook's storage class is as declared",
)
def test_an_operator_that_is_away_and_objects_that_are_not_the_declared_ones(
    rook: StandIn,
) -> None:
    with rook.changing("Deployment", "rook-ceph-operator") as operator:
        operator["spec"]["replicas"] = 0
        (container,) = operator["spec"]["template"]["spec"]["containers"]
        container["image"] = "docker.io/rook/ceph:v1.17.8"
    with rook.changing("ConfigMap", "rook-ceph-mon-endpoints") as monitors:
        data = monitors["data"]
        data["data"] = data["data"].replace("10.0.0.3:", "10.0.0.9:")
    with rook.changing("CephConnection", "rook-ceph") as connection:
        connection["spec"]["monitors"][2] = "10.0.0.98:6789"
    with rook.changing("ConfigMap", "ceph-csi-config") as file:
        entries = json.loads(file["data"]["config.json"])
        entries[1]["monitors"] = ["10.0.0.99:6789"]
        file["data"]["config.json"] = json.dumps(entries)
    rook.tell("cephcluster", "rook-ceph", phase="Progressing", message="waiting for monitors")
    rook.recreate_class(lambda item: item["parameters"].update(pool="elsewhere"))
    rook.space.kubectl("delete", "secret", "rook-csi-cephfs-node", "--wait=false")
    says(
        rook.gate(),
        "W3-ROOK",
        "rook-ceph/rook-ceph-operator: expected it to run, seen it scaled to 0",
        "expected Rook v1.18.4, seen v1.17.8",
        "expected phase Ready, seen Progressing (waiting for monitors)",
        "Rook's operator: expected the monitors",
        "seen 10.0.0.1:6789, 10.0.0.2:6789, 10.0.0.9:6789",
        "seen 10.0.0.1:6789, 10.0.0.2:6789, 10.0.0.98:6789 in rook-ceph/rook-ceph",
        f"ConfigMap rook-ceph/ceph-csi-config, {GROUP}: expected the monitors",
        "seen 10.0.0.99:6789",
        "expected pool cephfs-data0, seen elsewhere",
        "expected the secret rook-ceph/rook-csi-cephfs-node, seen none",
    )


@pytest.mark.defect("the CSI drivers are on every machine", "the CSI controllers have a leader")
def test_drivers_that_are_not_on_every_machine_and_controllers_without_a_leader(
    rook: StandIn,
) -> None:
    away, deaf = rook.world.two.name, rook.world.three.name
    elsewhere = {"key": "kubernetes.io/hostname", "operator": "NotIn", "values": [away]}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [elsewhere]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
    with rook.changing("DaemonSet", f"{CEPHFS}-nodeplugin") as plugin:
        plugin["spec"]["template"]["spec"]["affinity"] = affinity
    with rook.changing("Deployment", f"{RBD}-ctrlplugin") as controller:
        controller["spec"]["replicas"] = 0
    with rook.changing("Lease", CEPHFS.replace(".", "-")) as lease:
        lease["spec"]["renewTime"] = stamp(time.time() - 600).replace("Z", ".000000Z")
    rook.list_drivers(deaf, CEPHFS)
    rook.settle()
    ruling = rook.gate()
    says(
        ruling,
        "W3-ROOK",
        f"{away}: expected a ready pod of rook-ceph/{CEPHFS}-nodeplugin, seen none",
        f"{deaf}: expected its CSINode to list {RBD}, seen it without",
        f"rook-ceph/{RBD}-ctrlplugin: expected it to run, seen it scaled to 0",
        f"{CEPHFS}: expected its leader",
    )
    assert f"{deaf}: expected a ready pod" not in ruling.reason("W3-ROOK")


@pytest.mark.defect(
    "every machine runs its OSD in Rook",
    "every pool of Rook keeps three copies",
    "no pod of Rook crashes again and again",
)
def test_an_osd_on_another_disk_a_thin_pool_and_a_pod_that_crashes(rook: StandIn) -> None:
    with rook.changing("Deployment", "rook-ceph-osd-1") as osd:
        (container,) = osd["spec"]["template"]["spec"]["containers"]
        container["env"][1]["value"] = "/dev/sda1"
    with rook.changing("Deployment", "rook-ceph-osd-2") as osd:
        osd["spec"]["replicas"] = 0
    with rook.changing("CephBlockPool", "replicapool") as pool:
        pool["spec"]["replicated"]["size"] = 2
    with rook.changing("Deployment", "ceph-csi-controller-manager") as operator:
        (container,) = operator["spec"]["template"]["spec"]["containers"]
        container["command"] = ["false"]
    until(lambda: "CrashLoopBackOff" in rook.waits(), within_s=120, what="a pod that crashes")
    says(
        rook.gate(),
        "W3-ROOK",
        f"{rook.world.two.name}: expected its OSD on /dev/sda2, seen /dev/sda1",
        f"{rook.world.three.name}: expected one OSD, seen 0",
        "CephBlockPool replicapool: expected 3 copies, seen 2",
        "expected main to run on, seen",
    )
