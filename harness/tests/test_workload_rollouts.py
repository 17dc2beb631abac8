"""Workloads as controllers show them: rollouts that stand still, budgets, sidecars."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.checks import CHECKS
from harness.core.model import Outcome, Verdict
from harness.tests.clean_case import case, clean
from harness.tests.clean_cluster import CLUSTER
from harness.tests.clean_services import workload
from harness.tests.test_workloads import (
    DRAIN,
    LIMITS,
    UP,
    USER,
    changed,
    container,
    deployment,
    judged,
    meta,
    objects,
    seen,
)

# Each as its controller writes it while a new pod does not start and old ones are kept.
STUCK = {
    "Deployment": (
        {},
        {"replicas": 3, "updatedReplicas": 1, "availableReplicas": 2, "unavailableReplicas": 1},
    ),
    "StatefulSet": (
        {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}},
        {"replicas": 2, "updatedReplicas": 1, "availableReplicas": 2},
    ),
    "DaemonSet": (
        {"updateStrategy": {"type": "RollingUpdate"}},
        {"desiredNumberScheduled": 2, "updatedNumberScheduled": 1, "numberAvailable": 2},
    ),
}


def rolling(kind: str, spec: Any, status: Any) -> dict[str, list[Any]]:
    """A workload of this kind alone, whose pods no Deployment keeps."""
    there = objects()
    moved = deployment(**spec)
    moved["status"] = {"observedGeneration": 3, **status}
    there["deployments"] = []
    there[f"{kind.lower()}s"] = [moved]
    for one in there["pods"][:2]:
        one["metadata"]["ownerReferences"][0].update(kind=kind, name="user-service")
    return there


def verdict_of(value: Any, check: str) -> Verdict:
    """What a check says of the Deployment of ``objects``, or what stands for it, alone."""
    (user,) = (it for it in value["workloads"].values() if it["name"] == "user-service")
    there = clean()
    there["workloads"][CLUSTER.name] = {**value, "workloads": {USER: user}}
    return CHECKS[check](case(there))


@pytest.mark.parametrize("kind", STUCK)
def test_a_rollout_whose_new_pods_do_not_start_is_not_hidden_by_the_old_ones(kind: str) -> None:
    spec, status = STUCK[kind]
    verdict = verdict_of(seen(rolling(kind, spec, status)), UP)
    assert verdict.outcome is Outcome.FAIL
    assert "its rollout is not over" in verdict.reason
    over = dict.fromkeys(("replicas", "updatedReplicas", "updatedNumberScheduled"), 2)
    assert verdict_of(seen(rolling(kind, spec, status | over)), UP).outcome is Outcome.PASS


@pytest.mark.parametrize(
    "strategy", [{"type": "OnDelete"}, {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}]
)
def test_pods_of_a_stateful_set_that_are_old_on_purpose_are_no_rollout(strategy: Any) -> None:
    _, status = STUCK["StatefulSet"]
    there = rolling("StatefulSet", {"updateStrategy": strategy}, status)
    assert verdict_of(seen(there), UP).outcome is Outcome.PASS


def test_two_budgets_of_one_pod_stop_every_drain_and_two_of_different_pods_none() -> None:
    there = objects()
    other = json.loads(json.dumps(there["budgets"][0]))
    other["metadata"] = meta("all")
    other["spec"]["selector"] = {}
    apart = json.loads(json.dumps(other))
    apart["spec"]["selector"] = {"matchLabels": {"cnpg.io/cluster": "saasodoo-db"}}
    both = verdict_of(seen({**there, "budgets": [*there["budgets"], other]}), DRAIN)
    assert both.outcome is Outcome.FAIL
    assert "PodDisruptionBudgets saasodoo/all and saasodoo/user select the same pod" in both.reason
    one_each = verdict_of(seen({**there, "budgets": [*there["budgets"], apart]}), DRAIN)
    assert one_each.outcome is Outcome.PASS


def test_a_native_sidecar_counts_an_init_container_does_not_and_a_pods_resources_are_shared() -> (
    None
):
    bare = container(name="proxy", resources={}, ports=[])
    there = objects()
    for one in there["pods"][:2]:
        one["spec"]["containers"][0]["readinessProbe"] = {"tcpSocket": {"port": 8001}}
        one["spec"]["initContainers"] = [bare]
    assert verdict_of(seen(there), LIMITS).outcome is Outcome.PASS
    for one in there["pods"][:2]:
        one["spec"]["initContainers"] = [bare | {"restartPolicy": "Always"}]
    verdict = verdict_of(seen(there), LIMITS)
    assert verdict.outcome is Outcome.FAIL
    assert "container proxy has no request of processor" in verdict.reason
    for one in there["pods"][:2]:
        one["spec"]["resources"] = container()["resources"]
    assert verdict_of(seen(there), LIMITS).outcome is Outcome.PASS


def test_a_container_without_ports_beside_one_with_ports_needs_no_readiness_probe() -> None:
    main = workload("x")["containers"][0]
    beside = main | {"name": "log", "has_ports": False, "has_readiness": False}
    assert judged(LIMITS, changed(containers=[main, beside])).outcome is Outcome.PASS
    assert judged(LIMITS, changed(containers=[beside])).outcome is Outcome.FAIL


def test_a_native_sidecar_needs_limits_and_without_ports_no_readiness_probe() -> None:
    main = workload("x")["containers"][0] | {"has_ports": False}
    beside = main | {"name": "log", "is_sidecar": True, "has_readiness": False}
    assert judged(LIMITS, changed(containers=[main, beside])).outcome is Outcome.PASS
    verdict = judged(LIMITS, changed(containers=[main, beside | {"limits": []}]))
    assert "container log has no memory limit" in verdict.reason
    served = beside | {"has_ports": True}  # its ports do not make the main container exempt
    bare = main | {"has_readiness": False}
    reason = judged(LIMITS, changed(containers=[bare, served])).reason
    assert "container main has no readiness probe" in reason
    assert "container log has no readiness probe" in reason
