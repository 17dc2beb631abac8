"""Services, webhooks and databases of the test cluster, as they should be."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from harness.tests.clean_cluster import CLUSTER


def seen() -> dict[str, dict[str, Any]]:
    """What their probes saw."""
    return {
        "services": {CLUSTER.name: _services()},
        "registrations": {CLUSTER.name: {"the webhook": {"value": ["http://billing-service"]}}},
        "postgres": {CLUSTER.name: _postgres()},
        "databases": {CLUSTER.name: _databases()},
    }


def _services() -> Any:
    return {
        name: {"value": {"type": "ClusterIP", "ready": {port: 2}}}
        for name, port in (("user-service", "8001"), ("pooler", "6432"))
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
