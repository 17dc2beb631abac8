"""Services, webhooks and databases of the test cluster, as they should be."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from harness.tests.clean_cluster import CLUSTER, NAMES


def seen() -> dict[str, dict[str, Any]]:
    """What their probes saw."""
    return {
        "services": {CLUSTER.name: _services()},
        "registrations": {CLUSTER.name: {"the webhook": {"value": ["http://billing-service"]}}},
        "workloads": {CLUSTER.name: _workloads()},
        "parity": {CLUSTER.name: _parity()},
        "access-reviews": {CLUSTER.name: _accounts()},
        "postgres": {CLUSTER.name: _postgres()},
        "databases": {CLUSTER.name: _databases()},
    }


def _services() -> Any:
    return {
        name: {"value": {"type": "ClusterIP", "ready": {port: 2}}}
        for name, port in (("user-service", "8001"), ("pooler", "6432"))
    }


def workload(name: str, **known: Any) -> Any:
    """A service with two replicas on two machines, in order."""
    container = {
        "name": "main",
        "requests": ["cpu", "memory"],
        "limits": ["memory"],
        "has_ports": True,
        "has_readiness": True,
    }
    return {
        "kind": "Deployment",
        "namespace": "saasodoo",
        "name": name,
        "wanted": 2,
        "ready": 2,
        "is_settled": True,
        "machines": list(NAMES[:2]),
        "containers": [container],
        "images": [f"registry.example/{name}@sha256:{'0' * 64}"],
        "services": [f"saasodoo/{name}"],
        "budgets": [f"saasodoo/{name}"],
        "privileges": [],
        "accounts": ["default"],
        **known,
    }


def _workloads() -> Any:
    socket = {"kind": "hostPath", "value": "/var/lib/rancher/rke2/server", "container": ""}
    proxy = workload("kube-proxy", namespace="kube-system", kind="DaemonSet", privileges=[socket])
    return {
        "workloads": {
            "DaemonSet kube-system/kube-proxy": proxy,
            "Deployment saasodoo/user-service": workload("user-service"),
            "Deployment saasodoo/database-worker": workload(
                "database-worker", budgets=[], wanted=1
            ),
        },
        "allowed_evictions": {"saasodoo/user-service": 1},
        "odd": {},
    }


def _parity() -> Any:
    """One request, answered alike but for the header that the rule names."""
    other = {"at": "header server", "old": "nginx", "other": "uvicorn"}
    compared = {
        "statuses": [200, 200, 200],
        "noise": [],
        "differences": [other],
        "old_ms": 12.0,
        "new_ms": 9.0,
        "old_bytes": 100,
        "new_bytes": 100,
    }
    return {"a user": {"value": compared}}


def _accounts() -> Any:
    acts = {
        "create deployments.apps in saasodoo": True,
        "create secrets in saasodoo": False,
        "create pods/exec in saasodoo": False,
    }
    allowed = {act: {"value": it} for act, it in acts.items()}
    refused = {"create secrets in saasodoo": {"value": False}}
    own = {"exists": True, "pod": "instance-service-1", "allowed": allowed}
    other = {"exists": True, "pod": "user-service-1", "allowed": refused}
    return {
        "saasodoo/instance-service": {"value": own},
        "saasodoo/default": {"value": other},
    }


def _postgres() -> Any:
    """A primary that waits for one of its two standbys."""
    settings = {
        "synchronous_standby_names": 'ANY 1 ("db-2","db-3")',
        "synchronous_commit": "on",
        "fsync": "on",
        "full_page_writes": "on",
    }
    told = {key: {"setting": it, "source": "configuration file"} for key, it in settings.items()}
    return {
        "instances": {
            f"db-{number}": {"in_recovery": number > 1, "settings": told, "overrides": []}
            for number in (1, 2, 3)
        },
        "operator": {"value": {"method": "any", "number": "1", "dataDurability": "required"}},
    }


def _databases() -> Any:
    """One database with one table, equal on both sides."""
    side = {"rows": 7, "sha256": "aa"}
    table = {"source": side, "target": deepcopy(side), "differing": 0, "first": []}
    return {
        "billing": {
            "tables": {"public.invoices": table},
            "catalogue": {"value": []},
            "objects": 30,
            "sequences": {"value": {"public.id": {"source": 7, "target": 7, "column": 7}}},
            "unsound": {"value": {}},
            "source_wrote": False,
        }
    }
