"""Connections that read one moment of a database, and print values alike on both sides."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias, TypeVar

import psycopg
from psycopg.rows import TupleRow

from harness.core.errors import NotProven, TimedOut, Unreachable
from harness.core.parallel import hang_up, within

T = TypeVar("T")

Connection: TypeAlias = psycopg.Connection[TupleRow]

# What a value's text depends on. `row_security` off makes a hidden row an error, not a gap.
_PINNED = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "lc_monetary": "C",
    "lc_numeric": "C",
    "xmloption": "content",
    "search_path": "pg_catalog",
    "client_encoding": "UTF8",
    "row_security": "off",
    # No answer for ever is none: a table that sorts longer, or a lock that stays, is NOT PROVEN.
    "statement_timeout": "4h",
    "lock_timeout": "60s",
    "idle_in_transaction_session_timeout": "0",
    "jit": "off",
}
_CONNECTS_WITHIN_S = 10
# For what a server answers at once, whatever it holds.
_ANSWERS_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True)
class Server:
    """Where a PostgreSQL answers, in libpq's words; the user must be able to read everything."""

    host: str
    port: int
    user: str
    password: str

    def connect(self, database: str) -> Connection:
        """A read-only connection in a transaction of one snapshot; Unreachable without one."""
        options = " ".join(f"-c {key}={_quoted(value)}" for key, value in _PINNED.items())
        try:
            connection = psycopg.connect(
                host=self.host,
                port=self.port,
                user=self.user,
                password=self.password,
                dbname=database,
                options=options,
                connect_timeout=_CONNECTS_WITHIN_S,
                application_name="cutover",
            )
        except psycopg.Error as error:
            raise Unreachable(f"{database} as {self.user}: {error}") from error
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        return connection


def _quoted(value: str) -> str:
    """A value of libpq's ``options``, where a blank ends a word."""
    return value.replace("\\", "\\\\").replace(" ", "\\ ")


# Every server has this database.
_ADMIN = "postgres"
_DATABASES = "select datname from pg_database where not datistemplate"
# What tells a running server from every other, also from a physical copy of its files.
IDENTITY = """
select system_identifier::text, pg_postmaster_start_time()::text from pg_control_system()
"""


def identity(server: Server) -> TupleRow:
    """What tells a running server from every other; Unreachable if it falls silent."""
    return _answered(server, lambda connection: one(connection, IDENTITY))


def names(server: Server) -> set[str]:
    """The databases of a server, without templates; Unreachable if it falls silent."""
    found = _answered(server, lambda connection: rows(connection, _DATABASES))
    return {name for (name,) in found}


def _answered(server: Server, work: Callable[[Connection], T]) -> T:
    with server.connect(_ADMIN) as connection:
        try:
            return within(
                _ANSWERS_WITHIN_S,
                partial(work, connection),
                what=f"{_ADMIN} of {server.host}",
                abandon=partial(hang_up_on, connection),
            )
        except TimedOut as error:
            raise Unreachable(str(error)) from error


def hang_up_on(connection: Connection) -> None:
    """End the wait of another thread for an answer."""
    with (
        suppress(psycopg.Error, OSError),  # that thread may just be closing it
        socket.socket(fileno=os.dup(connection.fileno())) as same,
    ):
        hang_up(same)


@dataclass(frozen=True)
class Moment:
    """One snapshot of a database; every connection of it sees the same rows."""

    server: Server
    database: str
    first: Connection
    snapshot: str

    @property
    def major(self) -> int:
        """The major version of PostgreSQL."""
        return self.first.info.server_version // 10000

    @contextmanager
    def another(self) -> Iterator[Connection]:
        """One more connection that sees this moment."""
        with _our_errors(self.database), self.server.connect(self.database) as connection:
            connection.execute(f"SET TRANSACTION SNAPSHOT '{self.snapshot}'".encode())
            yield connection

    def wrote_since(self) -> bool:
        """True if a transaction of the server has written since this moment began."""
        with self.server.connect(self.database) as connection:
            (now,) = one(connection, _NEXT)
        (then,) = one(self.first, _NEXT)
        return bool(now != then)


# The next transaction to write gets this number; a read-only transaction takes none.
_NEXT = "select txid_snapshot_xmax(txid_current_snapshot())::text"


@contextmanager
def moment(server: Server, database: str) -> Iterator[Moment]:
    """A snapshot of a database, held until the body ends; raises TransportError."""
    with _our_errors(database), server.connect(database) as connection:
        # Not by `rows`: a snapshot cannot be exported from a transaction within another one.
        found = connection.execute(b"select pg_export_snapshot()").fetchone()
        assert found is not None
        (snapshot,) = found
        yield Moment(server, database, connection, str(snapshot))


@contextmanager
def asking(connection: Connection, what: str) -> Iterator[None]:
    """Queries whose failure leaves the connection's moment as it was.

    psycopg's errors become ours: NotProven for an answer, Unreachable for a lost connection.
    """
    with _our_errors(what), connection.transaction():
        yield


@contextmanager
def _our_errors(what: str) -> Iterator[None]:
    try:
        yield
    except psycopg.OperationalError as error:
        raise Unreachable(f"{what}: {error}") from error
    except psycopg.Error as error:
        raise NotProven(f"{what}: {error}") from error


def one(connection: Connection, query: str) -> TupleRow:
    """The only row of a query; NotProven without one."""
    found = rows(connection, query)
    if len(found) != 1:
        raise NotProven(f"{len(found)} answers, expected one, to: {query}")
    return found[0]


def rows(connection: Connection, query: str) -> list[TupleRow]:
    """All rows of a query; raises NotProven or Unreachable."""
    with asking(connection, connection.info.dbname):
        return connection.execute(query.encode()).fetchall()


def streamed(connection: Connection, query: str) -> Iterator[TupleRow]:
    """The rows of a query as they arrive, of which few are in memory; raises what ``rows`` does."""
    with asking(connection, connection.info.dbname), connection.cursor() as cursor:
        yield from cursor.stream(query.encode())
