"""Services, webhooks and databases of the test cluster, as they should be."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from harness.tests.clean_cluster import CLUSTER, GIB, JOURNEY_ACTS, MACHINES, NAMES


def seen() -> dict[str, dict[str, Any]]:
    """What their probes saw."""
    return {
        "services": {CLUSTER.name: _services()},
        "service-calls": {CLUSTER.name: _calls()},
        "registrations": {CLUSTER.name: {"the webhook": {"value": ["http://billing-service"]}}},
        "workloads": {CLUSTER.name: _workloads()},
        "old-platform": {name: _remains() for name in NAMES},
        "old-names": {name: _old_names() for name in NAMES},
        "old-routes": {CLUSTER.name: _old_routes()},
        "loads": {CLUSTER.name: {"busy-hour": {"value": _offered()}}},
        "load-comparison": {CLUSTER.name: {"busy-hour": {"value": _compared()}}},
        "parity": {CLUSTER.name: _parity()},
        "journey-instance": {CLUSTER.name: _walk("instance")},
        "parity-writes": {CLUSTER.name: _writes()},
        "access-reviews": {CLUSTER.name: _accounts()},
        "postgres": {CLUSTER.name: _postgres()},
        "databases": {CLUSTER.name: _databases()},
        "queues-and-sessions": {CLUSTER.name: _queues_and_sessions()},
        "database-roles": {CLUSTER.name: {"": _roles()}},
        "restore": {CLUSTER.name: _restore()},
        "switch": {CLUSTER.name: _switched()},
        "dump": {CLUSTER.name: _dumped()},
    }


def _old_names() -> Any:
    """One name leads to the new ingress, and one nowhere."""
    there = {"value": [MACHINES[0].address]}
    moved = {"machine": there, "hosts": [], "cluster": there, "answers": []}
    none = {"machine": {"value": []}, "hosts": [], "cluster": {"value": []}, "answers": []}
    names = {"app.saasodoo.example": moved, "registry.saasodoo.example": none}
    return {"old": [it.address for it in MACHINES], "names": names}


def _old_routes() -> Any:
    """A mail provider, and the exporter of a Ceph outside the cluster."""
    provider = {"value": ["198.51.100.25"]}
    seen = {"machine": provider, "hosts": [], "cluster": provider, "answers": []}
    return {
        "old": [it.address for it in MACHINES],
        "ports": [8080],
        "aliases": {"saasodoo/smtp": {"name": "smtp.provider.example", "seen": seen}},
        "endpoints": {"rook-ceph/rook-ceph-mgr-external": [f"{MACHINES[0].address}:9283"]},
    }


def _services() -> Any:
    return {
        name: {"value": {"type": "ClusterIP", "ready": {port: 2}}}
        for name, port in (("user-service", "8001"), ("pooler", "6432"))
    }


def _calls() -> Any:
    """Both callers get through, and the one that reads its database is answered."""
    through = {"value": {"error": None, "took_ms": 1.5}}
    read = {
        "error": None,
        "status": 200,
        "says": True,
        "fields": {"/id": "1"},
        "excerpt": '{"id": 1, "mail": "a@example.com"}',
        "took_ms": 4.0,
    }
    return {
        "user-service": {
            "value": {
                "pod": "user-service-1",
                "calls": {"postgres:5432": deepcopy(through)},
                "read": {"value": read},
            }
        },
        "traefik": {
            "value": {"pod": "traefik-1", "calls": {"user-service:8001": through}, "read": None}
        },
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


def _remains() -> Any:
    """A machine that has left its Swarm: its Docker listens nowhere."""
    ssh = {"protocol": "tcp", "address": "::", "port": 22, "program": "sshd", "both": True}
    return {
        "state": "inactive",
        "why": "",
        "comes_back": False,
        "installed": True,
        "services": [],
        "sockets": [ssh],
        "vxlan": [8472],
    }


def _offered() -> Any:
    """A load of two stages, answered within 80 ms."""
    stage = {
        "planned": 1000,
        "on_time": 1000,
        "answered": 1000,
        "errors": {},
        "limited": {},
        "p50_ms": 12.0,
        "p95_ms": 40.0,
        "p99_ms": 80.0,
    }
    return {
        "stages": {"stage 1, 20/s": stage, "stage 2, 60/s": deepcopy(stage)},
        "whole": {**stage, "planned": 2000, "on_time": 2000, "answered": 2000},
        "troubles": [],
        "busy_percent": 12.0,
        "course": {
            "began": 1.7e9,
            "every_s": 1,
            "marks": {"stage 1, 20/s": 0.0, "stage 2, 60/s": 50.0},
            "moments": [],
        },
    }


def _compared() -> Any:
    """Five runs on each platform, of the same times but for some noise."""
    runs = [_offered() for _ in range(5)]
    for number, run in enumerate(runs):
        run["whole"] |= {"p95_ms": 40.0 + number, "p99_ms": 80.0 + number}
    return {"old": runs, "new": deepcopy(runs)}


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


def _writes() -> Any:
    """One request, sent once to each side."""
    written = _parity()["a user"]
    written["value"]["statuses"] = [201, 201]
    return {"requests": {"a new user": written}, "left": [], "by_hand": False}


def _walk(name: str) -> Any:
    """A journey that came to its end, and left nothing behind."""
    claim = {
        "requested_bytes": 10 * GIB,
        "access_modes": ["ReadWriteOnce"],
        "storage_class": "rook-cephfs",
        "phase": "Bound",
        "volume": "pvc-1",
        "volume_phase": "Bound",
        "room_bytes": {"value": 10 * GIB},
    }
    made = {
        "workloads": ["odoo-acme-1f2e3d4c"],
        "host": "acme.example",
        "wanted": 1,
        "ready": 1,
        "services": ["odoo-acme-1f2e3d4c-service"],
        "hosts": ["acme.example"],
        "claims": {"odoo-instance-1f2e3d4c": {"value": claim}},
    }
    steps = [{"does": act, "took_s": 30.0, "requests": []} for act in JOURNEY_ACTS[name]]
    steps[JOURNEY_ACTS[name].index("create")]["made"] = made
    return {
        "customer": "cutover-1f2e3d4c",
        "steps": steps,
        "stopped": None,
        "leftovers": {"value": []},
        "left": {"value": []},
        "shown": {"browser": "Chrome/156", "visits": 3, "troubles": []},
    }


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
            f"db-{number}": {
                "in_recovery": number > 1,
                "settings": told,
                "overrides": [],
                "declared": {"max_connections": {"setting": "200", "source": "command line"}},
                "system": "7301",
                "folders": ["/data"],
            }
            for number in (1, 2, 3)
        },
        "operator": {"value": {"method": "any", "number": "1", "dataDurability": "required"}},
        "running": {
            "value": {
                "pods": {f"db-{number}": _pod(f"db-{number}") for number in (1, 2, 3)},
                "workloads": {"Cluster/db": {"wanted": 3, "ready": 3}},
            }
        },
        "answers": {"value": {"billing": {"status": 0, "says": "", "system": "7301"}}},
    }


def _pod(name: str) -> Any:
    """A pod of CloudNativePG with its data on its own claim."""
    folder = {"volume": "persistentVolumeClaim", "claim": name, "others": []}
    return {
        "ready": True,
        "owner": "Cluster/db",
        "limits": {"memory": "2Gi"},
        "folders": {"value": {"/data": folder}},
    }


def _queues_and_sessions() -> Any:
    """An empty queue, one with two messages, and sessions, on both sides."""
    queues, keys = {"/operations": 0, "/monitoring": 2}, {"session:": 5, "other keys": 1}
    return {
        "queues": {"value": {"source": queues, "target": dict(queues)}},
        "sessions": {"value": {"source": keys, "target": dict(keys)}},
    }


def _roles() -> Any:
    """One service's role, on both sides, which can do what it must alone."""
    names = ["billing_service", "postgres"]
    acts = {"read invoices": True, "write invoices": True, "connect to auth": False}
    return {
        "source": {"value": names},
        "target": {"value": names},
        "allowed": {"billing_service": {act: {"value": it} for act, it in acts.items()}},
    }


def _databases() -> Any:
    """One database with one table, equal on both sides."""
    side = {"rows": 7, "sha256": "aa"}
    table = {"source": side, "target": deepcopy(side), "differing": 0, "first": [], "mutated": 0}
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


def _restore() -> Any:
    """A customer's backup that came back equal, in eight minutes."""
    backup = {
        "name": "odoo_demo_20261129",
        "faults": [],
        "bytes": 3_000_000,
        "created": 1.8e9,
        "tables": 1,
        "rows": 7,
        "attachments": 2,
        "entries": 4,
        "unpacked_bytes": 9_000_000,
        "files": 2,
    }
    files = {"files": 2, "bytes": 20, "counts": {}, "first": [], "passed": 0, "newer": 0}
    attachments = {
        "rows": 2,
        "without_file": 0,
        "first": [],
        "source_without_file": 0,
        "without_row": 1,
        "source_without_row": 1,
    }
    return {
        "customer": "demo",
        "database": "odoo_demo",
        "restored": "cutover_restored_demo",
        "asked": True,
        "took_s": {"making the backup": 60.0},
        "backup": backup,
        "noticed": {"empty dump": True, "archive bomb": True},
        "answer": "500",
        "rto_s": 480.0,
        "rpo_s": {"value": 60.0},
        "written": {},
        "compared": _databases()["billing"],
        "files": files,
        "attachments": attachments,
        "stopped": None,
        "left": [],
    }


def _switched() -> Any:
    """A database that moved there and back, each time with a second of freeze."""
    steps = [
        {"step": "freezing the databases", "took_s": 0.05, "says": "a write is refused: read-only"},
        {"step": "switching over", "took_s": 0.01, "says": "writers use target"},
    ]
    return {
        "databases": ["cutover_rehearsal"],
        "legs": {
            name: {"steps": deepcopy(steps), "frozen_s": 1.0, "stopped": None}
            for name in ("there", "back")
        },
        "left": [],
    }


def _dumped() -> Any:
    """A database whose dump was restored equal."""
    steps = ("dumping the database", "restoring the dump", "comparing both databases")
    return {
        "database": "billing",
        "took_s": dict.fromkeys(steps, 2.0),
        "bytes": 3_000_000,
        "compared": _databases()["billing"],
        "stopped": None,
        "left": [],
    }
