"""Seeded defects of W7-SERVICES, W7-NODOCKER and W7-RBAC: workloads that stand for the platform."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from harness.core.waiting import until
from harness.tests.lab import objects
from harness.tests.lab.asking import ask
from harness.tests.lab.world import World

UP = "every service is up and spread over the machines"
LIMITS = "every container has requests, limits and checks"
PINNED = "every image is named by its digest"
DRAIN = "a machine can be drained without stopping a service"
SOCKET = "no pod has the Docker socket"
PRIVILEGES = "no pod has more of its machine than is declared"
NEEDS = "each service account may do what it needs"
REFUSED = "no service account may do what it must not"
SPACE = "test-services"
DECLARED = f"""
services:
  namespace: {SPACE}
  names:
    web: {{port: 80}}
service_accounts:
  {SPACE}/maker: {{may: [create deployments.apps]}}
"""


@pytest.fixture
def space(world: World) -> Iterator[objects.Namespace]:
    """A service with two replicas in order, and an account that may make Deployments."""
    with objects.namespace(world, SPACE) as space:
        space.apply(
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "maker"}},
            role({"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["create"]}),
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "RoleBinding",
                "metadata": {"name": "maker"},
                "roleRef": {
                    "apiGroup": "rbac.authorization.k8s.io",
                    "kind": "Role",
                    "name": "maker",
                },
                "subjects": [{"kind": "ServiceAccount", "name": "maker", "namespace": SPACE}],
            },
            deployment("stopped", replicas=0, image=f"{objects.IMAGE}@sha256:{'0' * 64}"),
        )
        yield space


@pytest.fixture
def profile(world: World) -> str:
    own = ("services", "service_accounts")
    return world.profile_with(
        [*((world.section(it), "") for it in own), ("\nstack:", f"{DECLARED}\nstack:")]
    )


def role(*rules: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "maker"},
        "rules": list(rules),
    }


def deployment(
    name: str, *, replicas: int = 2, image: str = objects.IMAGE, **spec: Any
) -> dict[str, Any]:
    """A web server with everything that a service must have; its replicas are on two machines."""
    container = {
        "name": "main",
        "image": image,
        "command": ["python3", "-m", "http.server", "8080"],
        "ports": [{"containerPort": 8080}],
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
        "resources": {
            "requests": {"cpu": "1m", "memory": "16Mi"},
            "limits": {"memory": "64Mi"},
        },
    }
    labels = {"app": name}
    apart = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": labels},
    }
    pod = {
        "containers": [container],
        "terminationGracePeriodSeconds": 0,
        "topologySpreadConstraints": [apart],
        **spec,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def available(space: objects.Namespace, name: str, pods: int) -> None:
    until(
        lambda: space.get("deployment", name).get("status", {}).get("availableReplicas") == pods,
        within_s=120,
        what=f"{pods} replicas of {name} are available",
    )


def _as_they_must_be(space: objects.Namespace, profile: str) -> None:
    """Services and accounts that each check passes."""
    passed = ask(profile, "workloads", PINNED)
    assert passed[PINNED][0] == "pass", passed
    space.apply(
        deployment("web"),
        objects.budget("web", at_least=1),
        objects.service("web", {"app": "web"}, 8080),
    )
    available(space, "web", 2)
    until(
        lambda: space.get("pdb", "web").get("status", {}).get("disruptionsAllowed") == 1,
        within_s=120,
        what="the budget counts its pods",
    )
    for probe, checks in (
        ("workloads", (UP, LIMITS, DRAIN, SOCKET, PRIVILEGES)),
        ("access-reviews", (NEEDS, REFUSED)),
    ):
        passed = ask(profile, probe, *checks)
        assert {outcome for outcome, _ in passed.values()} == {"pass"}, passed


def _broken(world: World, space: objects.Namespace) -> None:
    """Defects that do not hide each other."""
    heap = deployment(
        "heap",
        nodeName=world.one.name,
        topologySpreadConstraints=[],
        hostPID=True,
        volumes=[{"name": "docker", "hostPath": {"path": "/var/run/docker.sock"}}],
    )
    bare = heap["spec"]["template"]["spec"]["containers"][0]
    del bare["resources"], bare["readinessProbe"]
    space.apply(
        heap,
        objects.service("heap", {"app": "heap"}, 8080),
        deployment("late", nodeSelector={"machine": "none"}),
        objects.budget("web", at_least=2),
        role({"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create"]}),
    )
    available(space, "heap", 2)
    until(
        lambda: space.get("pdb", "web").get("status", {}).get("disruptionsAllowed") == 0,
        within_s=120,
        what="the budget allows no eviction",
    )


@pytest.mark.defect(
    "every service is up and spread over the machines",
    "every container has requests, limits and checks",
    "every image is named by its digest",
    "a machine can be drained without stopping a service",
    "no pod has the Docker socket",
    "no pod has more of its machine than is declared",
    "each service account may do what it needs",
    "no service account may do what it must not",
)
def test_services_and_accounts_that_are_not_as_they_must_be_are_found(
    world: World, space: objects.Namespace, profile: str
) -> None:
    _as_they_must_be(space, profile)
    _broken(world, space)
    found = ask(profile, "workloads", UP, LIMITS, PINNED, DRAIN, SOCKET, PRIVILEGES)
    for check, says in (
        (UP, f"{SPACE}/heap: expected its 2 replicas on at least two machines"),
        (UP, f"{SPACE}/late: expected 2 replicas that are ready, seen 0"),
        (LIMITS, f"{SPACE}/heap: container main has no request of processor"),
        (LIMITS, "memory limit and readiness probe"),
        (PINNED, f"{SPACE}/web: expected an image by its digest (NAME@sha256:…), seen lab/"),
        (DRAIN, f"{SPACE}/web: PodDisruptionBudget {SPACE}/web allows no eviction"),
        (DRAIN, f"{SPACE}/heap: expected a PodDisruptionBudget for its 2 replicas, seen none"),
        (SOCKET, f"{SPACE}/heap: expected no Docker socket in a pod, seen /var/run/docker.sock"),
        (PRIVILEGES, f"{SPACE}/heap: it has hostPID and hostPath /var/run/docker.sock"),
    ):
        outcome, reason = found[check]
        assert (outcome, says in reason) == ("fail", True), reason
    found = ask(profile, "access-reviews", NEEDS, REFUSED)
    for check, says in (
        (NEEDS, f"{SPACE}/maker: expected that it may create deployments.apps in {SPACE}"),
        (REFUSED, f"{SPACE}/maker: it may create pods/exec in {SPACE}"),
    ):
        outcome, reason = found[check]
        assert (outcome, says in reason) == ("fail", True), reason
