"""Kubernetes objects for tests of the lab, in a test's own namespace, which is removed with it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from harness.core.waiting import until
from harness.lab import kubernetes
from harness.tests.lab.world import World

IMAGE = "lab/workload:1"
_MET_BY_OTHERS = (
    "deployments,statefulsets,pods,services,ingresses,poddisruptionbudgets,persistentvolumeclaims"
)


@dataclass(frozen=True)
class Namespace:
    """One namespace of the lab's cluster."""

    world: World
    name: str

    def apply(self, *documents: dict[str, Any]) -> None:
        """Create the objects, or update them."""
        bundle = {"apiVersion": "v1", "kind": "List", "items": list(documents)}
        log = self.world.log
        kubernetes.insist(
            self.world.lab, "apply", "-n", self.name, "-f", "-", stdin=json.dumps(bundle), log=log
        )

    def kubectl(self, *argv: str, check: bool = True) -> str:
        return self.world.kubectl(f"--namespace={self.name}", *argv, check=check)

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """The present object; empty when there is none."""
        found = self.kubectl("get", kind, name, "--output=json", "--ignore-not-found", check=False)
        document: dict[str, Any] = json.loads(found) if found.strip() else {}
        return document

    def run(self, pod: str, *argv: str) -> str:
        """A command's output in a pod, both streams, for any exit status."""
        script = '"$@" 2>&1 || true'
        return self.kubectl("exec", pod, "--", "sh", "-c", script, "run", *argv)

    def ready(self, *pods: str, within_s: float = 120) -> None:
        for pod in pods:
            wait = ["wait", "--for=condition=Ready", "--timeout=5s", f"pod/{pod}"]

            def look(command: Sequence[str] = tuple(wait)) -> bool:
                return "condition met" in self.kubectl(*command, check=False)

            until(look, within_s=within_s, what=f"pod {pod} is ready")


@contextmanager
def namespace(world: World, name: str) -> Iterator[Namespace]:
    """An empty namespace, removed afterwards with everything in it."""
    world.kubectl("delete", "namespace", name, "--ignore-not-found", "--wait=false")
    one = Namespace(world, name)
    gone(world, name)
    world.kubectl("create", "namespace", name)
    try:
        yield one
    finally:
        # A later test does not meet what is in it; the namespace itself takes five seconds more.
        one.kubectl("delete", _MET_BY_OTHERS, "--all", "--now", "--timeout=40s", check=False)
        world.kubectl("delete", "namespace", name, "--wait=false", check=False)


def gone(world: World, name: str) -> None:
    until(
        lambda: not world.kubectl("get", "namespace", name, "--ignore-not-found", check=False),
        within_s=120,
        what=f"namespace {name} is gone",
    )


def budget(app: str, *, at_least: int) -> dict[str, Any]:
    """A PodDisruptionBudget for the pods with this label."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": app},
        "spec": {"minAvailable": at_least, "selector": {"matchLabels": {"app": app}}},
    }


def claim(name: str, size: str) -> dict[str, Any]:
    """A claim of class cephfs that every machine may write at once."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {
            "storageClassName": "cephfs",
            "accessModes": ["ReadWriteMany"],
            "resources": {"requests": {"storage": size}},
        },
    }


def pod(
    name: str, node: str, *command: str, claim: str = "", labels: dict[str, str] | None = None
) -> dict[str, Any]:
    """A pod on a machine, with a claim at /data if one is named; by default it only waits."""
    container: dict[str, Any] = {
        "name": "main",
        "image": IMAGE,
        "command": list(command) or ["catatonit", "-P"],
    }
    spec: dict[str, Any] = {
        "nodeName": node,
        "terminationGracePeriodSeconds": 0,
        "containers": [container],
    }
    if claim:
        container["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
        spec["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels or {}},
        "spec": spec,
    }


def service(name: str, selector: dict[str, str], port: int, *, at: int = 80) -> dict[str, Any]:
    """A Service that leads from its port ``at`` to a port of the pods."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": selector, "ports": [{"port": at, "targetPort": port}]},
    }


def ingress(name: str, host: str, to: str) -> dict[str, Any]:
    backend = {"service": {"name": to, "port": {"number": 80}}}
    paths = [{"path": "/", "pathType": "Prefix", "backend": backend}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": name},
        "spec": {
            "ingressClassName": "traefik",
            "rules": [{"host": host, "http": {"paths": paths}}],
        },
    }
