"""Rows in PostgreSQL, one transaction per row.

The table has no key, because a key would hide a row that was written twice. COMMIT with a warning
is no acknowledgement: the server warns when it stops waiting for its standby, or aborts the
transaction.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import closing

import psycopg
from psycopg.rows import TupleRow

from harness.core.errors import NeverSent, NotProven, TimedOut
from harness.core.parallel import hang_up
from harness.core.waiting import until
from harness.ledger.checker import Found
from harness.ledger.writers.protocol import DATABASE_PORT, WriterSetup, seal, unsealed

_WRITERS = 2
_CONNECTS_WITHIN_S = 3
_REACHED_WITHIN_S = 30.0
_TABLE = "CREATE TABLE IF NOT EXISTS writes (writer text, seq bigint, seal text)"
_INSERT = "INSERT INTO writes VALUES (%s, %s, %s)"
_SELECT = "SELECT writer, seq, seal FROM writes WHERE writer LIKE %s"


class Database:
    """One connection to the ledger's database, made on first use and again after an error.

    It tries the machines one after the other until one reaches the server.
    """

    def __init__(self, stage: WriterSetup, number: int) -> None:
        self._stage = stage
        self._number = number
        self._open: psycopg.Connection[TupleRow] | None = None
        self._abandoned = 0
        self._warnings: list[str] = []

    def connected(self) -> psycopg.Connection[TupleRow]:
        """The connection; NeverSent when none can be made."""
        if self._open is None:
            abandoned = self._abandoned
            connection = self._connect()
            if abandoned != self._abandoned:
                connection.close()
                raise NeverSent("the database connected after the write was abandoned")
            connection.add_notice_handler(self._heard)
            self._open = connection
        return self._open

    def commit(self, connection: psycopg.Connection[TupleRow]) -> None:
        """Commit; NotProven when the server did something else, or gave a warning."""
        self._warnings.clear()
        did = connection.execute("COMMIT").statusmessage
        if did != "COMMIT" or self._warnings:
            raise NotProven(f"COMMIT: the server did {did}, with warnings {self._warnings}")

    def drop(self, connection: psycopg.Connection[TupleRow]) -> None:
        """Close a connection and do not use it again."""
        if self._open is connection:
            self._open = None
        connection.close()

    def abandon(self) -> None:
        """End the wait of another thread for an answer; that thread then drops the connection."""
        self._abandoned += 1
        connection = self._open
        if connection is not None:
            with (
                contextlib.suppress(psycopg.Error, OSError),  # that thread may just be closing it
                socket.socket(fileno=os.dup(connection.fileno())) as same,
            ):
                hang_up(same)

    def close(self) -> None:
        if self._open is not None:
            self.drop(self._open)

    def _connect(self) -> psycopg.Connection[TupleRow]:
        address = self._stage.services["database"]
        ways = self._stage.ways(self._number)
        forwards = [self._stage.tunnels.unix_forward(it, address, DATABASE_PORT) for it in ways]
        try:
            return psycopg.connect(
                host=",".join(str(forward.parent) for forward in forwards),
                port=DATABASE_PORT,
                user="ledger",
                password=self._stage.password,
                dbname="postgres",
                connect_timeout=_CONNECTS_WITHIN_S,
                target_session_attrs="read-write",
            )
        except psycopg.Error as error:
            first = str(error).partition("\n")[0]  # the other lines repeat it for other machines
            raise NeverSent(f"no connection to the database: {first}") from error

    def _heard(self, notice: psycopg.errors.Diagnostic) -> None:
        if notice.severity_nonlocalized == "WARNING":
            self._warnings.append(f"{notice.sqlstate} {notice.message_primary}")


class Postgres:
    """Inserts one row per write."""

    def __init__(self, stage: WriterSetup, number: int) -> None:
        self.name = f"postgres/{number}"
        self._run = stage.run
        self._database = Database(stage, number)

    def send(self, seq: int) -> None:
        connection = self._database.connected()
        try:
            row = (self.name, seq, seal(self._run, self.name, seq))
            connection.execute(_INSERT, row)
            self._database.commit(connection)
        except BaseException:
            self._database.drop(connection)
            raise

    def read(self) -> Iterator[Found]:
        return rows(self._database, self._run, "postgres/%")

    def abandon(self) -> None:
        self._database.abandon()

    def close(self) -> None:
        self._database.close()


def prepare(stage: WriterSetup) -> None:
    """Create the table of the rows; NeverSent when no machine reaches the database in time.

    The machines refuse connections for a moment after its pod is ready, so this waits.
    """
    with closing(Database(stage, 0)) as database:
        said: list[NeverSent] = []

        def reached() -> bool:
            try:
                database.connected()
            except NeverSent as error:
                said.append(error)
                return False
            return True

        try:
            until(reached, within_s=_REACHED_WITHIN_S, what="a way to the database")
        except TimedOut:
            raise said[-1] from None
        connection = database.connected()
        connection.execute(_TABLE)
        database.commit(connection)


def rows(database: Database, run: str, like: str) -> Iterator[Found]:
    """The rows of writers whose names match ``like``, all from one snapshot."""
    connection = database.connected()
    try:
        with connection.cursor(name="rows") as cursor:
            cursor.itersize = 10_000
            for who, seq, found in cursor.execute(_SELECT, [like]):
                yield from unsealed(run, who, seq, found)
    finally:
        database.drop(connection)


def writers(stage: WriterSetup) -> Sequence[Postgres]:
    prepare(stage)
    return [Postgres(stage, number) for number in range(_WRITERS)]
