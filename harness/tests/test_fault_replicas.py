"""The arithmetic of replicas and disruption budgets."""

from __future__ import annotations

from typing import Any

import pytest

from harness.faults.budget import disruptions_allowed, pod_margins, pod_refusal
from harness.faults.pods import Budget, Pod, budget_of, pod_of
from harness.tests.fault_examples import pod
from harness.transport.objects import follows_primary, matches

WEB = [pod("web-1"), pod("web-2"), pod("web-3")]


def budget(allowed: int, **selector: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "shop", "name": "web"},
        "spec": {"selector": selector or {"matchLabels": {"app": "web"}}},
        "status": {"disruptionsAllowed": allowed},
    }


def pods_of(items: list[Any]) -> list[Pod]:
    return [pod_of(it) for it in items]


def budgets_of(items: list[Any]) -> list[Budget]:
    return [budget_of(it) for it in items]


def refusal(victims: list[Any], pods: list[Any], budgets: list[Any], **said: bool) -> str | None:
    """Why these objects of the API may not be taken."""
    return pod_refusal(pods_of(victims), pods_of(pods), budgets_of(budgets), **said)


def test_one_of_three_may_go() -> None:
    assert refusal(WEB[:1], WEB, []) is None
    assert refusal(WEB[:1], WEB, [budget(1)]) is None


def test_a_budget_that_allows_nothing_refuses_with_its_arithmetic() -> None:
    why = refusal(WEB[:1], WEB, [budget(0)])
    assert why == "disruptions that the budget shop/web allows: 0 − 1 = -1, 0 needed: TOO FEW"


def test_two_at_once_are_more_than_a_budget_of_one_and_one_after_the_other_are_not() -> None:
    assert refusal(WEB[:2], WEB, [budget(1)]) is not None
    assert refusal(WEB[:2], WEB, [budget(1)], one_by_one=True) is None
    assert refusal(WEB[:2], WEB, [budget(0)], one_by_one=True) is not None


def test_more_than_a_budget_allows_may_go_when_that_is_said() -> None:
    assert refusal(WEB[:2], WEB, [budget(0)], against_budget=True) is None


def test_all_replicas_may_go_only_when_that_is_said() -> None:
    why = refusal(WEB, WEB, [])
    assert why == "ready pods of ReplicaSet shop/web: 3 − 3 = 0, 1 needed: TOO FEW"
    assert refusal(WEB, WEB, [], even_all=True) is None


def test_a_replica_that_is_not_ready_or_is_going_counts_for_nothing() -> None:
    late, leaving = pod("web-2"), pod("web-3")
    late["status"]["conditions"][0]["status"] = "False"
    leaving["metadata"]["deletionTimestamp"] = "2026-11-24T12:00:00Z"
    assert refusal(WEB[:1], [WEB[0], late, leaving], []) is not None


def test_a_pod_that_nothing_brings_back_is_never_taken() -> None:
    lone = pod("web-1")
    del lone["metadata"]["ownerReferences"]
    why = refusal([lone], [lone, *WEB[1:]], [], even_all=True, against_budget=True)
    assert why == "nothing brings shop/web-1 back: it has no controller"


def test_a_budget_of_another_namespace_or_of_other_labels_covers_nothing() -> None:
    elsewhere = budget(0)
    elsewhere["metadata"]["namespace"] = "office"
    others = budget(0, matchLabels={"app": "mail"})
    assert list(disruptions_allowed(pods_of(WEB), budgets_of([elsewhere, others]), 3)) == []


SET = ("shop", "ReplicaSet", "web")


def at(machine: str, name: str, *, ready: bool = True, **changes: str) -> dict[str, Any]:
    """A pod of the shop on a machine."""
    made = pod(name, **changes)
    made["spec"]["nodeName"] = machine
    made["status"]["conditions"][0]["status"] = str(ready)
    return made


def lost(pods: list[Any], wants: int, budgets: list[Any] | None = None, **said: bool) -> list[str]:
    """What would be too few when machine one is lost."""
    lines = pod_margins("one", pods_of(pods), {SET: wants}, budgets_of(budgets or []), **said)
    return [str(line) for line in lines if not line.holds]


def test_a_machine_may_be_lost_with_one_of_two() -> None:
    assert lost([at("one", "web-1"), at("two", "web-2")], 2) == []


def test_a_machine_may_be_lost_with_the_only_pod_of_a_set_that_wants_no_more() -> None:
    assert lost([at("one", "web-1")], 1) == []


def test_a_machine_is_not_lost_with_all_of_several() -> None:
    pods = [at("one", "web-1"), at("one", "web-2")]
    assert lost(pods, 2) == ["ready pods of ReplicaSet shop/web: 2 − 2 = 0, 1 needed: TOO FEW"]
    assert lost(pods, 2, even_all=True) == []


@pytest.mark.parametrize("other", [[], [at("two", "web-2", ready=False)]])
def test_a_machine_is_not_lost_with_the_last_one_while_the_others_are_missing(
    other: list[Any],
) -> None:
    why = "ready pods of ReplicaSet shop/web: 1 − 1 = 0, 1 needed: TOO FEW"
    assert lost([at("one", "web-1"), *other], 2) == [why]


def test_a_pod_that_is_not_ready_takes_nothing_with_it() -> None:
    assert lost([at("one", "web-1", ready=False), at("two", "web-2", ready=False)], 2) == []


@pytest.mark.parametrize("kind", ["Node", "Job"])
def test_what_is_the_machines_own_or_a_jobs_is_not_counted(kind: str) -> None:
    assert lost([at("one", "web-1", of=kind), at("one", "web-2", of=kind)], 2) == []


def test_a_controller_that_nobody_lists_wants_as_many_as_it_has() -> None:
    pods = [at("one", "web-1", of="Cluster"), at("one", "web-2", of="Cluster")]
    assert lost(pods, 1) == ["ready pods of Cluster shop/web: 2 − 2 = 0, 1 needed: TOO FEW"]
    pods[1]["status"] = {"phase": "Succeeded", "conditions": []}
    assert lost(pods, 1) == []


def test_a_machine_is_not_lost_while_a_budget_over_its_pods_is_used_up() -> None:
    pods = [at("one", "web-1"), at("two", "web-2")]
    used = budget(0)
    used["status"]["expectedPods"] = 3
    why = "disruptions that the budget shop/web allows: 0 − 1 = -1, 0 needed: TOO FEW"
    assert lost(pods, 2, [used]) == [why]
    assert lost(pods, 2, [used], against_budget=True) == []
    assert lost([at("two", "web-1"), at("two", "web-2")], 2, [used]) == []


def test_a_budget_over_one_pod_keeps_no_machine_and_two_pods_are_one_disruption() -> None:
    single, several = budget(0), budget(1)
    single["status"]["expectedPods"], several["status"]["expectedPods"] = 1, 3
    assert lost([at("one", "web-1")], 1, [single]) == []
    assert lost([at("one", "web-1"), at("one", "web-2"), at("two", "web-3")], 3, [several]) == []


@pytest.mark.parametrize(
    ("selector", "taken_in"),
    [
        (None, False),
        ({}, True),
        ({"matchLabels": {"app": "web"}}, True),
        ({"matchLabels": {"app": "web", "tier": "x"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}, False),
        ({"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["x"]}]}, True),
        ({"matchExpressions": [{"key": "tier", "operator": "In", "values": ["x"]}]}, False),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, False),
    ],
)
def test_a_label_selector_takes_in_what_kubernetes_says(selector: Any, taken_in: bool) -> None:
    assert matches(selector, {"app": "web"}) is taken_in


@pytest.mark.parametrize(
    ("selector", "follows"),
    [
        ({"matchLabels": {"cnpg.io/cluster": "db", "cnpg.io/instanceRole": "primary"}}, True),
        ({"matchLabels": {"cnpg.io/cluster": "db", "cnpg.io/instanceRole": "replica"}}, False),
        ({"matchLabels": {"app": "web"}}, False),
        (None, False),
    ],
)
def test_only_the_budget_of_an_operators_primary_moves_with_it(
    selector: object, follows: bool
) -> None:
    """As CloudNativePG 1.28 makes it: a drain waits until the primary is elsewhere."""
    (found,) = budgets_of([{**budget(0), "spec": {"selector": selector}}])
    assert follows_primary(found.selector) is follows
