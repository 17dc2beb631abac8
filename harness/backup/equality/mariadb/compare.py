"""Compares databases of two MariaDB, each at one moment, one table after the other."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from functools import partial

from harness.backup.equality.catalogue import compare
from harness.backup.equality.compare import Tell, each_database
from harness.backup.equality.mariadb import catalogue
from harness.backup.equality.mariadb.session import Moment, Server, is_one_server, moment, names
from harness.backup.equality.mariadb.tables import Table, differences, digest, tables
from harness.backup.equality.streams import both
from harness.core.errors import NotProven
from harness.facts import databases as facts
from harness.facts.schema import Known, OrUnknown, Unknown, attempt


def compared(
    source: Server,
    target: Server,
    databases: Collection[str] = (),
    *,
    tell: Tell = lambda _: None,
) -> dict[str, facts.Compared]:
    """Each database on both sides; without names, every one that either side has.

    Raises Unreachable or NotProven when a side cannot be asked for its databases, or both are one
    server, which would always be equal.
    """
    if is_one_server(source, target):
        raise NotProven(
            "source and target are the same MariaDB", remedy="correct `equality:` in the profile"
        )

    def compare_one(name: str) -> facts.Database:
        with moment(source, name) as old, moment(target, name) as new:
            return _database(old, new, tell)

    return each_database(databases, names(source), names(target), compare_one)


def _database(old: Moment, new: Moment, tell: Tell) -> facts.Database:
    source, target = old.connection, new.connection
    compared = _tables(old, new, tell)
    salt = secrets.token_bytes(16)
    before, views = catalogue.catalogue(source, salt), catalogue.views(source)
    alike = old.major == new.major

    def unequal() -> tuple[facts.Definition, ...]:
        now = catalogue.catalogue(target, salt)
        if not alike:
            return compare(before, now)
        return compare(before | views, now | catalogue.views(target))

    def unsound() -> dict[str, str]:
        tell(f"{new.database}: checking every table of the target")
        with new.server.connect(new.database) as another:
            return catalogue.unsound(another)

    return facts.Database(
        tables=compared,
        catalogue=attempt(unequal),
        objects=len(before) + (len(views) if alike else 0),
        uncompared=() if alike else tuple(views),
        sequences=attempt(lambda: catalogue.counters(source, target)),
        unsound=attempt(unsound),
        source_wrote=old.wrote_since(),
    )


def _tables(old: Moment, new: Moment, tell: Tell) -> dict[str, OrUnknown[facts.Table]]:
    """The tables that both sides have: a snapshot of MariaDB is of one connection."""
    here, there = tables(old.connection), tables(new.connection)
    found: dict[str, OrUnknown[facts.Table]] = {}
    for name in here.keys() & there.keys():
        table, doubt = here[name], here[name].doubt or there[name].doubt
        if doubt:
            found[name] = Unknown(doubt)
            continue
        tell(f"{old.database}: {name}, {table.bytes / 1e6:.0f} MB")
        one = attempt(partial(_table, old, new, table))
        found[name] = one.value if isinstance(one, Known) else one
    return dict(sorted(found.items()))


def _table(old: Moment, new: Moment, table: Table) -> facts.Table:
    source, target = old.connection, new.connection
    before, now = both(lambda: digest(source, table), lambda: digest(target, table))
    if before == now:
        return facts.Table(before, now)
    number, first = differences(source, target, table)
    return facts.Table(before, now, differing=number, first=tuple(first))
