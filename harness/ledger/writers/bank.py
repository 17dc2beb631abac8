"""A bank in PostgreSQL: concurrent transfers between accounts keep the total constant.

Each transfer inserts a write of the ledger in the same transaction: if the write is there, the
money has moved; if it is lost, the money has not. One statement that sums all accounts sees one
moment, and always the same total.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import closing

from harness.ledger.checker import Found
from harness.ledger.writers.postgres import Database, prepare, rows
from harness.ledger.writers.protocol import WriterSetup, seal

ACCOUNTS, EACH = 8, 100
_WRITERS = 3
_MOST = 10
_TABLE = "CREATE TABLE IF NOT EXISTS accounts (id int PRIMARY KEY, balance bigint NOT NULL)"
_OPEN = "INSERT INTO accounts SELECT id, %s FROM generate_series(1, %s) id ON CONFLICT DO NOTHING"
_MOVE = "UPDATE accounts SET balance = balance + %s WHERE id = %s"
_NOTE = "INSERT INTO writes VALUES (%s, %s, %s)"
_TOTAL = "SELECT coalesce(sum(balance), 0) FROM accounts"


class Bank:
    """Makes one transfer per write, between accounts drawn from its seed and number."""

    due = ACCOUNTS * EACH

    def __init__(self, stage: WriterSetup, number: int) -> None:
        self.name = f"bank/{number}"
        self._stage = stage
        self._database = Database(stage, number)
        self._counting = Database(stage, number)

    def send(self, seq: int) -> None:
        draw = random.Random(f"{self._stage.seed} {self.name} {seq}")
        giver, taker = draw.sample(range(1, ACCOUNTS + 1), 2)
        amount = draw.randint(1, _MOST)
        connection = self._database.connected()
        try:
            # Lock accounts in the order of their numbers: transfers cannot deadlock.
            for account in sorted((giver, taker)):
                connection.execute(_MOVE, (amount if account == taker else -amount, account))
            connection.execute(_NOTE, (self.name, seq, seal(self._stage.run, self.name, seq)))
            self._database.commit(connection)
        except BaseException:
            self._database.drop(connection)
            raise

    def read(self) -> Iterator[Found]:
        return rows(self._database, self._stage.run, "bank/%")

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


def writers(stage: WriterSetup) -> Sequence[Bank]:
    prepare(stage)
    with closing(Database(stage, 0)) as database:
        connection = database.connected()
        connection.execute(_TABLE)
        connection.execute(_OPEN, (EACH, ACCOUNTS))
        database.commit(connection)
    return [Bank(stage, number) for number in range(_WRITERS)]
