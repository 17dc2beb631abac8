"""Rook from the objects of its API to the verdict: both modes are clean, each defect is found."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from harness.checks import csi, rook
from harness.core.model import Outcome
from harness.tests import rook_objects
from harness.tests.clean_cluster import NOW
from harness.tests.fake_transport import FakeKube
from harness.tests.probe_rig import observe, reach
from harness.tests.rook_objects import MACHINES, Item, Mode, find, recorded, stamp
from harness.tests.rook_seen import (
    CEPH,
    CEPHFS,
    CLASS,
    CONTROLLER,
    CRASH,
    DECLARED,
    DRIVERS,
    LEADER,
    MONS,
    NODE_PLUGIN,
    OF_CLUSTER_MODE,
    OSDS,
    PARAMETERS,
    POOLS,
    READY,
    STATUS,
    VERSION,
    Defect,
    changed,
    gone,
    image,
    judge,
    pods_of,
    seen,
)


@pytest.mark.parametrize("csi_operator", [True, False], ids=["CSI operator", "Rook's own CSI"])
@pytest.mark.parametrize("mode", ["external", "cluster"])
def test_both_modes_are_clean_in_both_layouts_of_csi(mode: Mode, csi_operator: bool) -> None:
    value = seen(recorded(mode, csi_operator=csi_operator, now=NOW), mode)
    for check in {**rook.CHECKS, **csi.CHECKS}:
        if mode == "cluster" or check not in OF_CLUSTER_MODE:
            verdict = judge(check, value, mode)
            assert (verdict.outcome, verdict.where) == (Outcome.PASS, ()), verdict.reason
    assert judge(CEPH, value, mode).measured == {"health_age_minutes": 0.7}


def test_no_secret_is_read() -> None:
    kube = FakeKube(rook_objects.served(recorded("external", now=NOW)))
    value = observe("rook", reach(kube=kube, like=rook_objects.profile("external")), "contabo")
    asked = {(verb, path) for verb, path in kube.calls if "/secrets" in str(path)}
    space = "/api/v1/namespaces/rook-ceph-external/secrets"
    assert asked == {
        ("EXISTS", f"{space}/rook-csi-cephfs-provisioner"),
        ("EXISTS", f"{space}/rook-csi-cephfs-node"),
    }
    assert "cGxhbnRlZC1jYW5hcnk=" not in json.dumps(value)


# --- each way to be red -----------------------------------------------------------------------


def _unready(pod: Item) -> None:
    pod["status"]["conditions"][0]["status"] = "False"


def _leaving(pod: Item) -> None:
    pod["metadata"]["deletionTimestamp"] = stamp(NOW)


def _other_device(pod: Item) -> None:
    pod["spec"]["containers"][0]["env"][1]["value"] = "/dev/sda1"


def _moved(pod: Item) -> None:
    pod["spec"]["nodeName"] = "vmi9"


def _waits(reason: str) -> Callable[[Item], None]:
    def change(pod: Item) -> None:
        state = pod["status"]["containerStatuses"][0]
        state["state"] = {"waiting": {"reason": reason}}

    return change


def _ended(restarts: int, ago_s: float) -> Callable[[Item], None]:
    def change(pod: Item) -> None:
        state = pod["status"]["containerStatuses"][0]
        ended = {"reason": "OOMKilled", "finishedAt": stamp(NOW - ago_s)}
        state.update(restartCount=restarts, lastState={"terminated": ended})

    return change


def _is_over(exit_code: int) -> Callable[[Item], None]:
    def change(pod: Item) -> None:
        state = pod["status"]["containerStatuses"][0]
        state.update(restartCount=1, state={"terminated": {"exitCode": exit_code}})

    return change


def _without_drivers(items: list[Item]) -> None:
    find(items, "CSINode", MACHINES[2])["spec"]["drivers"] = None


def _other_monitors(where: str) -> Defect:
    def defect(items: list[Item]) -> None:
        data = find(items, "ConfigMap", "rook-ceph-mon-endpoints")["data"]
        data[where] = data[where].replace("10.0.0.3:", "10.0.0.9:")

    return defect


def _raised(health: str, **details: str) -> Defect:
    """Ceph's health, and the checks that say why."""
    told = {name: {"severity": "HEALTH_WARN", "message": says} for name, says in details.items()}
    more = {"health": health, "lastChecked": stamp(NOW), "details": told}
    return changed("CephCluster", "rook-ceph", "status", "ceph", to=more)


_THIN = {"size": 2, "requireSafeReplicaSize": True}
DEFECTS: list[tuple[str, Defect, str]] = [
    (READY, gone("Deployment", "rook-ceph-operator"), "rook-ceph/rook-ceph-operator: expected"),
    (
        READY,
        changed("Deployment", "rook-ceph-operator", "spec", "replicas", to=0),
        "seen it scaled to 0",
    ),
    (
        READY,
        changed("Deployment", "rook-ceph-operator", "status", "availableReplicas", to=0),
        "expected 1 available, seen 0",
    ),
    (
        READY,
        changed("Deployment", "rook-ceph-operator", "metadata", "generation", to=2),
        "expected 1 of its newest template, seen 0",
    ),
    (READY, gone("Deployment", "ceph-csi-controller-manager"), "expected this deployment"),
    (VERSION, image("docker.io/rook/ceph:v1.17.8"), "expected Rook v1.18.4, seen v1.17.8"),
    (
        VERSION,
        changed(
            "Deployment", "rook-ceph-osd-1", "metadata", "labels", "rook-version", to="v1.17.8"
        ),
        "rook-ceph/rook-ceph-osd-1: expected Rook v1.18.4, seen v1.17.8",
    ),
    (CEPH, gone("CephCluster", "rook-ceph"), "expected it in rook-ceph, seen none"),
    (CEPH, changed(*STATUS, "phase", to="Progressing"), "expected phase Ready, seen Progressing"),
    (CEPH, changed(*STATUS, "conditions", to=[]), "expected the condition Ready, seen"),
    (
        CEPH,
        changed("CephCluster", "rook-ceph", "spec", "external", to={"enable": True}),
        "expected cluster mode, seen external mode",
    ),
    (CEPH, _raised("HEALTH_ERR", OSD_FULL="1 full"), "seen HEALTH_ERR OSD_FULL (1 full)"),
    (CEPH, _raised("HEALTH_WARN", OSD_DOWN="1 down"), "declared warnings of Ceph, seen OSD_DOWN"),
    (
        CEPH,
        _raised("HEALTH_WARN", BLUESTORE_SLOW_OP_ALERT="1 OSD(s)"),
        "(1 OSD(s); one in a day is enough: it clears a day after the last",
    ),
    (CEPH, _raised("HEALTH_WARN"), "seen one without a name"),
    (
        CEPH,
        changed(*STATUS, "ceph", "lastChecked", to=stamp(NOW - 3600)),
        "in the last 10 minutes, seen 60 minutes ago",
    ),
    (
        CEPH,
        changed(*STATUS, "ceph", "versions", "overall", to={"18.2.4": 1, "19.2.3": 7}),
        "expected one version of Ceph, seen 18.2.4 and 19.2.3",
    ),
    (MONS, gone("ConfigMap", "rook-ceph-mon-endpoints"), "expected it, seen none"),
    (MONS, _other_monitors("data"), "Rook's operator: expected the monitors"),
    (MONS, _other_monitors("csi-cluster-config-json"), "the CSI drivers: expected the monitors"),
    (
        MONS,
        changed("CephConnection", "rook-ceph", "spec", "monitors", to=[]),
        "the CSI drivers' CephConnection: expected the monitors",
    ),
    (
        MONS,
        changed("ConfigMap", "rook-ceph-mon-endpoints", "data", "data", to=""),
        "seen none",
    ),
    (POOLS, gone("CephFilesystem", "cephfs"), "expected it in rook-ceph, seen none"),
    (
        POOLS,
        changed("CephFilesystem", "cephfs", "status", to={"phase": "Failure"}),
        "expected Ready, seen Failure",
    ),
    (
        POOLS,
        changed("CephFilesystem", "cephfs", "spec", "metadataPool", to={"replicated": _THIN}),
        "metadata pool: expected 3 copies, seen 2",
    ),
    (
        POOLS,
        changed("CephFilesystem", "cephfs", "spec", "dataPools", to=[{"erasureCoded": {}}]),
        "data pool 0: expected 3 copies, seen none",
    ),
    (
        POOLS,
        changed("CephBlockPool", "replicapool", "spec", "failureDomain", to="osd"),
        "CephBlockPool replicapool: expected its copies on different hosts, seen osd",
    ),
    (
        POOLS,
        changed("CephBlockPool", "replicapool", "spec", "replicated", to={"size": 1}),
        "CephBlockPool replicapool: expected 3 copies, seen 1",
    ),
    (POOLS, changed("CephBlockPool", "replicapool", "status", to={}), "seen None"),
    (OSDS, gone("Pod", "rook-ceph-osd-1-5d8f7c-102"), f"{MACHINES[1]}: expected one OSD, seen 0"),
    (OSDS, pods_of("rook-ceph-osd", _unready), f"{MACHINES[1]}: expected OSD 1 ready"),
    (OSDS, pods_of("rook-ceph-osd", _other_device), "on /dev/sda2, seen /dev/sda1"),
    (OSDS, pods_of("rook-ceph-osd", _moved), "vmi9: expected OSDs on declared machines"),
    (CLASS, gone("StorageClass", "cephfs"), "expected it, seen none"),
    (CLASS, changed(*PARAMETERS, "pool", to="other"), "expected pool cephfs-data0, seen other"),
    (CLASS, changed(*PARAMETERS, "fsName", to="other"), "expected fsName cephfs, seen other"),
    (CLASS, changed(*PARAMETERS, "clusterID", to="other"), "expected clusterID rook-ceph"),
    (
        CLASS,
        changed("StorageClass", "cephfs", "provisioner", to="other"),
        f"expected provisioner {CEPHFS}, seen other",
    ),
    (
        CLASS,
        changed("StorageClass", "cephfs", "reclaimPolicy", to="Retain"),
        "expected reclaimPolicy Delete, seen Retain",
    ),
    (
        CLASS,
        changed("StorageClass", "cephfs", "allowVolumeExpansion", to=False),
        "expected claims that can grow",
    ),
    (CLASS, changed(*PARAMETERS, to={}), "expected the names of its secrets, seen none"),
    (
        CLASS,
        gone("Secret", "rook-csi-cephfs-node"),
        "expected the secret rook-ceph/rook-csi-cephfs-node, seen none",
    ),
    (DECLARED, gone("CSIDriver", CEPHFS), f"{CEPHFS}: expected a CSIDriver of this name"),
    (DRIVERS, gone("CSIDriver", CEPHFS), f"{CEPHFS}: expected a CSIDriver of this name"),
    (DRIVERS, _without_drivers, f"{MACHINES[2]}: expected its CSINode to list {CEPHFS}"),
    (DRIVERS, gone("CSINode", MACHINES[0]), f"{MACHINES[0]}: expected its CSINode to list"),
    (DRIVERS, gone("DaemonSet", NODE_PLUGIN), "expected this daemon set, seen none"),
    (DRIVERS, gone("Pod", f"{NODE_PLUGIN}-101"), f"{MACHINES[0]}: expected a ready pod of"),
    (DRIVERS, pods_of(NODE_PLUGIN, _unready), f"{MACHINES[1]}: expected a ready pod of"),
    (DRIVERS, pods_of(NODE_PLUGIN, _leaving), f"{MACHINES[1]}: expected a ready pod of"),
    (LEADER, gone("Deployment", CONTROLLER), f"{CONTROLLER}: expected this deployment"),
    (
        LEADER,
        changed("Deployment", CONTROLLER, "status", "availableReplicas", to=1),
        "expected 2 available, seen 1",
    ),
    (LEADER, gone("Lease", CEPHFS.replace(".", "-")), f"{CEPHFS}: expected a leader"),
    (
        LEADER,
        changed("Lease", CEPHFS.replace(".", "-"), "spec", "holderIdentity", to=None),
        "expected a leader among its controllers",
    ),
    (
        LEADER,
        changed("Lease", CEPHFS.replace(".", "-"), "spec", "renewTime", to=stamp(NOW - 140)),
        "to renew its lease every 137 s, last seen 140 s ago",
    ),
    (CRASH, pods_of(NODE_PLUGIN, _waits("CrashLoopBackOff")), "main to run on, seen CrashLoop"),
    (CRASH, pods_of(NODE_PLUGIN, _is_over(1)), "seen its end, after 1 restarts"),
    (CRASH, pods_of(NODE_PLUGIN, _ended(3, 120)), "3 restarts, the last 120 s ago (OOMKilled)"),
]


@pytest.mark.parametrize(
    ("check", "defect", "words"), DEFECTS, ids=[f"{c}: {w}" for c, _, w in DEFECTS]
)
def test_each_defect_fails_and_is_explained(check: str, defect: Defect, words: str) -> None:
    items = recorded("cluster", now=NOW)
    defect(items)
    verdict = judge(check, seen(items, "cluster"), "cluster")
    assert (verdict.outcome, words in verdict.reason) == (Outcome.FAIL, True), verdict.reason
    assert verdict.where


@pytest.mark.parametrize(
    "defect",
    [
        pods_of(NODE_PLUGIN, _ended(2, 120)),
        pods_of(NODE_PLUGIN, _ended(40, 900)),
        pods_of(NODE_PLUGIN, _waits("ContainerCreating")),
        pods_of(NODE_PLUGIN, _is_over(0)),
    ],
    ids=["two restarts", "restarts of long ago", "a container that is being made", "a job's end"],
)
def test_what_is_no_crash_loop_passes(defect: Defect) -> None:
    items = recorded("cluster", now=NOW)
    defect(items)
    assert judge(CRASH, seen(items, "cluster"), "cluster").outcome is Outcome.PASS


_OF_CSI = ("CSIDriver", "Driver", "CSINode")


def _only(*kept: str) -> list[Item]:
    """The recorded objects; of those that tell of drivers, these kinds alone."""
    items = recorded("external", now=NOW)
    return [it for it in items if it["kind"] not in _OF_CSI or it["kind"] in kept]


def test_a_cluster_without_drivers_passes_where_the_profile_says_that_they_are_absent() -> None:
    value = seen(_only(), "external")
    verdict = judge(DECLARED, value, "external", csi="absent")
    assert (verdict.outcome, verdict.where) == (Outcome.PASS, ()), verdict.reason
    assert judge(DECLARED, value, "external").outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("CSIDriver", f"{CEPHFS}: expected none (rook.csi: absent), seen a CSIDriver"),
        ("Driver", f"{CEPHFS}: expected none (rook.csi: absent), seen a Driver of the CSI"),
        ("CSINode", f"{CEPHFS}: expected none (rook.csi: absent), seen it in the CSINode of vmi"),
    ],
)
def test_drivers_that_exist_although_the_profile_says_absent_are_found(
    kind: str, words: str
) -> None:
    verdict = judge(DECLARED, seen(_only(kind), "external"), "external", csi="absent")
    assert (verdict.outcome, words in verdict.reason) == (Outcome.FAIL, True), verdict.reason


def test_a_build_of_ones_own_is_told_from_the_release_that_it_is_built_from() -> None:
    items = recorded("cluster", now=NOW)
    own, label = "v1.18.4+ours", "v1.18.4-ours"
    for item in items:
        if "rook-version" in item["metadata"].get("labels", {}):
            item["metadata"]["labels"]["rook-version"] = label
    image(f"docker.io/rook/ceph:{label}")(items)
    value = seen(items, "cluster")
    assert judge(VERSION, value, "cluster", version=own).outcome is Outcome.PASS
    assert judge(VERSION, value, "cluster").outcome is Outcome.FAIL
    of_release = seen(recorded("cluster", now=NOW), "cluster")
    assert judge(VERSION, of_release, "cluster", version=own).outcome is Outcome.FAIL


def test_a_declared_warning_passes_and_another_one_beside_it_does_not() -> None:
    items = recorded("cluster", now=NOW)
    _raised("HEALTH_WARN", POOL_NEARFULL="1 pool")(items)
    value, words = seen(items, "cluster"), "declared: POOL_NEARFULL (until Friday's new disks)"
    verdict = judge(CEPH, value, "cluster", {"POOL_NEARFULL": "until Friday's new disks"})
    assert (verdict.outcome, words in verdict.reason) == (Outcome.PASS, True)
    assert judge(CEPH, value, "cluster", {"OSD_DOWN": "a repair"}).outcome is Outcome.FAIL


def test_a_health_check_that_ceph_does_not_hold_against_the_cluster_passes() -> None:
    items = recorded("cluster", now=NOW)
    _raised("HEALTH_OK", OSDMAP_FLAGS="noscrub flag(s) set")(items)
    details = find(items, "CephCluster", "rook-ceph")["status"]["ceph"]["details"]
    assert judge(CEPH, seen(items, "cluster"), "cluster").outcome is Outcome.FAIL
    details["OSDMAP_FLAGS"]["severity"] = "HEALTH_OK"
    assert judge(CEPH, seen(items, "cluster"), "cluster").outcome is Outcome.PASS


def test_an_external_cluster_that_only_connects_is_red() -> None:
    items = recorded("external", now=NOW)
    find(items, "CephCluster", "rook-ceph-external")["status"].update(
        phase="Connecting",
        message="no route",
        conditions=[{"type": "Connected", "status": "False"}],
    )
    verdict = judge(CEPH, seen(items, "external"), "external")
    assert verdict.outcome is Outcome.FAIL
    assert "expected phase Connected, seen Connecting (no route)" in verdict.reason
    assert "seen Connected=False" in verdict.reason


def test_a_driver_that_is_not_declared_may_be_absent() -> None:
    items = [it for it in recorded("external", now=NOW) if ".rbd." not in it["metadata"]["name"]]
    value = seen(items, "external")
    for check in (DRIVERS, LEADER):
        assert judge(check, value, "external").outcome is Outcome.FAIL
        assert judge(check, value, "external", drivers=("cephfs",)).outcome is Outcome.PASS


def test_a_cluster_without_rook_is_red_and_not_merely_unknown() -> None:
    value = seen([], "cluster")
    outcomes = {check: judge(check, value, "cluster").outcome for check in rook.CHECKS}
    unknown = {check for check, outcome in outcomes.items() if outcome is Outcome.NOT_PROVEN}
    assert unknown == {VERSION, CRASH}
    assert set(outcomes.values()) == {Outcome.FAIL, Outcome.NOT_PROVEN}
