"""A stream of changes from one PostgreSQL to another: a publication, a subscription, and its slot.

A slot without its subscription keeps the server's log until its disk is full, so whatever makes a
stream also removes it: ``remove`` needs no record of what was made.

The stream back carries only heartbeats until it is turned round. Rows that the stream there brings
would otherwise come back, and PostgreSQL before version 16 cannot tell them apart.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from psycopg import sql

from harness.core.errors import HarnessError, NotProven, TimedOut
from harness.core.waiting import until
from harness.move.side import ADMIN, SCHEMA, Side

_PREFIX = "cutover_"
_SLOT_LENGTH = 63
_RELEASED_WITHIN_S = 15.0
# Views and foreign tables hold no rows; the leaves of a partitioned table hold its rows.
_TABLES = """
select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = relnamespace
where relkind = 'r' and relpersistence = 'p' and n.nspname <> 'information_schema'
and n.nspname not like 'pg\\_%' order by 1, 2
"""
_SUBSCRIBE = """
create subscription {name} connection {conninfo} publication {name}
with (slot_name = {slot}, copy_data = {copies}, synchronous_commit = 'on')
"""
_SUBSCRIPTIONS = r"""
select subname from pg_subscription where subname like 'cutover\_%'
and subdbid = (select oid from pg_database where datname = current_database())
"""
_COPYING = """
select count(*) from pg_subscription s join pg_subscription_rel r on r.srsubid = s.oid
where subname = %s and srsubstate <> 'r'
"""
_REACHED = """
select confirmed_flush_lsn >= %s::pg_lsn from pg_replication_slots where slot_name = %s
"""
_SLOTS = """
select slot_name, active_pid from pg_replication_slots
where slot_type = 'logical' and database = %s and slot_name ~ '^(cutover|pg_[0-9]+_sync)_'
"""
# Each setting that limits streams, and how many of its places are taken. Parallel workers come and
# go. Before PostgreSQL 18, `max_replication_slots` limits the streams that arrive, too.
_PLACES = """
with active as (select backend_type as kind from pg_stat_activity),
arriving as (select count(*) as number from pg_replication_origin_status),
taken (name, number) as (
  select 'max_wal_senders', count(*) from active where kind = 'walsender'
  union all select 'max_replication_slots', greatest(
    (select count(*) from pg_replication_slots),
    (select number from arriving where current_setting('server_version_num')::int < 180000))
  union all select 'max_active_replication_origins', number from arriving
  union all select 'max_logical_replication_workers', count(*) from active
    where kind like 'logical replication %worker'
  union all select 'max_worker_processes', count(*) from active where kind not in (
    'archiver', 'autovacuum launcher', 'autovacuum worker', 'background writer', 'checkpointer',
    'client backend', 'io worker', 'logger', 'parallel worker', 'slotsync worker', 'startup',
    'walreceiver', 'walsender', 'walsummarizer', 'walwriter')
)
select name, setting::int, number::int from taken join pg_settings using (name) order by name
"""
# One for the stream, and one for the copy of a table.
NEEDS = 2


@dataclass(frozen=True, kw_only=True)
class Stream:
    """The changes of a database, from one side to the other, under one name."""

    name: str
    database: str
    origin: Side
    goal: Side

    @property
    def slot(self) -> str:
        """The name of its slot, which is the server's and not the database's."""
        plain = re.sub("[^a-z0-9_]", "_", self.database.lower())
        if plain == self.database:
            return f"{self.name}_{plain}"[:_SLOT_LENGTH]
        told = hashlib.sha256(self.database.encode()).hexdigest()[:8]
        return f"{self.name}_{plain}"[: _SLOT_LENGTH - 9] + f"_{told}"

    def make(self, tables: Sequence[tuple[str, str]], *, copies: bool) -> None:
        """Begin to carry the changes of these tables; ``copies``: and the rows that are there."""
        listed = sql.SQL(", ").join(sql.Identifier(*it) for it in tables)
        publish = sql.SQL("create publication {} for table {}")
        self.origin.run(self.database, publish.format(sql.Identifier(self.name), listed))
        subscribe = sql.SQL(_SUBSCRIBE).format(
            name=sql.Identifier(self.name),
            conninfo=sql.Literal(self.origin.conninfo(self.database)),
            slot=sql.Literal(self.slot),
            copies=sql.Literal(copies),
        )
        self.goal.run(self.database, subscribe)

    def widen(self, tables: Sequence[tuple[str, str]]) -> None:
        """From now on carry the changes of these tables; earlier changes of them are left out."""
        listed = sql.SQL(", ").join(sql.Identifier(*it) for it in tables)
        publish = sql.SQL("alter publication {} set table {}")
        self.origin.run(self.database, publish.format(sql.Identifier(self.name), listed))
        refresh = "alter subscription {name} refresh publication with (copy_data = false)"
        self.goal.ask(self.database, refresh, name=self.name)

    def stop(self) -> None:
        """Apply no more changes."""
        self.goal.ask(self.database, "alter subscription {name} disable", name=self.name)

    def has_copied(self) -> bool:
        """True once the rows that were there at the beginning are copied."""
        ((left,),) = self.goal.ask(self.database, _COPYING, [self.name])
        return bool(left == 0)

    def position(self) -> str:
        """The position of the origin's log at this moment."""
        ((lsn,),) = self.origin.ask(self.database, "select pg_current_wal_flush_lsn()::text")
        return str(lsn)

    def has_reached(self, position: str) -> bool:
        """True once the goal has stored all changes before it; NotProven without a slot."""
        found = self.origin.ask(self.database, _REACHED, [position, self.slot])
        if not found:
            raise NotProven(f"{self.origin.name} has no slot {self.slot} any more")
        return bool(found[0][0])


def tables(side: Side, database: str, *, without: str = "") -> list[tuple[str, str]]:
    """Every table of a database that has rows of its own, with its schema.

    ``without`` is a table of the harness that another stream carries: carried by both, its rows
    would come back.
    """
    found = [(schema, name) for schema, name in side.ask(database, _TABLES)]
    return [it for it in found if it != (SCHEMA, without)]


def lacking(side: Side) -> list[str]:
    """The settings of a side that leave too few places for the streams of a switch, in words."""
    return [
        f"{setting} = {most}, of which {taken} are taken"
        for setting, most, taken in side.ask(ADMIN, _PLACES)
        if most - taken < NEEDS
    ]


def slots(side: Side, database: str) -> list[tuple[str, int | None]]:
    """The slots of this harness for a database, each with the process that reads from it."""
    return [(name, pid) for name, pid in side.ask(ADMIN, _SLOTS, [database])]


def removed(sides: Sequence[Side], database: str) -> Iterator[HarnessError]:
    """Remove every stream of this harness in a database on both sides; what did not work."""
    for work in (_remove_subscriptions, _remove_slots, _remove_publications):
        for side in sides:
            try:
                if database in side.databases():
                    work(side, database)
            except HarnessError as error:
                yield error


def _remove_subscriptions(side: Side, database: str) -> None:
    """Remove subscriptions without their slots: the other side may not answer."""
    for (name,) in side.ask(database, _SUBSCRIPTIONS):
        side.ask(database, "alter subscription {name} disable", name=name)
        side.ask(database, "alter subscription {name} set (slot_name = none)", name=name)
        side.ask(database, "drop subscription {name}", name=name)


def _remove_slots(side: Side, database: str) -> None:
    def gone() -> bool:
        there = slots(side, database)
        for name, pid in there:
            if pid is not None:
                side.ask(ADMIN, "select pg_terminate_backend(%s)", [pid])
            else:
                side.ask(ADMIN, "select pg_drop_replication_slot(%s)", [name])
        return not there

    try:
        until(gone, within_s=_RELEASED_WITHIN_S, every_s=0.1, what="the slots are removed")
    except TimedOut as error:
        raise NotProven(f"{side.name}: {error}", remedy="drop them: they fill its disk") from error


def _remove_publications(side: Side, database: str) -> None:
    listed = "select pubname from pg_publication where pubname like 'cutover\\_%'"
    for (name,) in side.ask(database, listed):
        side.ask(database, "drop publication {name}", name=name)
