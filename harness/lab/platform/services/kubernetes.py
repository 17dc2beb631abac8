"""Instances and servers as objects of Kubernetes, through its API as the part's service account."""

from __future__ import annotations

import dataclasses
import json
import os
import ssl
import threading
import time
from pathlib import Path
from typing import Any

from . import calls, defects, settings
from .orchestrator import READY_WITHIN_S, Instance, wait_answer

Object = dict[str, Any]
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
PROGRAM = ["python3", "-m", "services"]
DATA, BACKUPS = "/var/lib/odoo", "/mnt/backups"
SMALL = {"requests": {"cpu": "10m", "memory": "48Mi"}, "limits": {"cpu": "1", "memory": "256Mi"}}
# Asked often until it has started.
STARTING = {"periodSeconds": 1, "failureThreshold": 120}
APPS = "/apis/apps/v1"
INGRESSES = "/apis/networking.k8s.io/v1"
JOBS = "/apis/batch/v1"
MERGE = {"Content-Type": "application/merge-patch+json"}


class Kubernetes:
    """Each instance is a Deployment with a claim, a Service and an Ingress."""

    def __init__(self) -> None:
        self._trusted = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
        self._trusted.verify_flags &= ~ssl.VERIFY_X509_STRICT
        host = os.environ["KUBERNETES_SERVICE_HOST"]
        named = f"[{host}]" if ":" in host else host
        self._api = f"https://{named}:{os.environ['KUBERNETES_SERVICE_PORT']}"

    def create(self, it: Instance) -> None:
        self._apply("/api/v1", "persistentvolumeclaims", _claim(it))
        self._apply(APPS, "deployments", _deployment(it))
        self._apply("/api/v1", "services", _service(f"{it.name}-service", it.name, 8069))
        self._apply(INGRESSES, "ingresses", _ingress(it))

    def scale(self, it: Instance, replicas: int) -> None:
        body = {"spec": {"replicas": replicas}}
        self._ask("PATCH", self._at(APPS, "deployments", f"{it.name}/scale"), body, MERGE)
        if not replicas:
            self._wait(lambda: not self._pods(it.name), f"{it.name} still runs")

    def point(self, it: Instance) -> None:
        self._apply(APPS, "deployments", _deployment(it))

    def resize(self, it: Instance) -> None:
        body = {"spec": {"resources": {"requests": {"storage": _quantity(it.storage)}}}}
        self._ask("PATCH", self._at("/api/v1", "persistentvolumeclaims", it.claim), body, MERGE)

    def archive(self, it: Instance, what: str, backup: str) -> None:
        """A Job, for this part does not see the claim."""
        name = f"{what}-{it.name}"
        self._remove(JOBS, "jobs", name)
        self._wait(lambda: not self._found(JOBS, "jobs", name), f"the old {name} is still there")
        self._apply(JOBS, "jobs", _job(it, name, what, backup))

        def ended() -> bool:
            status = self._ask("GET", self._at(JOBS, "jobs", name)).get("status", {})
            if status.get("failed"):
                raise RuntimeError(f"the job {name} failed")
            return bool(status.get("succeeded"))

        self._wait(ended, f"the job {name} still runs")
        self._remove(JOBS, "jobs", name)

    def remove(self, it: Instance) -> None:
        self._remove(INGRESSES, "ingresses", it.name)
        if not defects.on("leave-object"):
            self._remove("/api/v1", "services", f"{it.name}-service")
        self._remove(APPS, "deployments", it.name)
        if not defects.on("leave-claim"):
            self._remove("/api/v1", "persistentvolumeclaims", it.claim)
        self._wait(lambda: not self._pods(it.name), f"{it.name} still runs")

    def internal_url(self, it: Instance) -> str:
        return f"http://{it.name}-service:8069"

    def external_url(self, it: Instance) -> str:
        return f"http://{it.domain}"

    def wait_ready(self, it: Instance) -> None:
        wait_answer(f"{self.internal_url(it)}/")

    def postgres_server(self, name: str) -> None:
        """A StatefulSet with a claim of its own, and its Service."""
        self._apply("/api/v1", "services", _service(name, name, 5432))
        self._apply(APPS, "statefulsets", _postgres(name))

    def remove_server(self, name: str) -> None:
        """Such a StatefulSet, whose claim goes with it, and its Service."""
        self._remove("/api/v1", "services", name)
        self._remove(APPS, "statefulsets", name)
        claim = ("/api/v1", "persistentvolumeclaims", f"data-{name}-0")
        self._wait(lambda: not (self._pods(name) or self._found(*claim)), f"{name} is still there")

    def _at(self, group: str, kind: str, name: str = "") -> str:
        return f"{group}/namespaces/{settings.NAMESPACE}/{kind}{'/' if name else ''}{name}"

    def _ask(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> Object:
        # Kubernetes renews the token: it is read each time.
        token = (ACCOUNT / "token").read_text(encoding="utf-8").strip()
        own = {"Authorization": f"Bearer {token}"} | (headers or {})
        return calls.call(method, f"{self._api}{path}", body, own, self._trusted)

    def _apply(self, group: str, kind: str, body: Object) -> None:
        """Create an object, or change the one that is there."""
        try:
            self._ask("POST", self._at(group, kind), body)
        except calls.CallFailed as error:
            if error.status != 409:
                raise
            self._ask("PATCH", self._at(group, kind, body["metadata"]["name"]), body, MERGE)

    def _found(self, group: str, kind: str, name: str) -> bool:
        try:
            self._ask("GET", self._at(group, kind, name))
        except calls.CallFailed as error:
            if error.status != 404:
                raise
            return False
        return True

    def _remove(self, group: str, kind: str, name: str) -> None:
        try:
            body = {"propagationPolicy": "Background"}
            self._ask("DELETE", self._at(group, kind, name), body)
        except calls.CallFailed as error:
            if error.status != 404:
                raise

    def _pods(self, name: str) -> list[Object]:
        path = f"{self._at('/api/v1', 'pods')}?labelSelector=instance%3D{name}"
        found: list[Object] = self._ask("GET", path)["items"]
        return found

    def _wait(self, done: Any, late: str) -> None:
        until, pause = time.monotonic() + READY_WITHIN_S, threading.Event()
        while not done():
            if time.monotonic() > until:
                raise TimeoutError(late)
            pause.wait(0.5)


def _quantity(size: str) -> str:
    """10G as Kubernetes writes it: 10Gi."""
    return f"{size.removesuffix('i')}i"


def _meta(name: str, of: str) -> Object:
    return {"name": name, "labels": {"app": "odoo", "instance": of}}


def _claim(it: Instance) -> Object:
    size = "1Ti" if defects.on("no-quota") else _quantity(it.storage)
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": _meta(it.claim, it.name),
        "spec": {
            "storageClassName": settings.STORAGE_CLASS,
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": size}},
        },
    }


def _environment(values: dict[str, str]) -> list[Object]:
    return [{"name": key, "value": value} for key, value in values.items()]


def _pod(environment: dict[str, str], volumes: dict[str, tuple[str, str]], **more: Any) -> Object:
    """A pod of one container; `volumes` are claims by their name, with their path."""
    container = {
        "name": "main",
        "image": settings.IMAGE,
        "command": PROGRAM,
        "workingDir": "/opt/platform",
        "env": _environment(environment),
        "resources": SMALL,
        "volumeMounts": [{"name": key, "mountPath": path} for key, (_, path) in volumes.items()],
        **more,
    }
    claims = [
        {"name": key, "persistentVolumeClaim": {"claimName": claim}}
        for key, (claim, _) in volumes.items()
    ]
    without = {"automountServiceAccountToken": False, "enableServiceLinks": False}
    return {"containers": [container], "volumes": claims, **without}


def _deployment(it: Instance) -> Object:
    volumes = {"data": (it.claim, DATA)}
    ready = {"httpGet": {"path": "/", "port": 8069}, "periodSeconds": 5, "timeoutSeconds": 5}
    alive = {"httpGet": {"path": "/web/health", "port": 8069}, "periodSeconds": 20}
    probes = {"readinessProbe": ready, "livenessProbe": alive, "startupProbe": ready | STARTING}
    pod = _pod({**it.environment(), "DATA_FOLDER": DATA}, volumes, **probes)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _meta(it.name, it.name),
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate", "rollingUpdate": None},
            "selector": {"matchLabels": {"instance": it.name}},
            "template": {"metadata": _meta(it.name, it.name), "spec": pod},
        },
    }


def _service(name: str, of: str, port: int) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _meta(name, of),
        "spec": {"selector": {"instance": of}, "ports": [{"port": port}]},
    }


def _ingress(it: Instance) -> Object:
    backend = {"service": {"name": f"{it.name}-service", "port": {"number": 8069}}}
    path = {"path": "/", "pathType": "Prefix", "backend": backend}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": _meta(it.name, it.name),
        "spec": {
            "ingressClassName": settings.INGRESS_CLASS,
            "rules": [{"host": it.domain, "http": {"paths": [path]}}],
        },
    }


def _job(it: Instance, name: str, what: str, backup: str) -> Object:
    told = {
        "PART": "archive",
        "WHAT": what,
        "BACKUP": backup,
        "INSTANCE": json.dumps(dataclasses.asdict(it)),
        "DATA_FOLDER": DATA,
        "BACKUPS_FOLDER": BACKUPS,
        "DEFECTS": os.environ.get("DEFECTS", ""),
        "POSTGRES_HOST": it.host,
        "POSTGRES_ADMIN_PASSWORD": settings.superuser().password,
    }
    pod = _pod(told, {"data": (it.claim, DATA), "backups": (settings.BACKUPS_CLAIM, BACKUPS)})
    labels = {"app": "archive", "archive": it.name}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": 600,
            "template": {"metadata": {"labels": labels}, "spec": {**pod, "restartPolicy": "Never"}},
        },
    }


def _postgres(name: str) -> Object:
    told = {"PART": "postgres", "POSTGRES_ADMIN_PASSWORD": settings.superuser().password}
    ready = {"exec": {"command": ["pg_isready", "--host=/tmp"]}, "periodSeconds": 5}
    pod = _pod(told, {}, readinessProbe=ready, startupProbe=ready | STARTING)
    mount = {"name": "data", "mountPath": "/var/lib/postgresql/data"}
    pod["containers"][0]["volumeMounts"] = [mount]
    claim = {
        "metadata": {"name": "data"},
        "spec": {
            "storageClassName": settings.STORAGE_CLASS,
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    labels = {"app": "postgres", "database": name, "instance": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": 1,
            "serviceName": name,
            "selector": {"matchLabels": {"instance": name}},
            "template": {"metadata": {"labels": labels}, "spec": pod},
            "volumeClaimTemplates": [claim],
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete"},
        },
    }
