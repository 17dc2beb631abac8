"""database-service: PostgreSQL servers for customers, shared ones and ones of their own."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event

import psycopg
from fastapi import FastAPI, HTTPException

from . import health, settings, swarm
from .kubernetes import Kubernetes
from .postgres import CONNECTED, Postgres, Row, connect
from .processes import no_server

# What makes a server of this name, if it is not there, and what removes it.
MAKERS: dict[str, Callable[[str], None]] = {
    "swarm": swarm.postgres_server,
    "kubernetes": lambda name: Kubernetes().postgres_server(name),
    "process": no_server,
}
REMOVERS: dict[str, Callable[[str], None]] = {
    "swarm": swarm.remove_server,
    "kubernetes": lambda name: Kubernetes().remove_server(name),
    "process": no_server,
}
DEDICATED_PLANS = ("premium", "enterprise")
_READY_WITHIN_S = 150


@dataclass
class Wish:
    instance_id: uuid.UUID
    customer_id: uuid.UUID
    plan_tier: str


def add(app: FastAPI) -> None:
    """The routes of database-service; its /health/database is always well, as the platform's is."""
    service = Databases(Postgres(settings.database()))
    health.static(app)
    said = {**CONNECTED, "host": settings.POSTGRES_HOST, "port": settings.POSTGRES_PORT}
    app.add_api_route("/health/database", lambda: said)
    at = "/api/database"
    app.add_api_route(f"{at}/allocate", service.allocate, methods=["POST"])
    app.add_api_route(f"{at}/provision-dedicated", service.provision, methods=["POST"])
    app.add_api_route(f"{at}/admin/servers", service.listed)
    app.add_api_route(f"{at}/admin/servers/{{name}}", service.remove, methods=["DELETE"])


class Databases:
    """The requests of database-service."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    def listed(self) -> Row:
        statement = (
            "select s.name, s.host, s.port, s.kind, s.instances_max, count(i.id) as instances"
            " from db_servers s left join instances i on i.db_server_id = s.id"
            " group by s.id order by s.name"
        )
        found = self._postgres.rows(statement)
        return {"servers": found, "total": len(found)}

    def allocate(self, wish: Wish) -> Row:
        """A place on a shared server."""
        if wish.plan_tier in DEDICATED_PLANS:
            return {"status": "provisioning", "message": "A dedicated server is needed"}
        found = self._postgres.row("select * from db_servers where kind = 'pool' order by name")
        if found is None:
            return {"status": "provisioning", "message": "No database pool available"}
        at = {"db_host": settings.POSTGRES_HOST, "db_port": settings.POSTGRES_PORT}
        return {"status": "allocated", "db_server_id": str(found["id"]), **at}

    def provision(self, wish: Wish) -> Row:
        """A server for one customer; answers when it does."""
        if wish.plan_tier not in DEDICATED_PLANS:
            words = f"Plan '{wish.plan_tier}' does not support dedicated database"
            raise HTTPException(400, words)
        name = f"postgres-dedicated-{wish.customer_id.hex[:8]}"
        MAKERS[settings.ORCHESTRATOR](name)
        _wait(name)
        self._postgres.rows(
            "insert into db_servers (id, name, host, kind, instances_max)"
            " values (%s, %s, %s, 'dedicated', 1) on conflict (name) do nothing",
            *(uuid.uuid4(), name, name),
        )
        found = self._postgres.row("select id from db_servers where name = %s", name)
        assert found is not None
        said = {"status": "provisioned", "db_server_id": str(found["id"]), "db_host": name}
        return {**said, "message": "Dedicated database server provisioned successfully"}

    def remove(self, name: str) -> Row:
        """A server of one customer, with its data; one that instances use stays."""
        statement = "select kind from db_servers where name = %s"
        found = self._postgres.row(statement, name)
        if found is None or found["kind"] != "dedicated":
            raise HTTPException(404, "No such dedicated server")
        try:
            self._postgres.rows("delete from db_servers where name = %s", name)
        except psycopg.errors.ForeignKeyViolation as error:
            raise HTTPException(409, "Instances use this server") from error
        REMOVERS[settings.ORCHESTRATOR](name)
        return {"success": True, "message": f"{name} is removed"}


def _wait(name: str) -> None:
    """Return when a server answers; 504 when it does not."""
    until, pause = time.monotonic() + _READY_WITHIN_S, Event()
    while True:
        try:
            with connect(settings.superuser(host=name, port=5432)):
                return
        except psycopg.OperationalError as error:
            if time.monotonic() > until:
                raise HTTPException(504, f"{name} does not answer: {error}") from error
            pause.wait(1)
