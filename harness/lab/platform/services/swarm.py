"""Instances and servers as services of Docker Swarm, through Docker's own socket.

The part runs on a manager, and sees CephFS itself.
"""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from . import archives, calls, defects, settings
from .orchestrator import READY_WITHIN_S, Instance, size_bytes, wait_answer

Spec = dict[str, Any]
PROGRAM = ["python3", "-m", "services"]
_CEPHFS = {
    "Type": "bind",
    "Source": "/mnt",
    "Target": "/mnt",
    "BindOptions": {"Propagation": "rslave"},
}
# What a task is once its container has ended; a lost machine's tasks are orphaned.
_ENDED = ("complete", "shutdown", "failed", "rejected", "remove", "orphaned")


class Swarm:
    """Each instance is a service with one task; stopped, it has none."""

    def create(self, it: Instance) -> None:
        folder = settings.INSTANCES / it.folder
        folder.mkdir(parents=True, exist_ok=True)
        self.resize(it)
        rule = {f"traefik.http.routers.{it.name}.rule": f"Host(`{it.domain}`)"}
        port = {f"traefik.http.services.{it.name}.loadbalancer.server.port": "8069"}
        labels = {"traefik.enable": "true", **rule, **port}
        _create(it.name, {**it.environment(), "DATA_FOLDER": str(folder)}, labels, PROGRAM)

    def scale(self, it: Instance, replicas: int) -> None:
        _scale(it.name, replicas)

    def point(self, it: Instance) -> None:
        found = calls.call("GET", f"/services/{it.name}")
        spec = found["Spec"]
        folder = {"DATA_FOLDER": str(settings.INSTANCES / it.folder)}
        spec["TaskTemplate"]["ContainerSpec"]["Env"] = _words({**it.environment(), **folder})
        _update(it.name, found, spec)

    def resize(self, it: Instance) -> None:
        if not defects.on("no-quota"):
            size = str(size_bytes(it.storage)).encode()
            os.setxattr(settings.INSTANCES / it.folder, "ceph.quota.max_bytes", size)

    def archive(self, it: Instance, what: str, backup: str) -> None:
        work = {"backup": archives.make, "restore": archives.restore}[what]
        work(it, settings.INSTANCES / it.folder, backup)

    def remove(self, it: Instance) -> None:
        if not defects.on("leave-object"):
            _remove(it.name)
        if not defects.on("leave-claim"):
            archives.free(settings.INSTANCES / it.folder)

    def internal_url(self, it: Instance) -> str:
        return f"http://{it.name}:8069"

    def external_url(self, it: Instance) -> str:
        return f"http://{it.domain}"

    def wait_ready(self, it: Instance) -> None:
        wait_answer(f"{self.internal_url(it)}/")


def _dedicated(name: str) -> Path:
    return settings.INSTANCES.parent / "postgres_dedicated" / name


def postgres_server(name: str) -> None:
    """A service with a PostgreSQL of its own, whose data is in postgres_dedicated."""
    environment = {
        "PART": "postgres",
        "PGDATA": str(_dedicated(name) / "pgdata"),
        "POSTGRES_ADMIN_PASSWORD": settings.superuser().password,
    }
    try:
        calls.call("GET", f"/services/{name}")
    except calls.CallFailed:
        _dedicated(name).mkdir(parents=True, exist_ok=True)
        _create(name, environment, {}, PROGRAM)


def remove_server(name: str) -> None:
    """Such a service, and its data."""
    _remove(name)
    archives.free(_dedicated(name))


def _create(name: str, environment: dict[str, str], labels: Spec, command: list[str]) -> None:
    container = {
        "Image": settings.IMAGE,
        "Command": command,
        "Dir": "/opt/platform",
        "Env": _words(environment),
        "Init": True,
        "Mounts": [_CEPHFS],
    }
    networks = {"Networks": [{"Target": settings.NETWORK}]}
    restart = {"RestartPolicy": {"Condition": "any", "Delay": 2_000_000_000}}
    spec = {
        "Name": name,
        "Labels": labels,
        "TaskTemplate": {"ContainerSpec": container, **networks, **restart},
        "Mode": {"Replicated": {"Replicas": 1}},
        "EndpointSpec": {"Mode": "dnsrr"},
    }
    calls.call("POST", "/services/create", spec)


def _update(name: str, found: Spec, spec: Spec) -> None:
    version = found["Version"]["Index"]
    calls.call("POST", f"/services/{name}/update?version={version}", spec)


def _scale(name: str, replicas: int) -> None:
    found = calls.call("GET", f"/services/{name}")
    spec = found["Spec"]
    spec["Mode"]["Replicated"]["Replicas"] = replicas
    _update(name, found, spec)
    if not replicas:
        _wait_stopped(name)


def _remove(name: str) -> None:
    """A service, if it is there. It is stopped first: Docker lists no tasks of a removed one."""
    try:
        _scale(name, 0)
        calls.call("DELETE", f"/services/{name}")
    except calls.CallFailed as error:
        if error.status != 404:
            raise


def _wait_stopped(name: str) -> None:
    """Return when no task of a service runs; TimeoutError."""
    wanted = quote(json.dumps({"service": {name: True}}))
    until, pause = time.monotonic() + READY_WITHIN_S, threading.Event()
    while _running(calls.call("GET", f"/tasks?filters={wanted}")):
        if time.monotonic() > until:
            raise TimeoutError(f"{name} still runs")
        pause.wait(0.5)


def _running(tasks: calls.Json) -> bool:
    """True if one of these tasks runs, or may still begin to."""
    return any(task["Status"]["State"] not in _ENDED for task in tasks.get("items", ()))


def _words(environment: dict[str, str]) -> list[str]:
    return [f"{key}={value}" for key, value in environment.items()]
