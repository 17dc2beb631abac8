"""The arithmetic of replicas and disruption budgets."""

from __future__ import annotations

from typing import Any

import pytest

from harness.faults import replicas
from harness.tests.fault_examples import pod

WEB = [pod("web-1"), pod("web-2"), pod("web-3")]


def budget(allowed: int, **selector: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "shop", "name": "web"},
        "spec": {"selector": selector or {"matchLabels": {"app": "web"}}},
        "status": {"disruptionsAllowed": allowed},
    }


def test_one_of_three_may_go() -> None:
    assert replicas.refusal(WEB[:1], WEB, []) is None
    assert replicas.refusal(WEB[:1], WEB, [budget(1)]) is None


def test_a_budget_that_allows_nothing_refuses_with_its_arithmetic() -> None:
    why = replicas.refusal(WEB[:1], WEB, [budget(0)])
    assert why == "disruptions that the budget shop/web allows: 0 − 1 = -1, 0 needed: TOO FEW"


def test_two_at_once_are_more_than_a_budget_of_one_and_one_after_the_other_are_not() -> None:
    assert replicas.refusal(WEB[:2], WEB, [budget(1)]) is not None
    assert replicas.refusal(WEB[:2], WEB, [budget(1)], one_by_one=True) is None
    assert replicas.refusal(WEB[:2], WEB, [budget(0)], one_by_one=True) is not None


def test_more_than_a_budget_allows_may_go_when_that_is_said() -> None:
    assert replicas.refusal(WEB[:2], WEB, [budget(0)], against_budget=True) is None


def test_all_replicas_may_go_only_when_that_is_said() -> None:
    why = replicas.refusal(WEB, WEB, [])
    assert why == "ready pods of ReplicaSet shop/web: 3 − 3 = 0, 1 needed: TOO FEW"
    assert replicas.refusal(WEB, WEB, [], even_all=True) is None


def test_a_replica_that_is_not_ready_or_is_going_counts_for_nothing() -> None:
    late, leaving = pod("web-2"), pod("web-3")
    late["status"]["conditions"][0]["status"] = "False"
    leaving["metadata"]["deletionTimestamp"] = "2026-11-24T12:00:00Z"
    assert replicas.refusal(WEB[:1], [WEB[0], late, leaving], []) is not None


def test_a_pod_that_nothing_brings_back_is_never_taken() -> None:
    lone = pod("web-1")
    del lone["metadata"]["ownerReferences"]
    why = replicas.refusal([lone], [lone, *WEB[1:]], [], even_all=True, against_budget=True)
    assert why == "nothing brings shop/web-1 back: it has no controller"


def test_a_budget_of_another_namespace_or_of_other_labels_covers_nothing() -> None:
    elsewhere = budget(0)
    elsewhere["metadata"]["namespace"] = "office"
    others = budget(0, matchLabels={"app": "mail"})
    assert list(replicas.allowed(WEB, [elsewhere, others], 3)) == []


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
    assert replicas.matches(selector, {"app": "web"}) is taken_in
