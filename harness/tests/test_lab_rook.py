"""The lab's Rook in cluster mode: what it is told, and how it stands beside the machines' Ceph."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from harness.lab import builds, rook
from harness.lab.lifecycle import Up
from harness.lab.rook import cluster
from harness.lab.rook.program import VERSION
from harness.lab.shape import Lab
from harness.settings import load_profile


@pytest.fixture
def full() -> Lab:
    return Lab.of(load_profile("lab-full"))


def spec(lab: Lab, machines: int) -> Any:
    return yaml.safe_load(cluster.ceph_cluster(lab, machines))["spec"]


def test_the_declared_rook_is_the_one_that_is_built(full: Lab) -> None:
    for lab in (full, Lab.of(load_profile("lab"))):
        assert lab.profile.rook is not None
        assert lab.profile.rook.version == VERSION


def test_machines_give_their_disks_one_after_another_so_that_osds_have_declared_numbers(
    full: Lab,
) -> None:
    assert full.profile.disks is not None
    given = [spec(full, many)["storage"]["nodes"][-1] for many in (1, 2, 3)]
    assert [it["name"] for it in given] == list(full.profile.disks.osds)
    assert {it["devices"][0]["name"] for it in given} == {"/dev/sda2"}


def test_rooks_monitors_have_the_declared_addresses_and_none_of_a_machine(full: Lab) -> None:
    services = cluster.monitor_services(full)["items"]
    assert full.profile.rook is not None
    at = [f"{it['spec']['clusterIP']}:{it['spec']['ports'][0]['port']}" for it in services]
    assert at == list(full.profile.rook.monitors)
    assert not {it["spec"]["clusterIP"] for it in services} & {it.address for it in full.nodes}
    assert "network" not in spec(full, 3)


def test_rooks_managers_leave_out_modules_but_the_one_whose_setting_rook_asks_for(
    full: Lab,
) -> None:
    left_out = spec(full, 3)["cephConfig"]["mgr"]["mgr_disabled_modules"].split()
    assert {"restful", "telegraf"} <= set(left_out)
    assert "prometheus" not in left_out


def test_claims_are_served_once_rook_has_its_ceph(full: Lab) -> None:
    names = [stage.name for stage in Up(full).from_nothing()]
    assert names.index("rook") < names.index("platform")
    there = [stage.name for stage in Up(Lab.of(load_profile("lab"))).from_nothing()]
    assert there.index("platform") < there.index("rook")


def test_the_account_of_rooks_pods_is_in_the_system_before_its_packages(full: Lab) -> None:
    assert rook.system(full).name == "ceph"
    assert "=ceph:167" not in builds.packages("ceph")
    assert rook.archive(full).path != rook.archive(Lab.of(load_profile("lab"))).path


def test_the_toolbox_is_on_two_machines_with_the_labs_ceph() -> None:
    pod = {"containers": [{"name": "tools", "image": "quay.io/ceph/ceph:v19"}]}
    selector = {"matchLabels": {"app": "rook-ceph-tools"}}
    rooks = {"spec": {"replicas": 1, "selector": selector, "template": {"spec": pod}}}
    spec = cluster.two_toolboxes(yaml.safe_dump(rooks))["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    assert (spec["replicas"], container["image"]) == (2, f"lab/ceph:{cluster.CEPH}")
    affinity = spec["template"]["spec"]["affinity"]["podAntiAffinity"]
    (apart,) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]
    assert apart == {"topologyKey": "kubernetes.io/hostname", "labelSelector": selector}
