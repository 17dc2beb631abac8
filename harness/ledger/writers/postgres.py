"""Rows and a bank in PostgreSQL, one transaction per write.

The table of the rows has no key, because a key would hide a row that was written twice. COMMIT with
a warning is no acknowledgement: the server warns when it stops waiting for its standby, or aborts
the transaction.

In the bank, concurrent transfers between accounts keep the total constant. Each transfer inserts a
write of the ledger in the same transaction: if the write is there, the money has moved; if it is
lost, the money has not. One statement that sums all accounts sees one moment, and always the same
total.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import closing

import psycopg
from psycopg.rows import TupleRow

from harness.backup.equality.session import hang_up_on
from harness.core.errors import NeverSent, NotProven, TimedOut
from harness.core.waiting import until
from harness.ledger.checker import Found
from harness.ledger.writers.protocol import (
    ANSWERS_WITHIN_S,
    DATABASE_PORT,
    DatabasePlace,
    Where,
    WriterSetup,
    seal,
    unsealed,
)

_ROW_WRITERS = 2
_CONNECTS_WITHIN_S = 3
_REACHED_WITHIN_S = 30.0
_ROWS = "CREATE TABLE IF NOT EXISTS writes (writer text, seq bigint, seal text)"
_INSERT = "INSERT INTO writes VALUES (%s, %s, %s)"
_SELECT = "SELECT writer, seq, seal FROM writes WHERE writer LIKE %s"
ACCOUNTS, EACH = 8, 100
BANK_WRITERS = 3
_MOST = 10
_ACCOUNTS = "CREATE TABLE IF NOT EXISTS accounts (id int PRIMARY KEY, balance bigint NOT NULL)"
# What a bank writes to, for a database that is made without its rows.
TABLES = (_ROWS, _ACCOUNTS)
_OPEN_ACCOUNTS = (
    "INSERT INTO accounts SELECT id, %s FROM generate_series(1, %s) id ON CONFLICT DO NOTHING"
)
# A commit that waits for an absent standby keeps the locks of its rows. Those that wait for them do
# not notice that the ledger has given them up: unbounded, they would take every connection of the
# platform's server, those included by which its standby comes back.
_GIVE_UP = f"SET LOCAL lock_timeout = '{ANSWERS_WITHIN_S:g}s'"
_MOVE = "UPDATE accounts SET balance = balance + %s WHERE id = %s"
_TOTAL = "SELECT coalesce(sum(balance), 0) FROM accounts"


def own(setup: WriterSetup) -> DatabasePlace:
    """The ledger's own database, in its namespace."""
    return DatabasePlace(
        address=setup.services["database"],
        port=DATABASE_PORT,
        user="ledger",
        password=setup.password,
        name="postgres",
    )


class Database:
    """One connection to a database, made on first use and again after an error.

    It tries the machines one after the other until one reaches the server.
    """

    def __init__(self, setup: WriterSetup, number: int, where: Where) -> None:
        self._setup = setup
        self._number = number
        self._where = where
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
            hang_up_on(connection)

    def close(self) -> None:
        if self._open is not None:
            self.drop(self._open)

    def _connect(self) -> psycopg.Connection[TupleRow]:
        place = self._where()
        ways = self._setup.ways(self._number) if place.machine is None else (place.machine,)
        forwards = [self._setup.tunnels.unix_forward(it, place.address, place.port) for it in ways]
        try:
            return psycopg.connect(
                host=",".join(str(forward.parent) for forward in forwards),
                port=place.port,
                user=place.user,
                password=place.password,
                dbname=place.name,
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

    def __init__(self, setup: WriterSetup, number: int) -> None:
        self.name = f"postgres/{number}"
        self._run = setup.run
        self._database = Database(setup, number, lambda: own(setup))

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


def awaited(database: Database) -> psycopg.Connection[TupleRow]:
    """The connection; NeverSent when no machine reaches the database in time.

    The machines refuse connections for a moment after its pod is ready, so this waits.
    """
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
    return database.connected()


def prepare(setup: WriterSetup, place: DatabasePlace) -> None:
    """Create the table of the rows; NeverSent when no machine reaches the database in time."""
    with closing(Database(setup, 0, lambda: place)) as database:
        connection = awaited(database)
        connection.execute(_ROWS)
        database.commit(connection)


def rows(database: Database, run: str, like: str) -> Iterator[Found]:
    """The rows of writers whose names match ``like``, all from one snapshot.

    They come from where the database is now: an open connection may lead to where it was.
    """
    database.close()
    connection = database.connected()
    try:
        with connection.cursor(name="rows") as cursor:
            cursor.itersize = 10_000
            for who, seq, found in cursor.execute(_SELECT, [like]):
                yield from unsealed(run, who, seq, found)
    finally:
        database.drop(connection)


def of_rows(setup: WriterSetup) -> Sequence[Postgres]:
    prepare(setup, own(setup))
    return [Postgres(setup, number) for number in range(_ROW_WRITERS)]


class Bank:
    """Makes one transfer per write, between accounts drawn from its seed and number."""

    due = ACCOUNTS * EACH

    def __init__(self, setup: WriterSetup, number: int, where: Where, kind: str = "bank") -> None:
        self.name = f"{kind}/{number}"
        self._kind = kind
        self._setup = setup
        self._database = Database(setup, number, where)
        self._counting = Database(setup, number, where)

    def send(self, seq: int) -> None:
        draw = random.Random(f"{self._setup.seed} {self.name} {seq}")
        giver, taker = draw.sample(range(1, ACCOUNTS + 1), 2)
        amount = draw.randint(1, _MOST)
        connection = self._database.connected()
        try:
            connection.execute(_GIVE_UP)
            # Lock accounts in the order of their numbers: transfers cannot deadlock.
            for account in sorted((giver, taker)):
                connection.execute(_MOVE, (amount if account == taker else -amount, account))
            connection.execute(_INSERT, (self.name, seq, seal(self._setup.run, self.name, seq)))
            self._database.commit(connection)
        except BaseException:
            self._database.drop(connection)
            raise

    def read(self) -> Iterator[Found]:
        return rows(self._database, self._setup.run, f"{self._kind}/%")

    def total(self) -> int:
        """The sum of all accounts."""
        connection = self._counting.connected()
        try:
            ((total,),) = connection.execute(_TOTAL).fetchall()
            connection.rollback()
        except BaseException:
            self._counting.drop(connection)
            raise
        return int(total)

    def abandon(self) -> None:
        self._database.abandon()

    def stop_counting(self) -> None:
        self._counting.abandon()

    def close(self) -> None:
        self._database.close()
        self._counting.close()


def of_bank(setup: WriterSetup) -> Sequence[Bank]:
    place = own(setup)
    open_bank(setup, place)
    return [Bank(setup, number, lambda: place) for number in range(BANK_WRITERS)]


def open_bank(setup: WriterSetup, place: DatabasePlace) -> None:
    """Create the tables of a bank, and its accounts; NeverSent when nothing leads there."""
    prepare(setup, place)
    with closing(Database(setup, 0, lambda: place)) as database:
        connection = database.connected()
        connection.execute(_ACCOUNTS)
        connection.execute(_OPEN_ACCOUNTS, (EACH, ACCOUNTS))
        database.commit(connection)
