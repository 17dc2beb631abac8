"""Rook from the objects of its API to the verdict: both modes are clean, each defect is found."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.checks import CHECKS, csi, rook
from harness.checks.rook import tag_of
from harness.errors import Denied
from harness.model import Case, Observation, Outcome, Verdict
from harness.settings import Profile
from harness.tests import rook_objects
from harness.tests.clean_case import clean
from harness.tests.clean_cluster import NOW
from harness.tests.probe_rig import observe, reach
from harness.tests.rook_objects import MACHINES, MONITORS, Item, Mode, find, recorded, stamp
from harness.transport.fake import FakeKube

Defect: TypeAlias = Callable[[list[Item]], None]
READY, VERSION = "Rook's operator is ready", "Rook is of its declared version"
CEPH, MONS = "Rook's Ceph is as declared and well", "Rook's monitors are the declared ones"
POOLS, OSDS = "every pool of Rook keeps three copies", "every machine runs its OSD in Rook"
CLASS, DRIVERS = "Rook's storage class is as declared", "the CSI drivers are on every machine"
LEADER, CRASH = "the CSI controllers have a leader", "no pod of Rook crashes again and again"
OF_CLUSTER_MODE = (POOLS, OSDS)
CEPHFS = "rook-ceph.cephfs.csi.ceph.com"
NODE_PLUGIN, CONTROLLER = f"{CEPHFS}-nodeplugin", f"{CEPHFS}-ctrlplugin"


def seen(items: Iterable[Item], mode: Mode, **answers: Any) -> Any:
    """What the probe makes of the objects; ``answers`` replaces some by their path's last word."""
    served = rook_objects.served(items)
    for word, answer in answers.items():
        served |= {path: answer for path in served if path.endswith(f"/{word}")}
    ways = reach(kube=FakeKube(served), like=rook_objects.profile(mode))
    return observe("rook", ways, "contabo")


def judge(check: str, value: Any, mode: Mode, **changes: Any) -> Verdict:
    cluster = rook_objects.profile(mode).cluster()
    assert cluster.rook is not None
    look = Observation(probe="rook", target=cluster.name, at=NOW, took_s=1.0, value=value)
    declared = replace(cluster.rook, **changes)
    return CHECKS[check](
        Case(
            cluster=replace(cluster, rook=declared),
            targets={"health_age_minutes": 10.0},
            observations=[look],
        )
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
    asked = {(verb, path) for verb, path in kube.calls if "/secrets" in path}
    space = "/api/v1/namespaces/rook-ceph-external/secrets"
    assert asked == {
        ("EXISTS", f"{space}/rook-csi-cephfs-provisioner"),
        ("EXISTS", f"{space}/rook-csi-cephfs-node"),
    }
    assert "cGxhbnRlZC1jYW5hcnk=" not in json.dumps(value)


# --- each way to be red -----------------------------------------------------------------------


def changed(kind: str, name: str, *path: str, to: Any) -> Defect:
    """One field of one object says something else."""

    def defect(items: list[Item]) -> None:
        place = find(items, kind, name)
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = to

    return defect


def gone(kind: str, name: str) -> Defect:
    return lambda items: items.remove(find(items, kind, name))


def image(reference: str) -> Defect:
    def defect(items: list[Item]) -> None:
        spec = find(items, "Deployment", "rook-ceph-operator")["spec"]["template"]["spec"]
        spec["containers"][0]["image"] = reference

    return defect


def pods_of(owner: str, change: Callable[[Item], None], machine: str = MACHINES[1]) -> Defect:
    """Something happens to a workload's pod on one machine."""

    def defect(items: list[Item]) -> None:
        for item in items:
            name = item["metadata"]["name"]
            if item["kind"] == "Pod" and name.startswith(owner) and name.endswith(machine[-3:]):
                change(item)

    return defect


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


def _no_pod_at_all(items: list[Item]) -> None:
    items[:] = [item for item in items if item["kind"] != "Pod"]


def _raised(health: str, **details: str) -> Defect:
    """Ceph's health, and the checks that say why."""
    told = {name: {"severity": "HEALTH_WARN", "message": says} for name, says in details.items()}
    more = {"health": health, "lastChecked": stamp(NOW), "details": told}
    return changed("CephCluster", "rook-ceph", "status", "ceph", to=more)


_STATUS = ("CephCluster", "rook-ceph", "status")
_PARAMETERS = ("StorageClass", "cephfs", "parameters")
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
    (CEPH, changed(*_STATUS, "phase", to="Progressing"), "expected phase Ready, seen Progressing"),
    (CEPH, changed(*_STATUS, "conditions", to=[]), "expected the condition Ready, seen"),
    (
        CEPH,
        changed("CephCluster", "rook-ceph", "spec", "external", to={"enable": True}),
        "expected cluster mode, seen external mode",
    ),
    (CEPH, _raised("HEALTH_ERR", OSD_FULL="1 full"), "seen HEALTH_ERR OSD_FULL (1 full)"),
    (CEPH, _raised("HEALTH_WARN", OSD_DOWN="1 down"), "declared warnings of Ceph, seen OSD_DOWN"),
    (CEPH, _raised("HEALTH_WARN"), "seen one without a name"),
    (
        CEPH,
        changed(*_STATUS, "ceph", "lastChecked", to=stamp(NOW - 3600)),
        "in the last 10 minutes, seen 60 minutes ago",
    ),
    (
        CEPH,
        changed(*_STATUS, "ceph", "versions", "overall", to={"18.2.4": 1, "19.2.3": 7}),
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
        changed("CephBlockPool", "replicapool", "spec", "replicated", to={"size": 3}),
        "expected requireSafeReplicaSize",
    ),
    (POOLS, changed("CephBlockPool", "replicapool", "status", to={}), "seen None"),
    (OSDS, gone("Pod", "rook-ceph-osd-1-5d8f7c-102"), f"{MACHINES[1]}: expected one OSD, seen 0"),
    (OSDS, pods_of("rook-ceph-osd", _unready), f"{MACHINES[1]}: expected OSD 1 ready"),
    (OSDS, pods_of("rook-ceph-osd", _other_device), "on /dev/sda2, seen /dev/sda1"),
    (OSDS, pods_of("rook-ceph-osd", _moved), "vmi9: expected OSDs on declared machines"),
    (CLASS, gone("StorageClass", "cephfs"), "expected it, seen none"),
    (CLASS, changed(*_PARAMETERS, "pool", to="other"), "expected pool cephfs-data0, seen other"),
    (CLASS, changed(*_PARAMETERS, "fsName", to="other"), "expected fsName cephfs, seen other"),
    (CLASS, changed(*_PARAMETERS, "clusterID", to="other"), "expected clusterID rook-ceph"),
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
    (CLASS, changed(*_PARAMETERS, to={}), "expected the names of its secrets, seen none"),
    (
        CLASS,
        gone("Secret", "rook-csi-cephfs-node"),
        "expected the secret rook-ceph/rook-csi-cephfs-node, seen none",
    ),
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


def test_a_declared_warning_passes_and_another_one_beside_it_does_not() -> None:
    items = recorded("cluster", now=NOW)
    _raised("HEALTH_WARN", POOL_NEARFULL="1 pool")(items)
    value = seen(items, "cluster")
    verdict = judge(CEPH, value, "cluster", warnings=("POOL_NEARFULL",))
    assert verdict.outcome is Outcome.PASS
    assert judge(CEPH, value, "cluster", warnings=("OSD_DOWN",)).outcome is Outcome.FAIL


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


# --- what could not be seen -------------------------------------------------------------------

GARBAGE: list[tuple[str, Defect]] = [
    (CEPH, changed(*_STATUS, "ceph", "lastChecked", to="yesterday")),
    (CEPH, changed(*_STATUS, "ceph", "lastChecked", to=None)),
    (MONS, changed("ConfigMap", "rook-ceph-mon-endpoints", "data", to={"data": 1})),
    (
        MONS,
        changed("ConfigMap", "rook-ceph-mon-endpoints", "data", "csi-cluster-config-json", to="[{"),
    ),
    (POOLS, changed("CephFilesystem", "cephfs", "spec", to={})),
    (CLASS, changed(*_PARAMETERS, to="none")),
    (LEADER, changed("Lease", CEPHFS.replace(".", "-"), "spec", "renewTime", to="soon")),
    (LEADER, changed("Lease", CEPHFS.replace(".", "-"), "spec", "leaseDurationSeconds", to=None)),
    (READY, changed("Deployment", "rook-ceph-operator", "spec", to={})),
    (VERSION, image("docker.io/rook/ceph@sha256:5f0c")),
    (CRASH, _no_pod_at_all),
]


@pytest.mark.parametrize(("check", "defect"), GARBAGE, ids=[check for check, _ in GARBAGE])
def test_what_is_not_understood_is_not_proven(check: str, defect: Defect) -> None:
    items = recorded("cluster", now=NOW)
    defect(items)
    verdict = judge(check, seen(items, "cluster"), "cluster")
    assert verdict.outcome is Outcome.NOT_PROVEN, verdict.reason


def test_what_we_may_not_read_is_not_proven_and_the_rest_is_judged() -> None:
    value = seen(recorded("cluster", now=NOW), "cluster", csinodes=Denied("not allowed: csinodes"))
    for check in {**rook.CHECKS, **csi.CHECKS}:
        verdict = judge(check, value, "cluster")
        hidden = check in (DRIVERS, LEADER, READY)
        assert verdict.outcome is (Outcome.NOT_PROVEN if hidden else Outcome.PASS)
        assert not hidden or "not allowed: csinodes" in verdict.reason


def test_a_failure_is_not_hidden_by_what_we_may_not_read() -> None:
    items = recorded("cluster", now=NOW)
    gone("CSIDriver", CEPHFS)(items)
    value = seen(items, "cluster", daemonsets=Denied("not allowed: daemonsets"))
    verdict = judge(DRIVERS, value, "cluster")
    assert verdict.outcome is Outcome.FAIL
    assert "not judged: daemon sets: not allowed" in verdict.reason


def test_an_item_in_error_never_turns_a_check_red_and_is_told() -> None:
    value = clean()["rook"]["test"]
    blind = {"error": "no answer within 10 s"}
    verdicts = [
        judge(check, {**value, item: blind}, "cluster")
        for item in value
        for check in {**rook.CHECKS, **csi.CHECKS}
    ]
    unknown = [it for it in verdicts if it.outcome is Outcome.NOT_PROVEN]
    assert all("no answer within 10 s" in verdict.reason for verdict in unknown)
    assert all(it.outcome is Outcome.PASS for it in verdicts if it not in unknown)
    assert len(unknown) >= len(value)


# --- parsers and the profile ------------------------------------------------------------------

_NAME = st.lists(st.sampled_from(["rook", "ceph", "a.b-c_1"]), min_size=1).map("/".join)
_TAG = st.tuples(*[st.integers(0, 99)] * 3).map(lambda it: "v{}.{}.{}".format(*it))
_REGISTRY = st.sampled_from(["", "docker.io/", "registry.example:5000/"])


@given(_REGISTRY, _NAME, _TAG, st.sampled_from(["", "@sha256:5f0c"]))
def test_the_tag_of_an_image_is_what_follows_its_name(
    registry: str, name: str, tag: str, digest: str
) -> None:
    assert tag_of(f"{registry}{name}:{tag}{digest}") == tag
    assert tag_of(f"{registry}{name}{digest}") is None


def _as_written(mode: Mode | None, **changes: Any) -> Profile:
    profile = rook_objects.profile("external").model_dump(mode="json", by_alias=True)
    profile["stack"]["rook"] = mode
    profile["rook"] |= changes
    return Profile.model_validate(profile)


@pytest.mark.parametrize(
    "changes",
    [
        {"monitors": []},
        {"monitors": ["10.0.0.1"]},
        {"monitors": ["ceph.example:6789"]},
        {"monitors": ["10.0.0.1:0"]},
        {"version": "1.18"},
        {"drivers": []},
        {"drivers": ["nfs"]},
        {"namespace": "Rook"},
        {"device": "/dev/sda2"},
    ],
    ids=str,
)
def test_a_profile_that_says_something_else_is_refused(changes: dict[str, Any]) -> None:
    _as_written("external")
    with pytest.raises(ValidationError):
        _as_written("external", **changes)


def test_a_profile_says_what_rook_manages_and_where_its_osds_are() -> None:
    assert _as_written("external", device=None).cluster().rook is not None
    with pytest.raises(ValidationError, match="what holds the OSDs"):
        _as_written("cluster", device=None)
    without = rook_objects.profile("external").model_dump(
        mode="json", by_alias=True, exclude={"rook"}
    )
    with pytest.raises(ValidationError, match="say in `rook:`"):
        Profile.model_validate(without)


def test_pools_and_osds_are_judged_in_cluster_mode_alone() -> None:
    external, cluster = (rook_objects.profile(mode).cluster() for mode in ("external", "cluster"))
    assert "outside Kubernetes" in external.absent["rook-cluster"]
    assert {"rook", "rook-cluster"} <= cluster.parts
    assert _as_written(None).cluster().rook is None
    assert external.rook is not None
    assert external.rook.monitors == MONITORS
