"""Compares databases of two servers, each at one moment, several tables at a time."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from functools import partial
from types import MappingProxyType

from harness.backup.equality import catalogue, indexes
from harness.backup.equality.session import Connection, Moment, Server, identity, moment, names
from harness.backup.equality.streams import both
from harness.backup.equality.tables import Mutation, Table, differences, digest, tables
from harness.core.errors import HarnessError, NotProven
from harness.core.parallel import in_each
from harness.facts import databases as facts
from harness.facts.schema import Item, OrUnknown, Unknown, attempt

Tell = Callable[[str], object]


def compared(
    source: Server,
    target: Server,
    databases: Collection[str] = (),
    *,
    at_once: int = 2,
    tell: Tell = lambda _: None,
) -> dict[str, facts.Compared]:
    """Each database on both sides, one after the other; ``at_once`` tables at a time.

    Without names, every database that either side has. Raises Unreachable or NotProven when a side
    cannot be asked for its databases, or both are one server, which would always be equal.
    """
    if identity(source) == identity(target):
        raise NotProven(
            "source and target are the same PostgreSQL", remedy="correct `equality:` in the profile"
        )

    def compare(name: str) -> facts.Database:
        with moment(source, name) as old, moment(target, name) as new:
            return database(old, new, at_once=at_once, tell=tell)

    return each_database(databases, names(source), names(target), compare)


def each_database(
    asked: Collection[str],
    source: Collection[str],
    target: Collection[str],
    compare: Callable[[str], facts.Database],
) -> dict[str, facts.Compared]:
    """Each database that was asked for, or that either side has, one after the other.

    One that cannot be compared hides no other.
    """
    found: dict[str, facts.Compared] = {}
    for name in sorted(asked or {*source, *target}):
        if (name in source) != (name in target):
            found[name] = facts.OnlyOn("source" if name in source else "target")
            continue
        try:
            found[name] = compare(name)
        except HarnessError as error:
            found[name] = Unknown(str(error))
    return found


def database(
    old: Moment,
    new: Moment,
    *,
    at_once: int = 2,
    tell: Tell = lambda _: None,
    mutations: Mapping[str, Mutation] = MappingProxyType({}),
) -> facts.Database:
    """Two databases, which may have different names; ``mutations`` are declared, by table."""
    here, there = tables(old.first), tables(new.first)
    both_have = {it: here[it] for it in here.keys() & there.keys()}
    compared = _tables(old, new, both_have, at_once, tell, mutations)
    read = partial(
        catalogue.catalogue, common=min(old.major, new.major), salt=secrets.token_bytes(16)
    )
    before, views = read(old.first), catalogue.views(old.first)
    alike = old.major == new.major

    def unequal() -> tuple[facts.Definition, ...]:
        now = read(new.first)
        if not alike:
            return catalogue.compare(before, now)
        return catalogue.compare(before | views, now | catalogue.views(new.first))

    return facts.Database(
        tables=compared,
        catalogue=attempt(unequal),
        objects=len(before) + (len(views) if alike else 0),
        uncompared=() if alike else tuple(views),
        sequences=attempt(lambda: catalogue.sequences(catalogue.last_values(old.first), new.first)),
        unsound=_unsound(new, tell),
        source_wrote=old.wrote_since(),
    )


def _unsound(new: Moment, tell: Tell) -> Item[Mapping[str, str]]:
    tell(f"{new.database}: looking up every row in every index of the target")
    return attempt(lambda: indexes.unsound(new.first))


def _tables(
    old: Moment,
    new: Moment,
    both_have: Mapping[str, Table],
    at_once: int,
    tell: Tell,
    mutations: Mapping[str, Mutation],
) -> dict[str, OrUnknown[facts.Table]]:
    """The tables that both sides have, the largest first, on ``at_once`` pairs of connections."""
    with ExitStack() as held:
        pairs = [
            (held.enter_context(old.another()), held.enter_context(new.another()))
            for _ in range(min(at_once, len(both_have)) or 1)
        ]
        lock = threading.Lock()

        def compare(name: str) -> facts.Table:
            with lock:
                pair = pairs.pop()
            try:
                tell(f"{old.database}: {name}, {both_have[name].bytes / 1e6:.0f} MB")
                return _table(*pair, both_have[name], mutations.get(name))
            finally:
                with lock:
                    pairs.append(pair)

        largest_first = sorted(both_have, key=lambda it: (-both_have[it].bytes, it))
        found = in_each(largest_first, compare, at_once=len(pairs))
    return {
        name: it if isinstance(it, facts.Table) else Unknown(str(it))
        for name, it in sorted(found.items())
    }


def _table(
    source: Connection, target: Connection, table: Table, mutation: Mutation | None
) -> facts.Table:
    before, now = both(lambda: digest(source, table), lambda: digest(target, table))
    if before == now:
        return facts.Table(before, now)
    number, first = differences(source, target, table)
    if mutation is None:
        return facts.Table(before, now, differing=number, first=tuple(first))
    beside, first = differences(source, target, table.beside(mutation))
    mutated = number - beside
    return facts.Table(before, now, differing=beside, first=tuple(first), mutated=mutated)
