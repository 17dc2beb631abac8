"""Workloads: the objects of real clusters, and what comes of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.checks import CHECKS
from harness.core.errors import TransportError
from harness.core.model import Outcome, Verdict
from harness.settings.access import Privileges
from harness.tests.clean_case import case, clean
from harness.tests.clean_cluster import CLUSTER
from harness.tests.clean_services import workload
from harness.tests.fake_transport import FakeKube
from harness.tests.mutilated import mutilate
from harness.tests.probe_rig import observe, reach

UP = "every service is up and spread over the machines"
LIMITS = "every container has requests, limits and checks"
PINNED = "every image is named by its digest"
DRAIN = "a machine can be drained without stopping a service"
SOCKET = "no pod has the Docker socket"
PRIVILEGES = "no pod has more of its machine than is declared"
ALL = (UP, LIMITS, PINNED, DRAIN, SOCKET, PRIVILEGES)
USER = "Deployment saasodoo/user-service"


def judged(check: str, change: Callable[[Any], object] = lambda _: None) -> Verdict:
    there = clean()
    change(there["workloads"][CLUSTER.name])
    return CHECKS[check](case(there))


def changed(**known: Any) -> Callable[[Any], object]:
    """A change of user-service."""
    return lambda it: it["workloads"][USER].update(known)


def of_container(**known: Any) -> Callable[[Any], object]:
    return lambda it: it["workloads"][USER]["containers"][0].update(known)


def privileged(kind: str, value: str = "", container: str = "") -> Callable[[Any], object]:
    return changed(privileges=[{"kind": kind, "value": value, "container": container}])


# --- the checks ---


@pytest.mark.parametrize("check", ALL)
def test_services_in_order_pass(check: str) -> None:
    assert judged(check).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("check", "change", "says"),
    [
        (UP, changed(ready=1), "expected 2 replicas that are ready, seen 1"),
        (UP, changed(is_settled=False), "has not acted on the newest declaration"),
        (UP, changed(not_updated=1), "its rollout is not over: 1 of its pods are still to be"),
        (
            UP,
            changed(machines=["vmi2887101"]),
            "expected its 2 replicas on at least two machines, seen all on vmi2887101",
        ),
        (LIMITS, of_container(limits=["cpu"]), "container main has no memory limit"),
        (
            LIMITS,
            of_container(requests=[], limits=[]),
            "container main has no request of processor, request of memory and memory limit",
        ),
        (LIMITS, of_container(has_readiness=False), "container main has no readiness probe"),
        (
            PINNED,
            changed(images=["registry.example/user-service:latest"]),
            "expected an image by its digest (NAME@sha256:…), seen registry.example/",
        ),
        (
            PINNED,
            changed(images=["registry.saasodoo.example/user@sha256:0"]),
            "expected no image of a registry in the Swarm, seen registry.saasodoo.example/user",
        ),
        (
            DRAIN,
            changed(budgets=[]),
            "expected a PodDisruptionBudget for its 2 replicas, seen none",
        ),
        (
            DRAIN,
            lambda it: it["allowed_evictions"].update({"saasodoo/user-service": 0}),
            "PodDisruptionBudget saasodoo/user-service allows no eviction: no drain ends",
        ),
        (
            SOCKET,
            privileged("hostPath", "/var/run/docker.sock"),
            "expected no Docker socket in a pod, seen /var/run/docker.sock",
        ),
        (
            PRIVILEGES,
            privileged("hostPath", "/var/run/docker.sock"),
            "it has hostPath /var/run/docker.sock, which the profile does not declare",
        ),
        (PRIVILEGES, privileged("hostPath", "/"), "it has hostPath /, which"),
        (PRIVILEGES, privileged("hostPID"), "it has hostPID, which"),
        (
            PRIVILEGES,
            privileged("privileged", container="main"),
            "it has privileged of container main, which",
        ),
        (PRIVILEGES, privileged("capability", "SYS_ADMIN", "main"), "it has capability SYS_ADMIN"),
    ],
)
def test_a_service_that_is_not_in_order_fails_and_is_named(
    check: str, change: Callable[[Any], object], says: str
) -> None:
    verdict = judged(check, change)
    assert (verdict.outcome, says in verdict.reason) == (Outcome.FAIL, True), verdict.reason
    assert verdict.where == (USER,)


@pytest.mark.parametrize(
    ("check", "change"),
    [
        (UP, changed(wanted=0, ready=0, machines=[])),  # stopped on purpose
        (UP, changed(wanted=1, ready=1, machines=["vmi2887103"])),
        (LIMITS, changed(services=[], containers=[workload("x")["containers"][0]])),
        (DRAIN, changed(wanted=1, ready=1, budgets=[])),
        # While a replica is missing a budget allows none: that is the other check's finding.
        (
            DRAIN,
            lambda it: (
                it["allowed_evictions"].update({"saasodoo/user-service": 0}),
                it["workloads"][USER].update(ready=1),
            ),
        ),
        (PRIVILEGES, privileged("capability", "NET_BIND_SERVICE", "main")),
        (
            PRIVILEGES,
            lambda it: it["workloads"]["Deployment saasodoo/database-worker"].update(
                privileges=[{"kind": "hostPath", "value": "/mnt/cephfs/odoo_instances"}]
            ),
        ),
    ],
)
def test_what_is_usual_or_declared_passes(check: str, change: Callable[[Any], object]) -> None:
    verdict = judged(check, change)
    assert verdict.outcome is Outcome.PASS, verdict.reason


@pytest.mark.parametrize("check", ALL)
def test_objects_that_are_not_understood_and_an_empty_answer_prove_nothing(check: str) -> None:
    odd = judged(check, lambda it: it["odd"].update({"saasodoo/x": "not understood"}))
    empty = judged(check, lambda it: it["workloads"].clear())
    assert odd.outcome is empty.outcome is Outcome.NOT_PROVEN


@pytest.mark.parametrize("check", ALL[:4])
def test_a_namespace_without_services_proves_nothing(check: str) -> None:
    only = {"DaemonSet kube-system/proxy": workload("proxy", namespace="kube-system")}
    assert judged(check, lambda it: it.update(workloads=only)).outcome is Outcome.NOT_PROVEN


def test_a_declaration_that_no_workload_uses_is_told() -> None:
    gone = judged(PRIVILEGES, lambda it: it["workloads"].pop("Deployment saasodoo/database-worker"))
    assert gone.reason.endswith("declared for no workload: saasodoo/database-*")


# --- the probe ---

LISTS = {
    "pods": "/api/v1/pods",
    "services": "/api/v1/services",
    "volumes": "/api/v1/persistentvolumes",
    "replicasets": "/apis/apps/v1/replicasets",
    "deployments": "/apis/apps/v1/deployments",
    "statefulsets": "/apis/apps/v1/statefulsets",
    "daemonsets": "/apis/apps/v1/daemonsets",
    "cronjobs": "/apis/batch/v1/cronjobs",
    "jobs": "/apis/batch/v1/jobs",
    "budgets": "/apis/policy/v1/poddisruptionbudgets",
}


def meta(name: str, owner: tuple[str, str] | None = None, **known: Any) -> Any:
    owners = [{"kind": owner[0], "name": owner[1], "controller": True}] if owner else []
    return {"name": name, "namespace": "saasodoo", "ownerReferences": owners, **known}


def container(**known: Any) -> Any:
    resources = {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}}
    ports = [{"containerPort": 8001}]
    return {"name": "main", "image": "user:1", "resources": resources, "ports": ports, **known}


def pod(name: str, owner: tuple[str, str] | None, node: str, **spec: Any) -> Any:
    ready = {"conditions": [{"type": "Ready", "status": "True"}], "podIP": "10.42.0.9"}
    return {
        "metadata": meta(name, owner, labels={"app": "user"}),
        "spec": {"nodeName": node, "containers": [container()], **spec},
        "status": {"phase": "Running", **ready},
    }


def deployment(**spec: Any) -> Any:
    template = {"metadata": {"labels": {"app": "user"}}, "spec": {"containers": [container()]}}
    return {
        "metadata": meta("user-service", generation=3),
        "spec": {"replicas": 2, "template": template, **spec},
        "status": {
            "observedGeneration": 3,
            "replicas": 2,
            "updatedReplicas": 2,
            "availableReplicas": 2,
        },
    }


def objects() -> dict[str, list[Any]]:
    """A Deployment with two pods, a job of the night, a database of an operator, a static pod."""
    night = {"containers": [container(name="dump")], "volumes": [{"hostPath": {"path": "/mnt"}}]}
    template = {"spec": {"template": {"spec": night}}}
    static = pod("etcd-vmi2887101", ("Node", "vmi2887101"), "vmi2887101", hostNetwork=True)
    database = pod("db-1", ("Cluster", "saasodoo-db"), "vmi2887103")
    database["spec"]["volumes"] = [{"persistentVolumeClaim": {"claimName": "db-1"}}]
    database["metadata"]["labels"] = {"cnpg.io/cluster": "saasodoo-db"}
    return {
        "pods": [
            pod("user-service-7d4b9-x", ("ReplicaSet", "user-service-7d4b9"), "vmi2887101"),
            pod("user-service-7d4b9-y", ("ReplicaSet", "user-service-7d4b9"), "vmi2887102"),
            database,
            static,
        ],
        "services": [{"metadata": meta("user-service"), "spec": {"selector": {"app": "user"}}}],
        "volumes": [
            {
                "metadata": {"name": "pvc-1"},
                "spec": {
                    "local": {"path": "/opt/local-path-provisioner/pvc-1"},
                    "claimRef": {"namespace": "saasodoo", "name": "db-1"},
                },
            }
        ],
        "replicasets": [
            {"metadata": meta("user-service-7d4b9", ("Deployment", "user-service")), "spec": {}}
        ],
        "deployments": [deployment()],
        "statefulsets": [],
        "daemonsets": [],
        "cronjobs": [{"metadata": meta("night"), "spec": {"jobTemplate": template}}],
        "jobs": [],
        "budgets": [
            {
                "metadata": meta("user"),
                "spec": {"selector": {"matchLabels": {"app": "user"}}},
                "status": {"disruptionsAllowed": 1},
            }
        ],
    }


def seen(there: dict[str, list[Any]]) -> Any:
    answers = {LISTS[kind]: {"items": items} for kind, items in there.items()}
    return observe("workloads", reach(kube=FakeKube(answers)), "contabo")


def test_the_pods_of_a_replica_set_count_for_its_deployment() -> None:
    found = seen(objects())["workloads"]
    assert list(found) == [
        "Cluster saasodoo/saasodoo-db",
        "CronJob saasodoo/night",
        "Deployment saasodoo/user-service",
        "Pod saasodoo/etcd-vmi2887101",
    ]
    user = found["Deployment saasodoo/user-service"]
    assert (user["wanted"], user["ready"], user["machines"]) == (
        2,
        2,
        ["vmi2887101", "vmi2887102"],
    )
    assert (user["services"], user["budgets"]) == (["saasodoo/user-service"], ["saasodoo/user"])
    assert user["containers"] == [
        {
            "name": "main",
            "requests": ["cpu", "memory"],
            "limits": ["memory"],
            "has_ports": True,
            "has_readiness": False,
            "is_sidecar": False,
        }
    ]


def test_a_job_of_the_night_and_a_volume_on_a_path_of_the_machine_are_seen() -> None:
    found = seen(objects())["workloads"]
    night, database = found["CronJob saasodoo/night"], found["Cluster saasodoo/saasodoo-db"]
    assert night["privileges"] == [{"kind": "hostPath", "value": "/mnt", "container": ""}]
    assert database["privileges"][0]["value"] == "/opt/local-path-provisioner/pvc-1"
    assert found["Pod saasodoo/etcd-vmi2887101"]["privileges"][0]["kind"] == "hostNetwork"


def test_what_a_webhook_adds_to_a_pod_is_seen_beside_its_template() -> None:
    there = objects()
    context = {"privileged": True, "capabilities": {"add": ["CAP_SYS_ADMIN"]}}
    there["pods"][0]["spec"]["initContainers"] = [container(name="in", securityContext=context)]
    user = seen(there)["workloads"][USER]
    assert user["privileges"] == [
        {"kind": "privileged", "value": "", "container": "in"},
        {"kind": "capability", "value": "SYS_ADMIN", "container": "in"},
    ]


def test_a_pod_that_is_leaving_or_done_is_not_ready() -> None:
    there = objects()
    there["pods"][0]["metadata"]["deletionTimestamp"] = "2026-11-29T12:00:00Z"
    there["pods"][1]["status"]["phase"] = "Succeeded"
    assert seen(there)["workloads"][USER]["machines"] == []


@pytest.mark.parametrize(
    ("selector", "covers"),
    [
        ({}, True),  # policy/v1: an empty selector is every pod of the namespace
        (None, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["user"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["user"]}]}, False),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, False),
        ({"matchLabels": {"app": "other"}}, False),
    ],
)
def test_a_budget_counts_the_pods_that_its_selector_selects(selector: Any, covers: bool) -> None:
    there = objects()
    there["budgets"][0]["spec"]["selector"] = selector
    assert bool(seen(there)["workloads"][USER]["budgets"]) is covers


def test_a_database_of_an_operator_is_led_to_by_the_role_of_any_of_its_pods() -> None:
    """CloudNativePG's budget allows no eviction of its primary, which moves away beforehand."""
    there = objects()
    role = {"cnpg.io/instanceRole": "primary"}
    other = pod("db-2", ("Cluster", "saasodoo-db"), "vmi2887102")
    other["metadata"]["labels"] = there["pods"][2]["metadata"]["labels"] | role
    there["pods"].append(other)
    there["services"].append({"metadata": meta("saasodoo-db-rw"), "spec": {"selector": role}})
    budget = {"metadata": meta("saasodoo-db-primary"), "spec": {"selector": {"matchLabels": role}}}
    there["budgets"].append(budget)
    value = seen(there)
    database = value["workloads"]["Cluster saasodoo/saasodoo-db"]
    assert database["services"] == ["saasodoo/saasodoo-db-rw"]
    assert database["budgets"] == ["saasodoo/saasodoo-db-primary"]
    assert value["allowed_evictions"] == {"saasodoo/user": 1}


def test_an_operator_of_a_selector_that_is_not_known_is_told() -> None:
    there = objects()
    expression = {"key": "app", "operator": "Like", "values": ["user"]}
    there["budgets"][0]["spec"]["selector"] = {"matchExpressions": [expression]}
    assert "operator Like" in seen(there)["odd"]["saasodoo/user"]


def test_a_list_that_the_api_refuses_proves_nothing() -> None:
    answers: dict[str, object] = {LISTS[kind]: {"items": []} for kind in LISTS}
    answers[LISTS["jobs"]] = TransportError("403: jobs is forbidden")
    with pytest.raises(TransportError, match="jobs is forbidden"):
        observe("workloads", reach(kube=FakeKube(answers)), "contabo")


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(LISTS)), st.data())
def test_an_object_with_odd_fields_is_read_or_named(kind: str, data: st.DataObject) -> None:
    there = objects()
    if there[kind]:
        there[kind] = mutilate(there[kind], data)
    value = seen(there)
    assert set(value) == {"workloads", "allowed_evictions", "odd"}


# --- the declaration ---


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"everything": True, "may": ["hostPID"]},
        {"may": ["root"]},
        {"host_paths": ["mnt"]},
    ],
)
def test_a_privilege_says_exactly_what_it_allows(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Privileges.model_validate({"namespace": "saasodoo", "because": "it is so", **wrong})
