"""Connections that read one moment of a MariaDB, and get values alike on both sides."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import pymysql
from pymysql.connections import Connection as _Connection
from pymysql.converters import encoders
from pymysql.cursors import Cursor, SSCursor

from harness.core.errors import NotProven, Unreachable

Connection: TypeAlias = "_Connection[Cursor]"
Row: TypeAlias = tuple[bytes | None, ...]

_CONNECTS_WITHIN_S = 10
_STATEMENT_S = 4 * 3600
# For what a server answers at once, whatever it holds.
_ANSWERS_WITHIN_S = 30.0
# What a value's text and the order of rows depend on, and how long a side may wait for the other.
_PINNED = {
    "time_zone": "'+00:00'",
    "sql_mode": "''",
    "lc_time_names": "'en_US'",
    # The longest key has 3072 bytes, which are at most 9216 in UTF-8.
    "max_sort_length": "16384",
    "group_concat_max_len": "1048576",
    "sql_select_limit": "18446744073709551615",
    "sql_big_selects": "1",
    "max_statement_time": f"{_STATEMENT_S}",
    "lock_wait_timeout": "60",
    "net_read_timeout": f"{_STATEMENT_S}",
    "net_write_timeout": f"{_STATEMENT_S}",
    "wait_timeout": f"{_STATEMENT_S}",
    "idle_transaction_timeout": "0",
    "idle_readonly_transaction_timeout": "0",
    "tx_isolation": "'REPEATABLE-READ'",
}
_SET = f"SET SESSION {', '.join(f'{key} = {value}' for key, value in _PINNED.items())}"
# Client errors (MariaDB, "Error Codes"): the connection was lost; 0 is PyMySQL's own.
_OF_CLIENT = range(2000, 3000)
_OWN = ("information_schema", "mysql", "performance_schema", "sys")


@dataclass(frozen=True, slots=True)
class Server:
    """Where a MariaDB answers: a socket file; the user must be able to read everything."""

    socket: str
    user: str
    password: str

    @contextmanager
    def connect(
        self, database: str | None = None, *, within_s: float = _STATEMENT_S
    ) -> Iterator[Connection]:
        """A connection with pinned settings; Unreachable without one.

        ``within_s``: how long it waits for each answer.
        """
        with asking(f"{database or 'MariaDB'} as {self.user}"):
            connection = pymysql.connect(
                unix_socket=self.socket,
                user=self.user,
                password=self.password,
                database=database,
                charset="utf8mb4",
                # Values stay the bytes that the server sends.
                use_unicode=False,
                conv=dict(encoders.items()),
                init_command=_SET,
                autocommit=True,
                connect_timeout=_CONNECTS_WITHIN_S,
                read_timeout=within_s,
                program_name="cutover",
            )
        with closing(connection):
            yield connection


@contextmanager
def asking(what: str) -> Iterator[None]:
    """PyMySQL's errors become ours: NotProven for an answer, Unreachable for a lost connection."""
    try:
        yield
    except (pymysql.Error, OSError) as error:
        code, *says = error.args or (0,)
        text = f"{what}: {says[0] if says else error}"
        if not isinstance(error, pymysql.Error) or code == 0 or code in _OF_CLIENT:
            raise Unreachable(text) from error
        raise NotProven(text) from error


def stream(connection: Connection, query: str) -> Iterator[Row]:
    """The rows of a query as they come, each value as MariaDB writes it; None for NULL."""
    with asking(query[:80]), connection.cursor(SSCursor) as cursor:
        cursor.execute(query)
        yield from cursor


def rows(connection: Connection, query: str) -> list[tuple[str | None, ...]]:
    """All rows of a query as text; raises NotProven or Unreachable."""
    return [
        tuple(None if it is None else it.decode(errors="backslashreplace") for it in row)
        for row in stream(connection, query)
    ]


def value(connection: Connection, query: str) -> str:
    """The only value of a query; NotProven without one."""
    match rows(connection, query):
        case [(str(only),)]:
            return only
    raise NotProven(f"expected one value, seen another answer to: {query}")


def quoted(name: str) -> str:
    """An identifier as MariaDB reads it."""
    return f"`{name.replace('`', '``')}`"


def names(server: Server) -> set[str]:
    """The databases of a server, without MariaDB's own."""
    with server.connect(within_s=_ANSWERS_WITHIN_S) as connection:
        found = {str(name) for (name,) in rows(connection, "show databases")}
    # A folder such as lost+found, which is no database.
    return {it for it in found if not it.startswith("#mysql50#")} - {*_OWN}


def is_one_server(source: Server, target: Server) -> bool:
    """True if both are the same running MariaDB: a lock of one is then a lock of the other."""
    name = f"cutover-{secrets.token_hex(8)}"
    with (
        source.connect(within_s=_ANSWERS_WITHIN_S) as here,
        target.connect(within_s=_ANSWERS_WITHIN_S) as there,
    ):
        value(here, f"select get_lock('{name}', 0)")
        return rows(there, f"select is_used_lock('{name}')") != [(None,)]


@dataclass(frozen=True)
class Moment:
    """A database at one moment; what its tables of InnoDB held then, ``connection`` still reads."""

    server: Server
    database: str
    connection: Connection
    version: tuple[str, ...]
    changes: int

    @property
    def major(self) -> tuple[str, ...]:
        """The major version: 10.11 and 11.4 are two."""
        return self.version[:2]

    def wrote_since(self) -> bool:
        """True if a row of the server was changed since this moment began."""
        return _changes(self.connection) != self.changes


def _changes(connection: Connection) -> int:
    """How many rows were ever written, changed or deleted; temporary tables do not count."""
    found = rows(
        connection,
        "show global status where variable_name in "
        "('Handler_write', 'Handler_update', 'Handler_delete')",
    )
    if len(found) != 3:
        raise NotProven(f"expected MariaDB's counters of changed rows, seen {found}")
    return sum(int(number or 0) for _, number in found)


@contextmanager
def moment(server: Server, database: str) -> Iterator[Moment]:
    """A snapshot of a database, held until the body ends; raises NotProven or Unreachable."""
    with server.connect(database) as connection:
        version = value(connection, "select version()")
        if "MariaDB" not in version:
            raise NotProven(f"expected MariaDB, seen {version}")
        # Before the snapshot, so that no writer between the two is missed.
        changes = _changes(connection)
        rows(connection, "start transaction with consistent snapshot, read only")
        numbers = version.partition("-")[0].split(".")
        yield Moment(server, database, connection, tuple(numbers), changes)
