"""Recorded objects of Rook with something wrong, and what a check says of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias
from unittest.mock import patch

from harness.checks import CHECKS
from harness.core.model import Case, Observation, Verdict
from harness.tests import rook_objects
from harness.tests.clean_cluster import NOW, TARGETS
from harness.tests.fake_transport import FakeKube
from harness.tests.probe_rig import observe, reach
from harness.tests.rook_objects import MACHINES, Item, Mode, find

Defect: TypeAlias = Callable[[list[Item]], None]
READY, VERSION = "Rook's operator is ready", "Rook is of its declared version"
CEPH, MONS = "Rook's Ceph is as declared and well", "Rook's monitors are the declared ones"
POOLS, OSDS = "every pool of Rook keeps three copies", "every machine runs its OSD in Rook"
CLASS, DRIVERS = "Rook's storage class is as declared", "the CSI drivers are on every machine"
DECLARED = "the CSI drivers are the declared ones"
LEADER, CRASH = "the CSI controllers have a leader", "no pod of Rook crashes again and again"
OF_CLUSTER_MODE = (POOLS, OSDS)
CEPHFS = "rook-ceph.cephfs.csi.ceph.com"
NODE_PLUGIN, CONTROLLER = f"{CEPHFS}-nodeplugin", f"{CEPHFS}-ctrlplugin"
STATUS = ("CephCluster", "rook-ceph", "status")
PARAMETERS = ("StorageClass", "cephfs", "parameters")


def seen(items: Iterable[Item], mode: Mode, **answers: Any) -> Any:
    """What the probe makes of the objects; ``answers`` replaces some by their path's last word."""
    served = rook_objects.served(items)
    for word, answer in answers.items():
        served |= {path: answer for path in served if path.endswith(f"/{word}")}
    ways = reach(kube=FakeKube(served), like=rook_objects.profile(mode))
    with patch("harness.probes.rook._SETTLED_WITHIN_S", 0.0):
        return observe("rook", ways, "contabo")


def judge(
    check: str, value: Any, mode: Mode, warnings: Mapping[str, str] | None = None, **changes: Any
) -> Verdict:
    cluster = rook_objects.profile(mode).cluster()
    assert cluster.rook is not None
    look = Observation(probe="rook", target=cluster.name, at=NOW, took_s=1.0, value=value)
    declared = replace(cluster.rook, **changes)
    return CHECKS[check](
        Case(
            cluster=replace(cluster, rook=declared, ceph_warnings=warnings or {}),
            targets=TARGETS,
            observations=[look],
        )
    )


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
