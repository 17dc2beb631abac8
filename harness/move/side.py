"""One of the two PostgreSQL of a switch: its databases are frozen, thawed, and written to.

A frozen database accepts no connection, not even a superuser's, and has no client left. Only that
stops every writer: a superuser passes by a connection limit and a revoked right, and any session
may set ``default_transaction_read_only`` back. Replication goes on, and so do the sessions that
this harness opened before.

The server thaws its databases by itself once the time of the freeze is over. A session that sleeps
there does it, also when this harness and its connection are gone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

from harness.backup.equality.session import IDENTITY, Connection, Server, hang_up_on
from harness.core.errors import NotProven, TimedOut, Unreachable
from harness.core.parallel import within
from harness.core.waiting import until

T = TypeVar("T")

ADMIN = "postgres"
# Both tables hold heartbeats; ``BACK`` is replicated in the other direction from the beginning.
SCHEMA = "cutover"
BEATS, BACK = "heartbeat", "heartbeat_back"
_CONNECTS_WITHIN_S = 10
# Longer than a statement may take by the server's own limit.
_ANSWERS_WITHIN_S = 90.0
# A frozen database's own settings must not hold for the sessions of this harness.
_OPTIONS = (
    "-c default_transaction_read_only=off -c statement_timeout=60s -c lock_timeout=30s "
    "-c idle_session_timeout=0 -c synchronous_commit=on -c client_encoding=UTF8"
)
# Replication and the server's own processes go on; everything else is a client.
_CLIENTS = """
select pid from pg_stat_activity where datname = %s and pid <> all(%s)
and backend_type not in ('walsender', 'autovacuum worker', 'parallel worker')
and backend_type not like 'logical replication%%'
"""
_LONG = """
select pid, extract(epoch from clock_timestamp() - xact_start)::float8 from pg_stat_activity
where datname = %s and pid <> all(%s) and backend_type = 'client backend'
and clock_timestamp() - xact_start > %s * interval '1 second' order by 2 desc
"""
_PREPARED = "select gid from pg_prepared_xacts where database = %s"
_CLOSE = "alter database {database} with allow_connections false"
_OPEN = "alter database {database} with allow_connections true"
_READ_ONLY = "alter database {database} set default_transaction_read_only = on"
_READ_WRITE = "alter database {database} reset default_transaction_read_only"
_ASLEEP = "select 1 from pg_stat_activity where pid = %s and wait_event = 'PgSleep'"
# PostgreSQL before version 17 has no transaction_timeout.
_SLEEPS_ON = """
select set_config(name, '0', false) from pg_settings where name in
('statement_timeout', 'transaction_timeout', 'client_connection_check_interval')
"""
# How a frozen database refuses a client, which gets no SQLSTATE with it, and then its write.
_NO_CONNECTION = "is not currently accepting connections"
_READ_ONLY_STATE = psycopg.errors.ReadOnlySqlTransaction.sqlstate
_BEAT = "insert into cutover.{table} (beat) values (%s)"
_BEATEN = "select 1 from cutover.{table} where beat = %s"


@dataclass(frozen=True, slots=True)
class Address:
    """The host and port at which the other PostgreSQL reaches this one."""

    host: str
    port: int


class NotMet(Exception):
    """A condition of the switch did not hold in time."""


@dataclass
class Side:
    """A PostgreSQL and what a switch does there; ``name`` is what reports call it.

    Its sessions stay open. Each method raises NotProven when the server refuses, and Unreachable
    when it does not answer.
    """

    name: str
    server: Server
    address: Address
    _open: dict[str, Connection] = field(default_factory=dict)

    def close(self) -> None:
        """End all sessions."""
        for connection in self._open.values():
            connection.close()
        self._open.clear()

    def ask(
        self, database: str, query: str, words: Sequence[object] = (), /, **names: str
    ) -> list[TupleRow]:
        """The rows of a statement, which commits at once; names in braces are quoted."""
        quoted = {key: sql.Identifier(name) for key, name in names.items()}
        return self.run(database, sql.SQL(query).format(**quoted), words)

    def run(
        self, database: str, statement: sql.Composed, words: Sequence[object] = ()
    ) -> list[TupleRow]:
        """The rows of a composed statement, which commits at once."""

        def asked(session: Connection) -> list[TupleRow]:
            cursor = session.execute(statement, words or None)
            return cursor.fetchall() if cursor.description else []

        return self.read(database, asked)

    def read(
        self, database: str, work: Callable[[Connection], T], *, within_s: float | None = None
    ) -> T:
        """What ``work`` reads over the session of a database; Unreachable if it takes longer.

        Without ``within_s``, it takes no longer than one statement may.
        """
        session = self.session(database)
        with self.told(database):
            return self.answer(database, session, work, within_s)

    def answer(
        self,
        database: str,
        session: Connection,
        work: Callable[[Connection], T],
        within_s: float | None = None,
    ) -> T:
        """What ``work`` returns over any session; TimedOut if the server falls silent."""
        return within(
            _ANSWERS_WITHIN_S if within_s is None else within_s,
            partial(work, session),
            what=f"{self.name}, {database}",
            abandon=partial(_end, session),
        )

    def session(self, database: str) -> Connection:
        """The session of a database; it is opened on first use, and again once it was lost."""
        found = self._open.get(database)
        if found is None or found.closed:
            found = self._open[database] = self.connect(database)
        return found

    def forget(self, database: str) -> None:
        """End the session of a database."""
        found = self._open.pop(database, None)
        if found is not None:
            found.close()

    def connect(self, database: str) -> Connection:
        """A session of its own."""
        with self.told(database):
            return self._connect(database, _OPTIONS)

    def _connect(self, database: str, options: str) -> Connection:
        at = Address(self.server.host, self.server.port)
        return psycopg.connect(self.conninfo(database, at), autocommit=True, options=options)

    def conninfo(self, database: str, at: Address | None = None) -> str:
        """What a client connects with; by default, the other PostgreSQL."""
        address = at or self.address
        return make_conninfo(
            host=address.host,
            port=address.port,
            user=self.server.user,
            password=self.server.password,
            dbname=database,
            connect_timeout=_CONNECTS_WITHIN_S,
        )

    @contextmanager
    def told(self, database: str) -> Iterator[None]:
        """psycopg's errors become ours; a server that hangs is unreachable, and no step is late."""
        try:
            yield
        except TimedOut as error:
            self._open.pop(database, None)  # the abandoned call may still use it
            raise Unreachable(str(error)) from error
        except psycopg.OperationalError as error:
            raise Unreachable(f"{self.name}, {database}: {error}") from error
        except psycopg.Error as error:
            raise NotProven(f"{self.name}, {database}: {error}") from error

    def databases(self) -> set[str]:
        """The databases that are there."""
        return {name for (name,) in self.ask(ADMIN, "select datname from pg_database")}

    def is_same_server(self, other: Side) -> bool:
        """True if both sides are one running server."""
        return self.ask(ADMIN, IDENTITY) == other.ask(ADMIN, IDENTITY)

    def setting(self, name: str) -> str:
        """A setting of the server, as ``show`` writes it."""
        ((value,),) = self.ask(ADMIN, "select current_setting(%s)", [name])
        return str(value)

    def beat(self, database: str, name: str, *, table: str = BEATS) -> None:
        """Write a heartbeat of this name; it is acknowledged when this returns."""
        self.ask(database, _BEAT, [name], table=table)

    def has_beat(self, database: str, name: str, *, table: str = BEATS) -> bool:
        """True if the heartbeat of this name is there."""
        return bool(self.ask(database, _BEATEN, [name], table=table))

    def long_transactions(self, database: str, oldest_s: float) -> list[str]:
        """The transactions that are older, and prepared ones of any age, in words."""
        words = [database, self._own(), oldest_s]
        found = [f"process {pid} for {age:.0f} s" for pid, age in self.ask(ADMIN, _LONG, words)]
        return found + [f"prepared {gid}" for (gid,) in self.ask(ADMIN, _PREPARED, [database])]

    def clients(self, database: str) -> list[int]:
        """The processes of its clients, without the sessions of this harness."""
        return [pid for (pid,) in self.ask(ADMIN, _CLIENTS, [database, self._own()])]

    def _own(self) -> list[int]:
        return [it.info.backend_pid for it in self._open.values() if not it.closed]

    def shut(self, database: str) -> None:
        """Accept no connection to a database any more, and no write once it is opened again."""
        self.session(database)
        self.ask(ADMIN, _READ_ONLY, database=database)
        self.ask(ADMIN, _CLOSE, database=database)

    def end_clients(self, database: str) -> bool:
        """End the clients of a shut database; True once there is none."""
        found = self.clients(database)
        for pid in found:
            self.ask(ADMIN, "select pg_terminate_backend(%s)", [pid])
        return not found

    def open_for_reading(self, database: str) -> None:
        """Accept connections to a shut database, whose transactions are read-only by default."""
        self.ask(ADMIN, _OPEN, database=database)

    def thaw(self, database: str) -> None:
        """Accept connections and writes again."""
        self.ask(ADMIN, _OPEN, database=database)
        self.ask(ADMIN, _READ_WRITE, database=database)

    def refusal(self, database: str) -> str | None:
        """The words by which a freeze refuses a new client's write; None if it is accepted.

        NotMet if it fails for another reason, which says nothing about the next client's write.
        Unreachable without a server.
        """
        self.ask(ADMIN, "select 1")
        statement = sql.SQL(_BEAT).format(table=sql.Identifier(BEATS))

        def write(client: Connection) -> None:
            client.execute(statement, ["a write that must be refused"])

        try:
            with closing(self._connect(database, "")) as client:
                self.answer(database, client, write)
        except (psycopg.Error, TimedOut) as error:
            says = _words_of(error)
            if _is_of_a_freeze(error):
                return says
            raise NotMet(
                f"{self.name}, {database}: expected a write to be refused as read-only, or because "
                f"the database {_NO_CONNECTION!r}, seen: {says}. Remove that cause, and rehearse "
                "again"
            ) from error
        return None


def _end(session: Connection) -> None:
    """End a session that another thread may still use: as soon as that thread waits no more."""
    hang_up_on(session)
    with session.lock:
        session.close()


def _words_of(error: Exception) -> str:
    """What a server says first; of a connection that it refuses, libpq keeps whole lines alone."""
    says = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    return says or str(error).strip().splitlines()[-1]


def _is_of_a_freeze(error: Exception) -> bool:
    """True for what a frozen database says, or a standby; false for, say, too many clients."""
    state = error.sqlstate if isinstance(error, psycopg.Error) else None
    return state == _READ_ONLY_STATE or _NO_CONNECTION in str(error)


class Thaw:
    """Thaws a side's databases after ``after_s`` seconds, on the server itself, unless disarmed."""

    def __init__(self, side: Side, databases: Collection[str], after_s: float) -> None:
        self._connection = side.connect(ADMIN)
        self._disarmed = False
        each = [
            sql.Literal(sql.SQL(statement).format(database=sql.Identifier(name)).as_string())
            for name in databases
            for statement in (_OPEN, _READ_WRITE)
        ]
        acts = sql.SQL(" ").join(sql.SQL("execute {};").format(it) for it in each)
        # The server must not notice that its client is gone, nor end what takes so long.
        body = sql.SQL("begin perform pg_sleep({}); {} end").format(sql.Literal(after_s), acts)
        with side.told(ADMIN):
            side.answer(ADMIN, self._connection, lambda it: it.execute(_SLEEPS_ON))
        statement = sql.SQL("do {}").format(sql.Literal(body.as_string()))
        self._sleeping = threading.Thread(target=self._sleep, args=(statement,), daemon=True)
        self._sleeping.start()
        pid = self._connection.info.backend_pid
        until(
            lambda: side.ask(ADMIN, _ASLEEP, [pid]),
            within_s=_CONNECTS_WITHIN_S,
            every_s=0.02,
            what=f"{side.name} is armed to thaw by itself",
        )

    def _sleep(self, statement: sql.Composed) -> None:
        try:
            self._connection.execute(statement)
        except psycopg.errors.QueryCanceled:
            self._disarmed = True
        except psycopg.Error:  # the connection is gone: the server may still thaw
            return

    def disarm(self) -> bool:
        """From now on the databases stay frozen; False if they may be thawed already."""
        with suppress(psycopg.Error):  # its connection is gone, and the server may still thaw
            self._connection.cancel_safe(timeout=_CONNECTS_WITHIN_S)
        self._sleeping.join(_CONNECTS_WITHIN_S)
        self._connection.close()
        return self._disarmed
