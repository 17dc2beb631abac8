"""The probe of what the scheduler reckons with: objects as Kubernetes gives them, and odd ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.checks import CHECKS
from harness.core.model import Outcome, Verdict
from harness.tests.clean_case import case, clean
from harness.tests.clean_cluster import CLUSTER, NAMES
from harness.tests.fake_transport import FakeKube
from harness.tests.mutilated import mutilate
from harness.tests.probe_rig import observe, reach

GIB = 1 << 30
FITS = "the pods of a lost machine fit on the others"
IMAGES = "no image comes from a registry of the Swarm"
ONE, TWO, THREE = NAMES
HOSTNAME = "kubernetes.io/hostname"


def node(name: str) -> Any:
    """A server of RKE2, without what nobody needs."""
    return {
        "metadata": {"name": name, "labels": {HOSTNAME: name, "generation": "old"}},
        "spec": {"taints": [{"key": "lost", "effect": "PreferNoSchedule"}]},
        "status": {
            "allocatable": {"cpu": "6", "memory": "8388608Ki"},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def only_on(name: str, operator: str = "In") -> Any:
    expression = {"key": HOSTNAME, "operator": operator, "values": [name]}
    return {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}


def pod(name: str, at: str, **spec: Any) -> Any:
    owner = {"kind": "ReplicaSet", "name": "web", "controller": True}
    requests = {"requests": {"cpu": "1", "memory": "1Gi"}}
    return {
        "metadata": {"name": name, "namespace": "odoo", "ownerReferences": [owner]},
        "spec": {
            "nodeName": at,
            "containers": [{"name": "odoo", "image": "odoo:18", "resources": requests}],
            "tolerations": [{"key": "lost", "operator": "Exists", "effect": "NoExecute"}],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
            **spec,
        },
        "status": {"phase": "Running", "containerStatuses": [{"name": "odoo"}]},
    }


def volume(name: str, claim: str, at: str) -> Any:
    return {
        "metadata": {"name": name},
        "spec": {
            "claimRef": {"namespace": "odoo", "name": claim},
            "nodeAffinity": {"required": only_on(at)},
        },
    }


def objects() -> dict[str, list[Any]]:
    """Objects that share nothing, as the API gives them."""
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    bound = {"affinity": {"nodeAffinity": {required: only_on(TWO, "NotIn")}}}
    setup = {"name": "setup", "image": "odoo:18", "restartPolicy": "Always"}
    pods = [pod("a", ONE, **bound), pod("b", TWO, initContainers=[setup]), pod("c", THREE)]
    found = {
        "nodes": [node(name) for name in NAMES],
        "pods": pods,
        "persistentvolumes": [volume("local", "elsewhere", ONE)],
    }
    return dict(json.loads(json.dumps(found)))


def seen(**changes: Sequence[Any]) -> Any:
    lists = {**objects(), **changes}
    kube = FakeKube({f"/api/v1/{kind}": {"items": items} for kind, items in lists.items()})
    return observe("scheduling", reach(kube=kube), "lab")


def judge(check: str, value: Any) -> Verdict:
    return CHECKS[check](case(clean() | {"scheduling": {CLUSTER.name: value}}))


def test_what_kubernetes_reckons_with_is_told() -> None:
    value = seen()
    assert value["odd"] == {"nodes": {}, "pods": {}, "volumes": {}}
    assert value["nodes"][ONE]["bytes"] == 8 * GIB
    assert [(it["name"], it["bytes"], it["owner"]) for it in value["pods"]] == [
        (f"odoo/{name}", GIB, "ReplicaSet") for name in "abc"
    ]
    assert judge(FITS, value).outcome is Outcome.PASS
    assert judge(IMAGES, value).outcome is Outcome.PASS


def test_a_pod_stays_with_the_machine_of_its_volume() -> None:
    large = pod("db", ONE)
    large["spec"]["containers"][0]["resources"]["requests"]["memory"] = "7936Mi"
    bound = [volume("local", "data", ONE)]
    assert judge(FITS, seen(pods=[large, *objects()["pods"]])).outcome is Outcome.FAIL
    alone = seen(pods=[large], persistentvolumes=bound)
    assert [len(it["affinities"]) for it in alone["pods"]] == [1]
    crowded = [large, *(pod(f"{at}-{n}", at) for at in (TWO, THREE) for n in range(2))]
    for it in crowded[1:]:
        it["spec"]["volumes"] = []
    assert judge(FITS, seen(pods=crowded, persistentvolumes=bound)).outcome is Outcome.PASS


def test_a_pod_that_is_done_needs_nothing() -> None:
    done = pod("job", ONE)
    done["status"]["phase"] = "Succeeded"
    assert seen(pods=[done])["pods"] == []
    verdict = judge(IMAGES, seen(pods=[done]))
    assert (verdict.outcome, "it has no pod" in verdict.reason) == (Outcome.NOT_PROVEN, True)


@pytest.mark.parametrize(
    ("value", "operator", "fits"),
    [("12", "Gt", True), ("9", "Gt", False), ("old", "Gt", False), ("old", "Lt", False)],
)
def test_a_label_that_is_no_number_is_neither_more_nor_less(
    value: str, operator: str, fits: bool
) -> None:
    lists = objects()
    for it in lists["nodes"]:
        it["metadata"]["labels"]["generation"] = value
    waits = pod("waits", "")
    terms = [{"key": "generation", "operator": operator, "values": ["10"]}]
    waits["spec"]["affinity"] = {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": terms}]
            }
        }
    }
    verdict = judge(FITS, seen(nodes=lists["nodes"], pods=[*lists["pods"], waits]))
    assert (verdict.outcome is Outcome.PASS) == fits
    assert verdict.outcome in (Outcome.PASS, Outcome.FAIL)


@given(data=st.data(), kind=st.sampled_from(["nodes", "pods", "persistentvolumes"]))
@settings(max_examples=300, deadline=None)
def test_an_odd_object_costs_itself_alone_and_is_named(data: st.DataObject, kind: str) -> None:
    whole = objects()
    value = seen(**{kind: mutilate(whole[kind], data)})
    odd = {name for of_kind in value["odd"].values() for name in of_kind}
    assert len(odd) <= 1
    assert len(value["nodes"]) + len(value["odd"]["nodes"]) == len(NAMES)
    if kind != "pods":
        assert {it["name"] for it in value["pods"]} == {"odoo/a", "odoo/b", "odoo/c"}
    verdicts = {check: judge(check, value) for check in (FITS, IMAGES)}
    for name in odd:
        assert verdicts[FITS].outcome is Outcome.NOT_PROVEN
        assert name in verdicts[FITS].where
    for name in value["odd"]["pods"]:
        assert verdicts[IMAGES].outcome is Outcome.NOT_PROVEN
        assert name in verdicts[IMAGES].where
    # A check that raises has no verdict of its own.
    assert all(it.reason for it in verdicts.values())


@pytest.mark.parametrize("kind", ["nodes", "pods", "persistentvolumes"])
@pytest.mark.parametrize("odd", [None, 7, "odd", [], {}, {"metadata": None}])
def test_what_is_no_object_at_all_is_told(kind: str, odd: object) -> None:
    value = seen(**{kind: [*objects()[kind], odd]})
    verdict = judge(FITS, value)
    assert verdict.outcome is Outcome.NOT_PROVEN
    assert "is not understood: it has no name" in verdict.reason


def test_a_lack_of_room_is_not_judged_beside_a_node_that_is_not_understood() -> None:
    large = pod("db", ONE)
    large["spec"]["containers"][0]["resources"]["requests"]["memory"] = "7680Mi"
    pods = [large, pod("b", TWO), pod("c", THREE)]
    assert judge(FITS, seen(pods=pods)).outcome is Outcome.FAIL
    odd_pod = pod("odd", TWO)
    odd_pod["spec"]["containers"] = []
    verdict = judge(FITS, seen(pods=[*pods, odd_pod]))
    assert verdict.outcome is Outcome.FAIL
    assert "not judged: odoo/odd: this pod is not understood: it has no containers" in (
        verdict.reason
    )
    nodes = objects()["nodes"]
    del nodes[1]["status"]["allocatable"]["memory"]
    verdict = judge(FITS, seen(nodes=nodes, pods=pods))
    assert verdict.outcome is Outcome.NOT_PROVEN
    told = f"{TWO}: this node is not understood: it has no status.allocatable.memory"
    assert told in verdict.reason


def test_what_was_seen_before_odd_objects_were_told_is_judged_as_before() -> None:
    value = {key: it for key, it in seen().items() if key != "odd"}
    assert judge(FITS, value).outcome is Outcome.PASS
