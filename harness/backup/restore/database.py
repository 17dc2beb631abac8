"""What a restore asks and changes in the two PostgreSQL, beside their comparison."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql

from harness.backup.equality.compare import Tell, database
from harness.backup.equality.session import Connection, Server, moment, one, rows, streamed
from harness.backup.equality.tables import Mutation
from harness.core.errors import NotProven, Unreachable
from harness.facts.databases import Database
from harness.settings.restore import DeclaredMutation, Heartbeat

_SIZE = "select pg_database_size(current_database())::bigint"
_DATA_DIRECTORY = "select setting from pg_settings where name = 'data_directory'"
_NOW = "select extract(epoch from clock_timestamp())::float8"
_WRITES = """
select format('%s.%s', schemaname, relname), n_tup_ins + n_tup_upd + n_tup_del
from pg_stat_user_tables
"""
_ROLES = "select rolname from pg_roles"
# A restored database must be made as its source was: a plain dump does not say how.
_MADE_AS = """
select pg_get_userbyid(datdba)::text, pg_encoding_to_char(encoding)::text, datcollate::text,
  datctype::text from pg_database where datname = current_database()
"""


def size(server: Server, name: str) -> int:
    """The bytes of a database."""
    with server.connect(name) as connection:
        return int(one(connection, _SIZE)[0])


def data_directory(server: Server) -> str:
    """The folder of a server's data, as the server sees it."""
    with server.connect("postgres") as connection:
        return str(one(connection, _DATA_DIRECTORY)[0])


def major(server: Server) -> int:
    """The major version of a server."""
    with server.connect("postgres") as connection:
        return connection.info.server_version // 10000


def now(server: Server, name: str) -> float:
    """The server's clock, in UTC seconds."""
    with server.connect(name) as connection:
        return float(one(connection, _NOW)[0])


def writes(server: Server, name: str) -> dict[str, int]:
    """How many rows each table was written so far, by PostgreSQL's own statistics."""
    with server.connect(name) as connection:
        return dict(rows(connection, _WRITES))


def texts(server: Server, name: str, query: str) -> Iterator[str]:
    """The first column of every row of a declared query."""
    with server.connect(name) as connection:
        for row in streamed(connection, query):
            yield str(row[0])


def newest_heartbeat(server: Server, name: str, heartbeat: Heartbeat) -> float | None:
    """The time of the newest row, in UTC seconds; None without one."""
    query = f"select extract(epoch from ({heartbeat.newest})::timestamptz)::float8"
    with server.connect(name) as connection:
        (found,) = one(connection, query)
    return None if found is None else float(found)


def roles(server: Server) -> set[str]:
    """The roles of a server."""
    with server.connect("postgres") as connection:
        return {str(name) for (name,) in rows(connection, _ROLES)}


def create(server: Server, name: str, restored: str) -> str:
    """The statement that makes an empty database as the source's was made."""
    with server.connect(name) as connection:
        owner, encoding, collate, ctype = one(connection, _MADE_AS)
    return (
        sql.SQL(
            "create database {} template template0 owner {} encoding {} lc_collate {} lc_ctype {}"
        )
        .format(
            sql.Identifier(restored),
            sql.Identifier(owner),
            *(sql.Literal(it) for it in (encoding, collate, ctype)),
        )
        .as_string(None)
    )


def drop(restored: str) -> str:
    """The statement that removes a restored database."""
    return (
        sql.SQL("drop database if exists {} with (force)")
        .format(sql.Identifier(restored))
        .as_string(None)
    )


@dataclass
class Beats:
    """How many heartbeats were written, and why one was not."""

    written: int = 0
    trouble: str = ""


@contextmanager
def beating(server: Server, name: str, heartbeat: Heartbeat) -> Iterator[Beats]:
    """Write heartbeats while the body runs; the first is there before it begins.

    NotProven or Unreachable if that one cannot be written.
    """
    beats = Beats()
    if heartbeat.write is None:
        yield beats
        return
    statement, over = heartbeat.write, threading.Event()
    with closing(_writing(server, name)) as connection:
        _beat(connection, statement, beats)

        def go_on() -> None:
            while not over.wait(heartbeat.every_s):
                try:
                    _beat(connection, statement, beats)
                except (NotProven, Unreachable) as error:
                    beats.trouble = str(error)
                    return

        thread = threading.Thread(target=go_on, name="heartbeats", daemon=True)
        thread.start()
        try:
            yield beats
        finally:
            over.set()
            thread.join()


def _writing(server: Server, name: str) -> Connection:
    connection = server.connect(name)
    connection.read_only = False
    connection.isolation_level = None
    connection.autocommit = True
    return connection


def _beat(connection: Connection, statement: str, beats: Beats) -> None:
    try:
        connection.execute(statement.encode())
    except psycopg.OperationalError as error:
        raise Unreachable(f"heartbeat: {error}") from error
    except psycopg.Error as error:
        raise NotProven(f"heartbeat: {error}", remedy="correct `heartbeat.write`") from error
    beats.written += 1


def compare(
    source: tuple[Server, str],
    restored: tuple[Server, str],
    declared: Mapping[str, DeclaredMutation],
    tell: Tell,
) -> Database:
    """Both databases, each at one moment, row by row; raises NotProven or Unreachable."""
    mutations = {
        table: Mutation(rows=it.rows, columns=frozenset(it.columns))
        for table, it in declared.items()
    }
    with moment(*source) as old, moment(*restored) as new:
        return database(old, new, tell=tell, mutations=mutations)
