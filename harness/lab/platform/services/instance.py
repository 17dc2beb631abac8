"""instance-service: customers' instances of Odoo, from the first request until they are deleted."""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from fastapi import FastAPI, HTTPException

from . import archives, calls, customer_database, health, settings
from .kubernetes import Kubernetes
from .orchestrator import Instance, Orchestrator
from .postgres import Postgres, Row, database_health
from .processes import Processes
from .swarm import Swarm

ORCHESTRATORS: dict[str, Callable[[], Orchestrator]] = {
    "swarm": Swarm,
    "kubernetes": Kubernetes,
    "process": Processes,
}

NAME = re.compile(r"[a-z][a-z0-9]{0,30}")
SIZE = re.compile(r"[1-9][0-9]*[MG]i?")
# Which actions each status allows: only a stopped instance is restored, and the restore starts it.
ALLOWED = {
    "running": ("stop", "restart", "backup"),
    "stopped": ("start", "backup", "restore"),
    "error": ("start", "stop", "restart", "restore"),
}


@dataclass
class New:
    customer_id: uuid.UUID
    name: str
    database_name: str
    admin_email: str
    admin_password: str
    subscription_id: uuid.UUID | None = None
    billing_status: str = "pending_payment"
    plan_name: str = ""
    storage_limit: str = "10G"
    memory_limit: str = "1G"
    cpu_limit: float = 1.0


@dataclass
class Update:
    storage_limit: str | None = None
    db_type: str | None = None


@dataclass
class Provision:
    subscription_id: str = ""
    billing_status: str = "paid"


@dataclass
class Action:
    action: str
    parameters: dict[str, str] = field(default_factory=dict)


def add(app: FastAPI) -> None:
    """The routes of instance-service."""
    orchestrator = ORCHESTRATORS[settings.ORCHESTRATOR]()
    service = Instances(Postgres(settings.database()), orchestrator)
    health.static(app)
    database_health(app, service.postgres)
    at = "/api/v1/instances"
    app.add_api_route(f"{at}/", service.create, methods=["POST"], status_code=201)
    app.add_api_route(f"{at}/", service.listed)
    app.add_api_route(f"{at}/by-subscription/{{subscription_id}}", service.by_subscription)
    app.add_api_route(f"{at}/check-subdomain/{{subdomain}}", service.is_free)
    one = f"{at}/{{instance_id}}"
    app.add_api_route(one, service.get)
    app.add_api_route(one, service.update, methods=["PUT"])
    app.add_api_route(one, service.delete, methods=["DELETE"])
    app.add_api_route(f"{one}/provision", service.provision, methods=["POST"])
    app.add_api_route(f"{one}/actions", service.act, methods=["POST"])
    app.add_api_route(f"{one}/apply-resources", service.apply_resources, methods=["POST"])
    app.add_api_route(f"{one}/status", service.status)
    app.add_api_route(f"{one}/backups", service.backups)


class Instances:
    """The requests of instance-service; what takes long runs in a thread, as the worker's jobs."""

    def __init__(self, postgres: Postgres, orchestrator: Orchestrator) -> None:
        self.postgres = postgres
        self._orchestrator = orchestrator

    def create(self, new: New) -> Row:
        """Write the instance down; it is made when it is provisioned."""
        if new.subscription_id is None:
            raise HTTPException(400, "Instance creation must include a valid subscription_id")
        if not NAME.fullmatch(new.database_name) or not SIZE.fullmatch(new.storage_limit):
            raise HTTPException(400, {"errors": ["invalid database_name or storage_limit"]})
        if not self.is_free(new.database_name)["available"]:
            raise HTTPException(400, f"Database name {new.database_name} is already taken")
        key = uuid.uuid4()
        self.postgres.rows(
            "insert into instances (id, customer_id, subscription_id, name, database_name,"
            " subdomain, db_server_id, cpu_limit, memory_limit, storage_limit,"
            " provisioning_status, created_at)"
            " select %s, %s, %s, %s, %s, %s, id, %s, %s, %s, 'pending', now() at time zone 'utc'"
            " from db_servers where kind = 'pool' order by name limit 1",
            *(key, new.customer_id, new.subscription_id, new.name),
            *(f"odoo_{new.database_name}_{key.hex[:8]}", new.database_name),
            *(new.cpu_limit, new.memory_limit, new.storage_limit),
        )
        return self.get(key)

    def get(self, instance_id: uuid.UUID) -> Row:
        return _shown(self._row(instance_id))

    def listed(self, customer_id: uuid.UUID, page: int = 1, page_size: int = 10) -> Row:
        statement = "select * from instances where customer_id = %s order by created_at, id"
        found = self.postgres.rows(statement, customer_id)
        some = found[(page - 1) * page_size : page * page_size]
        pages = {"total": len(found), "page": page, "page_size": page_size}
        return {"instances": [_shown(row) for row in some], **pages}

    def by_subscription(self, subscription_id: uuid.UUID) -> Row:
        statement = "select * from instances where subscription_id = %s"
        found = self.postgres.row(statement, subscription_id)
        if found is None:
            raise HTTPException(404, "Instance not found for subscription")
        return _shown(found)

    def is_free(self, subdomain: str) -> Row:
        taken = self.postgres.row(
            "select 1 as taken from instances where subdomain = %s", subdomain
        )
        words = "Already taken" if taken else "Available"
        return {"subdomain": subdomain, "available": not taken, "message": words}

    def update(self, instance_id: uuid.UUID, update: Update) -> Row:
        row = self._row(instance_id)
        size = update.storage_limit or row["storage_limit"]
        if not SIZE.fullmatch(size) or update.db_type not in (None, "shared", "dedicated"):
            raise HTTPException(400, {"errors": ["invalid storage_limit or db_type"]})
        self.postgres.rows(
            "update instances set storage_limit = %s, db_type = %s where id = %s",
            *(size, update.db_type or row["db_type"], instance_id),
        )
        return self.get(instance_id)

    def delete(self, instance_id: uuid.UUID) -> Row:
        """Remove an instance with all that is its own; its backups stay."""
        it = _instance(self._row(instance_id))
        self._orchestrator.remove(it)
        customer_database.drop(it)
        self.postgres.rows("delete from instances where id = %s", instance_id)
        return {"message": "Instance and all resources deleted successfully"}

    def provision(self, instance_id: uuid.UUID, wish: Provision) -> Row:
        row = self._row(instance_id)
        if row["provisioning_status"] != "pending":
            words = f"Instance not in pending state (current: {row['provisioning_status']})"
            return {"status": "skipped", "message": words, "timestamp": _now()}
        self.postgres.rows(
            "update instances set provisioning_status = 'provisioning' where id = %s", instance_id
        )
        job = self._later(_instance(row), "running", self._make, "completed")
        said = {"status": "success", "message": "Instance provisioning started", "job_id": job}
        return {**said, "billing_status": wish.billing_status, "timestamp": _now()}

    def act(self, instance_id: uuid.UUID, wish: Action) -> Row:
        row = self._row(instance_id)
        if wish.action not in ALLOWED.get(row["status"], ()):
            words = f"Action '{wish.action}' not allowed for instance with status '{row['status']}'"
            raise HTTPException(400, words)
        it, orchestrator = _instance(row), self._orchestrator
        backup = wish.parameters.get("backup_id") or wish.parameters.get("name") or ""
        if wish.action == "restore" and not backup:
            raise HTTPException(400, "Backup ID required for restore action")
        backup = backup or f"{it.subdomain}_{datetime.now(UTC):%Y%m%d_%H%M%S}"
        doing, done, work = {
            "start": ("starting", "running", lambda it: orchestrator.scale(it, 1)),
            "stop": ("stopping", "stopped", lambda it: orchestrator.scale(it, 0)),
            "restart": ("restarting", "running", self._restart),
            "backup": (
                "maintenance",
                row["status"],
                lambda it: self._paused(it, row, "backup", backup),
            ),
            "restore": (
                "maintenance",
                "running",
                lambda it: self._paused(it, row, "restore", backup),
            ),
        }[wish.action]
        self._set(instance_id, doing)
        said = {"instance_id": str(instance_id), "action": wish.action, "status": "queued"}
        words = f"Instance {wish.action} queued for processing"
        job = self._later(it, done, work)
        more = {"backup_id": backup} if wish.action in ("backup", "restore") else {}
        return {**said, "message": words, "timestamp": _now(), "job_id": job, **more}

    def apply_resources(self, instance_id: uuid.UUID) -> Row:
        """Give an instance the storage it has booked, and the server of its own."""
        row = self._row(instance_id)
        it = _instance(row)
        said = {"instance_id": str(instance_id), "timestamp": _now()}
        if row["db_type"] == "dedicated" and row["kind"] == "pool":
            self._set(instance_id, "maintenance")
            job = self._later(it, row["status"], self._move)
            words = "Database migration from shared to dedicated queued"
            return {"status": "migrating", "message": words, "job_id": job, **said}
        self._orchestrator.resize(it)
        words = "Live resource upgrade applied successfully"
        return {
            "status": "success",
            "message": words,
            "storage_limit": row["storage_limit"],
            **said,
        }

    def status(self, instance_id: uuid.UUID) -> Row:
        row = self._row(instance_id)
        return {
            "instance_id": str(instance_id),
            "status": row["status"],
            "provisioning_status": row["provisioning_status"],
            "error_message": row["error_message"],
            "external_url": self._orchestrator.external_url(_instance(row)),
            "internal_url": self._orchestrator.internal_url(_instance(row)),
        }

    def backups(self, instance_id: uuid.UUID) -> Row:
        row = self._row(instance_id)
        found = archives.listed(str(instance_id))
        named = {"instance_id": str(instance_id), "instance_name": row["name"]}
        return {**named, "backups": found, "total_backups": len(found)}

    def _make(self, it: Instance) -> None:
        customer_database.create(it)
        self._orchestrator.create(it)

    def _restart(self, it: Instance) -> None:
        self._orchestrator.scale(it, 0)
        self._orchestrator.scale(it, 1)

    def _paused(self, it: Instance, row: Row, what: str, backup: str) -> None:
        """Stop the instance for the time of a backup or a restore."""
        self._orchestrator.scale(it, 0)
        self._orchestrator.archive(it, what, backup)
        if row["status"] == "running" or what == "restore":
            self._orchestrator.scale(it, 1)

    def _move(self, it: Instance) -> None:
        """Move the database of an instance to a server of its own."""
        wish = {"instance_id": it.id, "customer_id": it.customer, "plan_tier": "premium"}
        server = calls.call(
            "POST", f"{settings.DATABASE_URL}/api/database/provision-dedicated", wish, within_s=180
        )
        self._orchestrator.scale(it, 0)
        moved = customer_database.move(it, server["db_host"])
        self.postgres.rows(
            "update instances set db_server_id = %s where id = %s", server["db_server_id"], it.id
        )
        self._orchestrator.point(moved)
        self._orchestrator.scale(moved, 1)

    def _later(
        self, it: Instance, done: str, work: Callable[[Instance], None], provisioned: str = ""
    ) -> str:
        """Do something beside the request; the instance's status tells how it ended."""

        def run() -> None:
            try:
                work(it)
                if done == "running":
                    self._orchestrator.wait_ready(it)
            except Exception as error:
                self._set(it.id, "error", str(error)[:500], "failed" if provisioned else "")
            else:
                self._set(it.id, done, None, provisioned)

        threading.Thread(target=run, daemon=True).start()
        return str(uuid.uuid4())

    def _set(
        self, key: uuid.UUID | str, status: str, error: str | None = None, provisioned: str = ""
    ) -> None:
        self.postgres.rows(
            "update instances set status = %s, error_message = %s, provisioning_status ="
            " coalesce(nullif(%s, ''), provisioning_status) where id = %s",
            *(status, error, provisioned, key),
        )

    def _row(self, instance_id: uuid.UUID) -> Row:
        statement = (
            "select i.*, s.host, s.port, s.kind from instances i"
            " join db_servers s on s.id = i.db_server_id where i.id = %s"
        )
        found = self.postgres.row(statement, instance_id)
        if found is None:
            raise HTTPException(404, "Instance not found")
        return found


def _instance(row: Row) -> Instance:
    dedicated = row["kind"] == "dedicated"
    return Instance(
        id=str(row["id"]),
        customer=str(row["customer_id"]),
        subdomain=row["subdomain"] or row["database_name"].split("_")[1],
        database=row["database_name"],
        storage=row["storage_limit"],
        memory=row["memory_limit"],
        # The pools of the lab are one server, which every part knows by its own name.
        host=row["host"] if dedicated else settings.POSTGRES_HOST,
        port=row["port"] if dedicated else settings.POSTGRES_PORT,
    )


def _shown(row: Row) -> Row:
    plain = ("name", "status", "provisioning_status", "storage_limit", "memory_limit", "db_type")
    return {
        "id": str(row["id"]),
        "customer_id": str(row["customer_id"]),
        "subscription_id": row["subscription_id"] and str(row["subscription_id"]),
        "database_name": row["subdomain"],
        "db_name": row["database_name"],
        "cpu_limit": float(row["cpu_limit"]),
        **{key: row[key] for key in plain},
        "error_message": row["error_message"],
        "custom_addons": list(row["addons"]),
        "created_at": row["created_at"].isoformat(),
    }


def _now() -> str:
    return datetime.now(UTC).isoformat()
