"""Rook as people really run it: as its script imports a Ceph, as its chart makes pools, and stale.

The objects in ``recorded`` are of such clusters, made small; names and addresses are replaced.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.checks import CHECKS
from harness.core.model import Case, Observation, Outcome
from harness.facts.ceph_names import are_same_monitors, monitor_addresses
from harness.tests import rook_objects
from harness.tests.clean_cluster import NOW
from harness.tests.fake_transport import FakeKube
from harness.tests.probe_rig import observe, reach
from harness.tests.rook_objects import GROUP, MACHINES, MONITORS, Item, Mode, find, recorded
from harness.tests.rook_seen import (
    CEPH,
    CLASS,
    CRASH,
    DRIVERS,
    LEADER,
    MONS,
    NODE_PLUGIN,
    OSDS,
    POOLS,
    READY,
    Defect,
    changed,
    gone,
    judge,
    pods_of,
    seen,
)

_RECORDED = Path(__file__).with_name("recorded")
_OF_MONITORS = ("ConfigMap", "CephConnection", "ClientProfile", "Driver")


def of(name: str) -> Any:
    return json.loads((_RECORDED / f"{name}.json").read_text(encoding="utf-8"))


def with_monitors_of(name: str, mode: Mode) -> list[Item]:
    """A cluster in order whose monitors are told by these objects alone."""
    others = [it for it in recorded(mode, now=NOW) if it["kind"] not in _OF_MONITORS]
    return [*others, *of(name)]


# --- monitors ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "mode", "words"),
    [
        ("rook-cephconnection-stale", "external", "seen 10.0.0.1:6789, 10.0.0.2:6789, 10.0.0.99"),
        ("rook-csi-config-empty", "cluster", "expected monitors for rook-ceph, seen no entry"),
    ],
)
def test_drivers_with_stale_or_no_monitors_are_red(name: str, mode: Mode, words: str) -> None:
    verdict = judge(MONS, seen(with_monitors_of(name, mode), mode), mode)
    assert (verdict.outcome, words in verdict.reason) == (Outcome.FAIL, True), verdict.reason


def test_a_ceph_that_was_imported_by_rooks_own_script_passes() -> None:
    items = with_monitors_of("rook-mon-endpoints-as-imported", "external")
    assert judge(MONS, seen(items, "external"), "external").outcome is Outcome.PASS


def _told(name: str, key: str, change: Callable[[Any], None]) -> Defect:
    """Something in the drivers' file is otherwise."""

    def defect(items: list[Item]) -> None:
        data = find(items, "ConfigMap", name)["data"]
        entries = json.loads(data[key])
        change(entries)
        data[key] = json.dumps(entries)

    return defect


def _stale(number: int) -> Callable[[Any], None]:
    return lambda entries: entries[number].update(monitors=["10.0.0.1:6789", "10.0.0.99:6789"])


_OF_OPERATOR = ("ceph-csi-config", "config.json")
_OF_ROOK = ("rook-ceph-csi-config", "csi-cluster-config-json")


@pytest.mark.parametrize("csi_operator", [True, False], ids=["CSI operator", "Rook's own CSI"])
@pytest.mark.parametrize("number", [0, 1], ids=["the cluster's", "a subvolume group's"])
def test_stale_monitors_in_the_drivers_file_are_red(csi_operator: bool, number: int) -> None:
    items = recorded("cluster", csi_operator=csi_operator, now=NOW)
    _told(*(_OF_OPERATOR if csi_operator else _OF_ROOK), _stale(number))(items)
    verdict = judge(MONS, seen(items, "cluster"), "cluster")
    assert verdict.outcome is Outcome.FAIL
    assert f", {('rook-ceph', GROUP)[number]}: expected the monitors" in verdict.reason
    assert "seen 10.0.0.1:6789, 10.0.0.99:6789" in verdict.reason


@pytest.mark.parametrize("csi_operator", [True, False], ids=["CSI operator", "Rook's own CSI"])
def test_drivers_that_know_no_monitor_are_red(csi_operator: bool) -> None:
    file = _OF_OPERATOR if csi_operator else _OF_ROOK
    for change in (
        _told(*file, lambda entries: entries.clear()),
        _told(*file, lambda entries: entries.pop(0)),
        changed("ConfigMap", file[0], "data", to={}),
    ):
        items = recorded("cluster", csi_operator=csi_operator, now=NOW)
        change(items)
        verdict = judge(MONS, seen(items, "cluster"), "cluster")
        assert "expected monitors for rook-ceph, seen" in verdict.reason
        assert verdict.outcome is Outcome.FAIL


def test_without_any_place_to_read_from_drivers_are_red() -> None:
    items = recorded("cluster", csi_operator=False, now=NOW)
    gone("ConfigMap", "rook-ceph-csi-config")(items)
    verdict = judge(MONS, seen(items, "cluster"), "cluster")
    assert (verdict.outcome, verdict.where) == (Outcome.FAIL, ("the CSI drivers",))


def test_a_connection_that_profiles_name_and_that_is_not_there_is_red() -> None:
    items = recorded("cluster", now=NOW)
    gone("CephConnection", "rook-ceph")(items)
    verdict = judge(MONS, seen(items, "cluster"), "cluster")
    assert "CephConnection: expected rook-ceph/rook-ceph, seen none" in verdict.reason
    assert verdict.outcome is Outcome.FAIL


def test_a_connection_named_after_the_cluster_is_followed_from_its_profile() -> None:
    items = recorded("cluster", now=NOW)
    find(items, "CephConnection", "rook-ceph")["metadata"]["name"] = "my-cluster"
    for name in ("rook-ceph", GROUP):
        profile = find(items, "ClientProfile", name)
        profile["spec"]["cephConnectionRef"]["name"] = "my-cluster"
    assert judge(MONS, seen(items, "cluster"), "cluster").outcome is Outcome.PASS
    find(items, "CephConnection", "my-cluster")["spec"]["monitors"][0] = "10.0.0.99:6789"
    assert judge(MONS, seen(items, "cluster"), "cluster").outcome is Outcome.FAIL


@pytest.mark.parametrize("csi_operator", [True, False], ids=["CSI operator", "Rook's own CSI"])
def test_another_cluster_of_the_same_operator_may_have_other_monitors(csi_operator: bool) -> None:
    items = recorded("cluster", csi_operator=csi_operator, now=NOW)
    other = {"clusterID": "rook-two", "monitors": ["10.1.0.1:6789"]}
    if csi_operator:
        profile = {"cephConnectionRef": {"name": "rook-two"}}
        ours = find(items, "ClientProfile", "rook-ceph")
        meta = {"name": "rook-two", "namespace": "rook-ceph"}
        items.append({**ours, "metadata": meta, "spec": profile})
        _told(*_OF_OPERATOR, lambda entries: entries.append(other))(items)
    else:
        _told(*_OF_ROOK, lambda it: it.append({**other, "namespace": "rook-two"}))(items)
    assert judge(MONS, seen(items, "cluster"), "cluster").outcome is Outcome.PASS


def test_monitors_in_another_order_and_form_are_the_same() -> None:
    items = recorded("cluster", now=NOW)
    connection = find(items, "CephConnection", "rook-ceph")["spec"]
    connection["monitors"] = ["10.0.0.3:3300", "10.0.0.2:3300", "10.0.0.1:3300"]
    vector = "[v2:10.0.0.{0}:3300/0,v1:10.0.0.{0}:6789/0]"
    listed = ",".join(f"{name}={vector.format(at)}" for name, at in zip("bca", "231", strict=True))
    find(items, "ConfigMap", "rook-ceph-mon-endpoints")["data"]["data"] = listed
    verdict = judge(MONS, seen(items, "cluster"), "cluster")
    assert verdict.outcome is Outcome.PASS, verdict.reason


_HOSTS = st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.21", "mon-a.example", "[fd00::1]"])
_FORMS = st.sampled_from(
    ["{0}", "{0}:6789", "{0}:3300", "v1:{0}:6789/0", "[v2:{0}:3300/0,v1:{0}:6789/0]"]
)


@given(_HOSTS, _FORMS, _FORMS)
def test_each_form_of_a_monitor_is_the_same_monitor(host: str, one: str, other: str) -> None:
    assert monitor_addresses(one.format(host)) == monitor_addresses(other.format(host))


@given(st.lists(_HOSTS, min_size=1, max_size=4, unique=True), st.data())
def test_lists_are_the_same_only_with_the_same_hosts(hosts: list[str], data: st.DataObject) -> None:
    written = [data.draw(_FORMS).format(host) for host in data.draw(st.permutations(hosts))]
    assert are_same_monitors(written, hosts)
    assert are_same_monitors(hosts, written)
    assert not are_same_monitors(written[1:], hosts)
    assert not are_same_monitors([*written[1:], "10.0.0.99:6789"], hosts)


def test_another_port_is_another_monitor() -> None:
    assert not are_same_monitors(["10.0.0.1:6790"], ["10.0.0.1:6789"])
    assert are_same_monitors(["[v2:10.0.0.1:3301/0,v1:10.0.0.1:6790/0]"], ["10.0.0.1:6790"])


@given(st.text(max_size=40))
def test_any_text_has_an_address(text: str) -> None:
    assert monitor_addresses(text)
    assert are_same_monitors([text], [text])


# --- pools and pods ---------------------------------------------------------------------------


def test_pools_as_the_chart_makes_them_pass_and_one_with_a_single_copy_does_not() -> None:
    block, system = of("rook-chart-default-pools")
    items = recorded("cluster", now=NOW)
    find(items, "CephBlockPool", "replicapool")["spec"] = block["spec"]
    find(items, "CephFilesystem", "cephfs")["spec"] = system["spec"]
    assert judge(POOLS, seen(items, "cluster"), "cluster").outcome is Outcome.PASS
    block["spec"]["replicated"] = {"size": 1, "requireSafeReplicaSize": False}
    assert judge(POOLS, seen(items, "cluster"), "cluster").outcome is Outcome.FAIL


@pytest.mark.parametrize(("domain", "passes"), [("zone", True), ("rack", True), ("osd", False)])
def test_copies_must_be_on_different_hosts_or_further_apart(domain: str, passes: bool) -> None:
    items = recorded("cluster", now=NOW)
    find(items, "CephBlockPool", "replicapool")["spec"]["failureDomain"] = domain
    verdict = judge(POOLS, seen(items, "cluster"), "cluster")
    assert verdict.outcome is (Outcome.PASS if passes else Outcome.FAIL)


def _left(items: list[Item], **status: Any) -> None:
    """A pod that the shutdown of its machine has ended, beside those that run."""
    pod = of("rook-pod-left-by-shutdown")
    pod["status"] |= status
    items.append({"apiVersion": "v1", **pod})


def test_a_pod_that_its_machines_shutdown_ended_is_no_crash() -> None:
    items = recorded("cluster", now=NOW)
    _left(items)
    assert judge(CRASH, seen(items, "cluster"), "cluster").outcome is Outcome.PASS


def test_a_pod_that_failed_by_itself_is_a_crash() -> None:
    items = recorded("cluster", now=NOW)
    _left(items, reason=None)
    verdict = judge(CRASH, seen(items, "cluster"), "cluster")
    assert verdict.outcome is Outcome.FAIL
    assert "expected main to run on, seen its end, after 1 restarts" in verdict.reason


def test_an_osd_that_a_shutdown_left_behind_is_no_second_osd() -> None:
    items = recorded("cluster", now=NOW)
    (running,) = [it for it in items if it["metadata"]["name"] == "rook-ceph-osd-1-5d8f7c-102"]
    left = json.loads(json.dumps(running))
    left["metadata"]["name"] += "-old"
    left["status"] = of("rook-pod-left-by-shutdown")["status"]
    items.append(left)
    assert judge(OSDS, seen(items, "cluster"), "cluster").outcome is Outcome.PASS
    items.remove(running)
    assert judge(OSDS, seen(items, "cluster"), "cluster").outcome is Outcome.FAIL


def test_a_machine_that_is_declared_to_have_no_osd_needs_none() -> None:
    items = recorded("cluster", now=NOW)
    gone("Pod", "rook-ceph-osd-1-5d8f7c-102")(items)
    value = seen(items, "cluster")
    assert judge(OSDS, value, "cluster").outcome is Outcome.FAIL
    cluster = rook_objects.profile("cluster").cluster()
    disks = {name: it for name, it in cluster.osd_disks.items() if name != MACHINES[1]}
    look = Observation(probe="rook", target=cluster.name, at=NOW, took_s=1.0, value=value)
    case = Case(cluster=replace(cluster, osd_disks=disks), targets={}, observations=[look])
    assert CHECKS[OSDS](case).outcome is Outcome.PASS


# --- drivers ----------------------------------------------------------------------------------


def _renamed(items: Iterable[Item], prefix: str) -> list[Item]:
    """Everything of the drivers with another prefix, as CSI_DRIVER_NAME_PREFIX makes it."""
    text = json.dumps(list(items))
    for kind in ("cephfs", "rbd"):
        text = text.replace(f"rook-ceph.{kind}.csi", f"{prefix}.{kind}.csi")
        text = text.replace(f"rook-ceph-{kind}-csi", f"{prefix}-{kind}-csi")
    return list(json.loads(text))


@pytest.mark.parametrize("csi_operator", [True, False], ids=["CSI operator", "Rook's own CSI"])
def test_drivers_with_another_prefix_pass_declared_or_not(csi_operator: bool) -> None:
    items = _renamed(recorded("external", csi_operator=csi_operator, now=NOW), "my-prefix")
    value = seen(items, "external")
    assert value["driver names"]["value"]["cephfs"] == "my-prefix.cephfs.csi.ceph.com"
    for check in (CLASS, DRIVERS, LEADER):
        assert judge(check, value, "external").outcome is Outcome.PASS
    bare = [it for it in items if it["kind"] != "CSIDriver"]
    verdict = judge(DRIVERS, seen(bare, "external"), "external")
    assert verdict.outcome is Outcome.FAIL


def test_another_ceph_csi_does_not_stand_in_for_rooks_drivers() -> None:
    items = recorded("external", now=NOW)
    for kind in ("cephfs", "rbd"):
        find(items, "CSIDriver", f"rook-ceph.{kind}.csi.ceph.com")["metadata"]["name"] = (
            f"{kind}.csi.ceph.com"
        )
    verdict = judge(DRIVERS, seen(items, "external"), "external")
    assert verdict.outcome is Outcome.FAIL
    assert "expected a CSIDriver of this name" in verdict.reason


def test_a_class_in_a_subvolume_group_of_its_own_is_declared_by_its_cluster_id() -> None:
    items = recorded("external", now=NOW)
    find(items, "StorageClass", "cephfs")["parameters"]["clusterID"] = GROUP
    value = seen(items, "external")
    assert judge(CLASS, value, "external").outcome is Outcome.FAIL
    assert judge(CLASS, value, "external", cluster_id=GROUP).outcome is Outcome.PASS
    assert judge(MONS, value, "external", cluster_id=GROUP).outcome is Outcome.PASS


# --- odd objects ------------------------------------------------------------------------------


def test_an_odd_object_is_one_gap_and_hides_no_failure() -> None:
    items = recorded("cluster", now=NOW)
    find(items, "Deployment", "rook-ceph-osd-0")["spec"] = None
    pods_of(NODE_PLUGIN, lambda pod: pod["status"].update(containerStatuses="none"))(items)
    value = seen(items, "cluster")
    assert value["pods"]["odd"] == {
        f"rook-ceph/{NODE_PLUGIN}-{MACHINES[1][-3:]}": "not understood: "
        "status.containerStatuses is of type str"
    }
    verdict = judge(CRASH, value, "cluster")
    assert (verdict.outcome, len(verdict.where)) == (Outcome.NOT_PROVEN, 1)
    gone("ConfigMap", "rook-ceph-mon-endpoints")(items)
    assert judge(MONS, seen(items, "cluster"), "cluster").outcome is Outcome.FAIL
    assert MONITORS[0] not in json.dumps(seen(items, "cluster")["pods"])


# --- while Rook reconciles --------------------------------------------------------------------


def _reconciles(items: list[Item]) -> None:
    """As Rook 1.18 says it while it updates OSDs: the condition Ready stays, the phase does not."""
    status = find(items, "CephCluster", "rook-ceph")["status"]
    message = 'Processing OSD 2 on node "vmi2887103"'
    status.update(phase="Progressing", message=message)
    status["conditions"].append({"type": "Progressing", "status": "True", "message": message})


def _starts(items: list[Item]) -> None:
    """The operator's pod was moved to another node."""
    find(items, "Deployment", "rook-ceph-operator")["status"]["availableReplicas"] = 0


class Waiting:
    """Time that passes only while the probe waits; Rook is done after ``done_s`` seconds."""

    def __init__(self, meanwhile: Defect, done_s: float) -> None:
        items = recorded("cluster", now=NOW)
        self._done, self._done_s = rook_objects.served(items), done_s
        begun = copy.deepcopy(items)
        meanwhile(begun)
        self.kube, self.now = FakeKube(rook_objects.served(begun)), 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.now >= self._done_s:
            self.kube.objects.update(self._done)


@pytest.mark.parametrize(
    ("meanwhile", "check", "words"),
    [
        (_reconciles, CEPH, "expected phase Ready, seen Progressing (Processing OSD 2"),
        (_starts, READY, "expected 1 available, seen 0"),
    ],
)
@pytest.mark.parametrize(
    ("done_s", "waited_s", "outcome"), [(60, 60, Outcome.PASS), (900, 180, Outcome.FAIL)]
)
def test_a_rook_that_reconciles_is_looked_at_when_it_is_done_or_late(
    monkeypatch: pytest.MonkeyPatch,
    meanwhile: Defect,
    check: str,
    words: str,
    done_s: float,
    waited_s: float,
    outcome: Outcome,
) -> None:
    waiting = Waiting(meanwhile, done_s)
    monkeypatch.setattr("harness.core.waiting.time", waiting)
    ways = reach(kube=waiting.kube, like=rook_objects.profile("cluster"))
    verdict = judge(check, observe("rook", ways, "contabo"), "cluster")
    assert (verdict.outcome, waiting.now) == (outcome, waited_s)
    assert (words in verdict.reason) is (outcome is Outcome.FAIL)
