"""A bank in the platform's own PostgreSQL, in a database of its own: what a customer would lose.

The database has the ledger's name, and is dropped at the end. A ledger that was killed leaves it
behind; the next ledger drops it. Only one writes at a time, under the disruption lock.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

import psycopg

from harness.core.errors import NeverSent, NotProven
from harness.ledger.writers.postgres import BANK_WRITERS, Bank, Database, awaited, open_bank
from harness.ledger.writers.protocol import DatabasePlace, WriterSetup

# Every database of a ledger is named so, after its namespace, and no other.
_EVERY = "SELECT datname FROM pg_database WHERE datname ~ '^cutover_ledger_[0-9a-f]+$'"


class Primary(Bank):
    """A writer of the bank; the last one drops the database when it closes."""

    def __init__(self, setup: WriterSetup, number: int, place: DatabasePlace) -> None:
        super().__init__(setup, number, lambda: place, kind="primary")
        is_last = number == BANK_WRITERS - 1
        self._drops = _administration(setup, place) if is_last else None
        self._name = place.name

    def close(self) -> None:
        super().close()
        if self._drops is None:
            return
        # What cannot be dropped now is dropped by the next ledger.
        with closing(self._drops), contextlib.suppress(psycopg.Error, NeverSent):
            _drop(self._drops, self._name)


def _administration(setup: WriterSetup, place: DatabasePlace) -> Database:
    return Database(setup, 0, lambda: replace(place, name="postgres"))


def _drop(database: Database, name: str) -> None:
    connection = database.connected()
    connection.autocommit = True
    connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def of_primary(setup: WriterSetup) -> Sequence[Primary]:
    """The writers, with their database; NotProven when the profile does not say where.

    NeverSent when no machine reaches it in time.
    """
    place = setup.primary
    if place is None:
        raise NotProven(
            "the profile does not say where the platform's PostgreSQL takes writes",
            remedy="declare `postgres: primary:`",
        )
    with closing(_administration(setup, place)) as database:
        connection = awaited(database)
        connection.autocommit = True
        there = {name for (name,) in connection.execute(_EVERY).fetchall()}
        for name in sorted(there - {place.name}):
            _drop(database, name)
        if place.name not in there:
            connection.execute(f"CREATE DATABASE {place.name}")
    open_bank(setup, place)
    return [Primary(setup, number, place) for number in range(BANK_WRITERS)]
