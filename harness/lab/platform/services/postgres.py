"""PostgreSQL, as the parts use it."""

from __future__ import annotations

import threading
from typing import Any

import psycopg
from fastapi import FastAPI, HTTPException
from psycopg.rows import dict_row

from . import defects, settings

Row = dict[str, Any]
CONNECTED = {"status": "healthy", "database": "connected"}
WITHIN_S = 5


def connect(to: settings.Database) -> psycopg.Connection[Row]:
    """A connection in autocommit, for what no transaction can hold too; ``with`` closes it."""
    return psycopg.connect(
        host=to.host,
        port=to.port,
        dbname=to.name,
        user=to.user,
        password=to.password,
        connect_timeout=WITHIN_S,
        autocommit=True,
        row_factory=dict_row,
    )


class Postgres:
    """A part's database: a few connections, of which one stays open between requests."""

    def __init__(self, to: settings.Database) -> None:
        self._to = to
        self._free = threading.Semaphore(1 if defects.on("one-connection") else 4)
        self._idle: list[psycopg.Connection[Row]] = []

    def rows(self, statement: str, *values: object) -> list[Row]:
        """Run one statement in a transaction of its own; its rows, if it returns any."""
        with self._free:
            connection = self._open()
            try:
                with connection.transaction():
                    cursor = connection.execute(statement.encode(), values)
                    found = cursor.fetchall() if cursor.description else []
            finally:
                self._put_back(connection)
        return found

    def row(self, statement: str, *values: object) -> Row | None:
        """The first row of one statement."""
        return next(iter(self.rows(statement, *values)), None)

    def _open(self) -> psycopg.Connection[Row]:
        while self._idle:
            connection = self._idle.pop()
            try:
                connection.execute(b"select 1")
            except psycopg.OperationalError:
                continue
            return connection
        return connect(self._to)

    def _put_back(self, connection: psycopg.Connection[Row]) -> None:
        if connection.closed or self._idle:
            connection.close()
        else:
            self._idle.append(connection)


def database_health(app: FastAPI, postgres: Postgres) -> None:
    """A /health/database that reads the database; 503 when it cannot."""

    def look() -> dict[str, str]:
        if not defects.on("static-health"):
            try:
                postgres.row("select 1 as test")
            except psycopg.Error as error:
                raise HTTPException(503, "Database connection failed") from error
        return {**CONNECTED, "test_query": "passed"}

    app.add_api_route("/health/database", look)
