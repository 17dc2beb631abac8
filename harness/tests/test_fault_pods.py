"""Which pods a fault hits, and when their absence is seen."""

from __future__ import annotations

import re
from collections.abc import Mapping
from random import Random
from typing import Any

import pytest

from harness.core.errors import InjectFailed
from harness.faults.kinds.kubernetes import Drain
from harness.faults.kinds.pods import (
    KillContainer,
    KillIngress,
    KillPods,
    KillPrimary,
    KillSpeaker,
)
from harness.tests.fake_transport import ShellAnswer
from harness.tests.fault_examples import ID, has_ended, pod, whole_cluster
from harness.transport import Reach

PATH = "/api/v1/namespaces/shop/pods"
LISTED = f"{PATH}?labelSelector=app%3Dweb"
STACK = {"cni": "bridge", "network_policy": False}


def kill(**how: Any) -> KillPods:
    return KillPods.model_validate(
        {"id": ID, "machine": "one", "namespace": "shop", "selector": "app=web", **how}
    )


def web(*pods: dict[str, Any]) -> dict[str, Any]:
    return {LISTED: {"items": list(pods)}, PATH: {"items": list(pods)}}


def names(fault: KillPods) -> list[str]:
    return [victim.name for victim in fault.victims]


def test_the_same_seed_draws_the_same_pods_in_whatever_order_they_are_listed() -> None:
    pods = [pod(f"web-{number}") for number in range(5)]
    there, back = whole_cluster(web(*pods)), whole_cluster(web(*reversed(pods)))
    drawn = [names(kill(count=2).resolved(there, Random(seed))) for seed in range(8)]
    assert drawn == [names(kill(count=2).resolved(back, Random(seed))) for seed in range(8)]
    assert len({tuple(it) for it in drawn}) > 1


def test_all_pods_are_hit_when_that_is_said_and_it_is_not_refused() -> None:
    whole = whole_cluster()
    fault = kill(choice="all").resolved(whole, Random(1))
    assert names(fault) == ["web-1", "web-2"]
    assert fault.refuse(whole) is None
    assert (kill(count=2).resolved(whole, Random(1)).refuse(whole) or "").endswith("TOO FEW")


def test_the_primary_is_the_one_that_carries_its_label() -> None:
    cluster = whole_cluster(web(pod("web-1"), pod("web-2", role="primary")))
    fault = kill(choice="primary").resolved(cluster, Random(1))
    assert (names(fault), fault.machine) == (["web-2"], "two")


def test_without_such_a_label_the_primary_is_the_first_of_a_stateful_set() -> None:
    cluster = whole_cluster(
        web(pod("web-0", of="StatefulSet"), pod("web-1", of="StatefulSet"), pod("x-0"))
    )
    assert names(kill(choice="primary").resolved(cluster, Random(1))) == ["web-0"]


@pytest.mark.parametrize(
    ("operator", "label", "hit"),
    [
        ("cloudnative-pg", {"cnpg.io/instanceRole": "primary"}, "web-2"),
        ("patroni", {"role": "primary"}, "web-2"),
        (None, {}, "web-0"),
    ],
)
def test_the_primary_of_the_platform_is_known_by_the_label_of_its_operator(
    operator: str | None, label: dict[str, str], hit: str
) -> None:
    selector = "cnpg.io/podRole=instance"
    declared = {"namespace": "shop", "selector": selector, "operator": operator, "cluster": "db"}
    pods = (pod("web-0", of="StatefulSet"), pod("web-1"), pod("web-2", **label))
    listed = f"{PATH}?labelSelector=cnpg.io%2FpodRole%3Dinstance"
    cluster = whole_cluster({listed: {"items": list(pods)}}, postgres=declared)
    fault = KillPrimary(id=ID, machine="one").resolved(cluster, Random(1))
    assert names(fault) == [hit]


def test_no_pod_to_hit_is_said() -> None:
    cluster = whole_cluster(web())
    fault = kill(choice="primary").resolved(cluster, Random(1))
    assert fault.refuse(cluster) == (
        "no ready pod in shop matches app=web, role=primary or the first of a StatefulSet"
    )


def test_another_pod_of_the_same_name_is_another_pod() -> None:
    fault = kill().resolved(whole_cluster(web(pod("web-1"))), Random(1))
    new = pod("web-1")
    new["metadata"]["uid"] = "u9"
    replaced = whole_cluster(web(new))
    assert fault.active(replaced)
    assert fault.healed(replaced)
    new["status"]["conditions"][0]["status"] = "False"
    assert not fault.healed(whole_cluster(web(new)))


def test_pods_are_deleted_without_time_to_end() -> None:
    (act,) = kill().resolved(whole_cluster(web(pod("web-1"))), Random(1)).acts(whole_cluster())
    assert act.argv == ("DELETE", f"{PATH}/web-1?gracePeriodSeconds=0")


def test_what_the_profile_does_not_declare_is_not_hit() -> None:
    bare = whole_cluster(pods={}, stack=STACK, postgres=None)
    ingress = KillIngress(id=ID, machine="one").resolved(bare, Random(1))
    speaker = KillSpeaker(id=ID, machine="one").resolved(bare, Random(1))
    primary = KillPrimary(id=ID, machine="one").resolved(bare, Random(1))
    assert "pods.ingress" in (ingress.refuse(bare) or "")
    assert speaker.refuse(bare) == "small has no load balancer"
    assert "set `postgres:`" in (primary.refuse(bare) or "")


def test_a_container_is_named_as_containerd_knows_it_and_where_it_runs() -> None:
    fault = KillContainer(id=ID, machine="one", namespace="shop", selector="app=web")
    found = fault.resolved(whole_cluster(web(pod("web-2"))), Random(1))
    (act,) = found.acts(whole_cluster())
    assert act.place == "two"
    assert act.argv[-1] == "c2"


def test_a_container_that_was_restarted_is_seen() -> None:
    fault = KillContainer(id=ID, machine="one", namespace="shop", selector="app=web")
    found = fault.resolved(whole_cluster(web(pod("web-1"))), Random(1))
    again = pod("web-1")
    again["status"]["containerStatuses"][0]["restartCount"] = 1
    cluster = whole_cluster({f"{PATH}/web-1": again})
    assert found.active(cluster)
    assert found.healed(cluster)


def test_the_container_of_the_last_ready_pod_of_its_kind_is_not_killed() -> None:
    only = whole_cluster(web(pod("web-1")))
    fault = KillContainer(id=ID, machine="one", namespace="shop", selector="app=web")
    found = fault.resolved(only, Random(1))
    why = "ready pods of ReplicaSet shop/web: 1 − 1 = 0, 1 needed: TOO FEW"
    assert found.refuse(only) == why
    assert found.model_copy(update={"even_all": True}).refuse(only) is None


def test_no_container_is_killed_while_the_budget_over_its_pod_is_used_up() -> None:
    used = {
        "metadata": {"namespace": "shop", "name": "web"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}},
        "status": {"disruptionsAllowed": 0},
    }
    guards = {"/apis/policy/v1/namespaces/shop/poddisruptionbudgets": {"items": [used]}}
    cluster = whole_cluster({**web(pod("web-1"), pod("web-2")), **guards})
    fault = KillContainer(id=ID, machine="one", namespace="shop", selector="app=web")
    found = fault.resolved(cluster, Random(1))
    assert "the budget shop/web allows: 0 − 1" in (found.refuse(cluster) or "")
    assert found.model_copy(update={"against_budget": True}).refuse(cluster) is None


def test_what_a_daemon_set_or_the_machine_itself_runs_is_not_drained() -> None:
    every = [pod("web-1", of="DaemonSet"), pod("web-2", of="Node")]
    cluster = whole_cluster({"/api/v1/pods?fieldSelector=spec.nodeName%3Done": {"items": every}})
    cordoned: Any = cluster.kube.get("/api/v1/nodes/one")
    cordoned["spec"] = {"unschedulable": True}
    assert Drain(id=ID, machine="one").active(cluster)
    assert not Drain(id=ID, machine="one").healed(cluster)


@pytest.mark.parametrize("unit", [{}, has_ended("node/one drained")], ids=["runs", "has ended"])
def test_a_drain_is_not_seen_while_the_api_lists_a_pod(
    unit: Mapping[tuple[str, str], ShellAnswer],
) -> None:
    assert not Drain(id=ID, machine="one").active(leaving(unit))


def test_a_drain_that_gave_up_says_why_in_the_words_of_kubectl() -> None:
    again, why = "evicting pod shop/web-1", "error: would violate the pod's budget"
    cluster = leaving(has_ended("node/one cordoned", again, again, why))
    told = f"one was not drained; kubectl said: node/one cordoned\n{again}\n{why}"
    with pytest.raises(InjectFailed, match=f"^{re.escape(told)}\n") as failed:
        Drain(id=ID, machine="one").active(cluster)
    assert "a pod that stops for longer than 300 s" in failed.value.remedy


def test_a_drain_may_wait_for_a_postgresql_that_lets_its_clients_finish() -> None:
    """CloudNativePG's stopDelay: 1800 s, which is the pod's terminationGracePeriodSeconds."""
    fault = Drain(id=ID, machine="one", within_s=1800)
    acts = [" ".join(act.argv) for act in fault.acts(whole_cluster())]
    assert any("drain one" in it and "--timeout=1800s" in it for it in acts)
    assert fault.seen_within_s > fault.within_s


def leaving(unit: Mapping[tuple[str, str], ShellAnswer]) -> Reach:
    """A machine that is cordoned and has a pod to evict; what is said of the unit that does it."""
    every = {"items": [pod("web-1")]}
    listed = {"/api/v1/pods?fieldSelector=spec.nodeName%3Done": every}
    cluster = whole_cluster(listed, answers=unit)
    cordoned: Any = cluster.kube.get("/api/v1/nodes/one")
    cordoned["spec"] = {"unschedulable": True}
    return cluster


def test_a_machine_with_the_only_replica_is_drained_when_that_is_said() -> None:
    only = {"items": [pod("web-1")]}
    cluster = whole_cluster({"/api/v1/pods": only})
    assert "1 − 1 = 0" in (Drain(id=ID, machine="one").refuse(cluster) or "")
    assert Drain(id=ID, machine="one", even_all=True).refuse(cluster) is None
