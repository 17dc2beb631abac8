"""Seeded defects of W1-API: services, certificates, and anonymous access.

A stopped server is in ``test_week01_etcd_defects``: it stops with its member of etcd.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from harness.core.waiting import until
from harness.lab.shape import Node
from harness.tests.lab import certificates
from harness.tests.lab.objects import gone
from harness.tests.lab.red import changed, says
from harness.tests.lab.world import World

KUBECONFIG = "etc/rancher/rke2/rke2.yaml"
TLS = "rancher/rke2/server/tls"


@pytest.mark.defect(
    "every API service is available",
    "no namespace is stuck in its deletion",
    "every certificate lasts long enough",
    "every kubeconfig is private",
    "strangers are refused",
)
def test_objects_certificates_files_and_a_server_that_are_wrong_are_found(world: World) -> None:
    one, two, three = world.lab.nodes
    client, server = (
        two.system / TLS / "front-proxy-client.crt",
        three.system / TLS / "apiserver.crt",
    )
    soon = certificates.ending_in(
        client, client.with_name("front-proxy-ca.crt"), timedelta(days=20)
    )
    ended = certificates.ending_in(server, server.with_name("ca.crt"), timedelta(days=-1))
    at_once = "targets:\n  W1-API: {terminating_minutes: {number: 0, because: seen at once}}\n"
    profile = world.profile_with([("targets:\n", at_once)])
    with (
        open_to_strangers(world, two),
        odd_objects(world),
        changed(client, soon),
        changed(server, ended),
        readable(one.root / KUBECONFIG),
    ):
        ruling = world.gate("W1-API", cluster=profile)
    folder = "/var/lib/rancher/rke2/server/tls"
    says(
        ruling,
        "W1-API",
        "v1.seeded.example: expected Available, seen Available=False",
        "stuck: expected the namespace gone within 0 min of its deletion",
        f"{two.name}: expected 30 more days of {folder}/front-proxy-client.crt, seen",
        f"{three.name}: expected 30 more days of {folder}/apiserver.crt, seen -1",
        "expired",
        f"{one.name}: expected kubeconfig /{KUBECONFIG} closed to others and root's, seen 0644",
        f"{two.name}: expected the API server to answer 401 to a stranger, seen 403",
    )


@contextmanager
def odd_objects(world: World) -> Iterator[None]:
    """An API service that no server answers, and a namespace that a finalizer keeps."""
    service = {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": "v1.seeded.example"},
        "spec": {
            "group": "seeded.example",
            "version": "v1",
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "insecureSkipTLSVerify": True,
            "service": {"name": "absent", "namespace": "default"},
        },
    }
    kept = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "kept", "namespace": "stuck", "finalizers": ["seeded.example/never"]},
    }
    world.kubectl("create", "namespace", "stuck")
    try:
        manifests = world.scratch / "manifests.json"
        listed = {"apiVersion": "v1", "kind": "List", "items": [kept, service]}
        manifests.write_text(json.dumps(listed))
        world.kubectl("apply", f"--filename={manifests}")
        world.kubectl("delete", "namespace", "stuck", "--wait=false")
        refused = ("wait", "apiservice/v1.seeded.example", "--for=condition=Available=False")
        world.kubectl(*refused, "--timeout=50s")
        yield
    finally:
        world.kubectl("delete", "apiservice", "v1.seeded.example", "--ignore-not-found")
        free = json.dumps({"metadata": {"finalizers": None}})
        world.kubectl("patch", "configmap/kept", "-n=stuck", "--type=merge", f"--patch={free}")
        gone(world, "stuck")


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """The file is readable by every user."""
    path.chmod(0o644)
    try:
        yield
    finally:
        path.chmod(0o600)


@contextmanager
def open_to_strangers(world: World, node: Node) -> Iterator[None]:
    """The API server of the machine accepts requests without credentials."""
    path = node.system / "rancher/rke2/server/authentication.yaml"
    opened = re.sub(r"  conditions:\n(    .*\n)+", "", path.read_text())
    assert "conditions" not in opened
    ask = ["curl", "-sk", "--max-time", "3", "-o", "/dev/null", "-w", "%{http_code}"]
    url = "https://127.0.0.1:6443/api/v1/namespaces"

    def answers(status: str) -> None:
        # Who may come in without a name is read when the API server starts, and only then.
        # Killed: one that is asked to stop lets its watchers go first, for a minute.
        world.do(node, "pkill", "-KILL", "-x", "kube-apiserver")
        until(
            lambda: world.do(node, *ask, url, check=False).strip() == status,
            within_s=120,
            what=f"the API server answers {status} to strangers",
        )

    with changed(path, opened.encode()):
        answers("403")
        yield
    answers("401")
