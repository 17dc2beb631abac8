"""The rows of one table on both sides: equal by digest, or the first rows that differ.

A table with a key is read in the key's order, so that two equal tables are two equal streams; one
without a key is a multiset (``streams``). Rows are PostgreSQL's own COPY text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from psycopg import Copy, sql

from harness.backup.equality.session import Connection, asking, rows
from harness.backup.equality.streams import (
    FIRST,
    Line,
    digest_of,
    row_difference,
    side_by_side,
)
from harness.facts.databases import RowDifference, TableSide

# Text keys sort by bytes on both sides: collations of two C libraries differ.
_C = sql.SQL(' COLLATE pg_catalog."C"')
# A table of an extension comes with it, but for the rows that it names for dumps.
_TABLES = """
select n.nspname, c.relname,
  array(
    select a.attname::text from pg_attribute a
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped order by a.attnum
  ),
  coalesce((
    select array(
      select a.attname::text from unnest(i.indkey[0:i.indnkeyatts - 1]) with ordinality k(n, at)
      join pg_attribute a on a.attrelid = c.oid and a.attnum = k.n order by k.at
    )
    from pg_index i
    where i.indrelid = c.oid and i.indisunique and i.indisvalid and i.indimmediate
      and i.indpred is null and i.indexprs is null
      and not exists (
        select from pg_attribute a where a.attrelid = c.oid
        and a.attnum = any(i.indkey[0:i.indnkeyatts - 1]) and not a.attnotnull
      )
    order by i.indisprimary desc, i.indnkeyatts, i.indexrelid::regclass::text limit 1
  ), '{}'),
  array(
    select a.attname::text from pg_attribute a
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attcollation <> 0
  ),
  pg_table_size(c.oid), coalesce(e.dumped, '')
from pg_class c join pg_namespace n on n.oid = c.relnamespace
left join lateral (
  select extname, x.extcondition[array_position(x.extconfig, c.oid)] as dumped
  from pg_depend d join pg_extension x on x.oid = d.refobjid
  where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
) e on true
where c.relkind in ('r', 'm') and c.relpersistence <> 't' and c.relispopulated
  and (e.extname is null or e.dumped is not null)
  and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname not like 'pg\\_toast%'
order by 1, 2
"""


_WHERE = re.compile(r"^\s*where\b\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Mutation:
    """What may differ in a table: rows that meet an SQL condition, and these columns of others."""

    rows: str = "false"
    columns: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Table:
    """A table, or a materialized view; ``key`` is empty without one, ``bytes`` its size.

    Rows that meet the SQL condition ``but`` are left out.
    """

    schema: str
    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    collated: frozenset[str]
    bytes: int
    but: str = "false"

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def _from(self) -> sql.Composable:
        # ONLY: partitions and inheriting tables are tables of their own here.
        name = sql.Identifier(self.schema, self.name)
        but = sql.SQL(self.but)
        return sql.SQL("FROM ONLY {} WHERE ({}) IS NOT TRUE").format(name, but)

    def beside(self, mutation: Mutation) -> Table:
        """The table without what may differ in it."""
        columns = tuple(it for it in self.columns if it not in mutation.columns)
        return replace(self, columns=columns, but=f"({self.but}) or ({mutation.rows})")

    def in_order(self) -> sql.Composed:
        """COPY of all rows, in the order of the key where there is one."""
        columns = sql.SQL(", ").join(map(sql.Identifier, self.columns))
        order: sql.Composable = sql.SQL("")
        if self.key:
            by = [
                sql.Identifier(it) + (_C if it in self.collated else sql.SQL("")) for it in self.key
            ]
            order = sql.SQL(" ORDER BY {}").format(sql.SQL(", ").join(by))
        return sql.SQL("COPY (SELECT {} {}{}) TO STDOUT").format(columns, self._from, order)

    def by_text(self) -> sql.Composed:
        """COPY with the key's text first, or the row's own, in the order of that text's bytes."""
        columns = sql.SQL(", ").join(map(sql.Identifier, self.columns))
        keys: list[sql.Composable] = [
            sql.SQL("{}::pg_catalog.text").format(sql.Identifier(it)) for it in self.key
        ] or [sql.SQL("ROW({})::pg_catalog.text").format(columns)]
        order = sql.SQL(", ").join(it + _C for it in keys)
        return sql.SQL("COPY (SELECT {}, {} {} ORDER BY {}) TO STDOUT").format(
            sql.SQL(", ").join(keys), columns, self._from, order
        )


# The contents of large objects; only a superuser may read them.
_LARGE_OBJECTS = Table(
    schema="pg_catalog",
    name="pg_largeobject",
    columns=("loid", "pageno", "data"),
    key=("loid", "pageno"),
    collated=frozenset(),
    bytes=0,
)


def tables(connection: Connection) -> dict[str, Table]:
    """Every table of a database that is not PostgreSQL's own, by its name."""
    found = (
        Table(schema, name, tuple(columns), tuple(key), frozenset(collated), size, _but(dumped))
        for schema, name, columns, key, collated, size, dumped in rows(connection, _TABLES)
    )
    return {str(it): it for it in (*found, _LARGE_OBJECTS)}


def _but(dumped: str) -> str:
    """The rows that an extension's clause (``WHERE …``) leaves out of dumps."""
    condition = _WHERE.sub("", dumped)
    return f"({condition}) is not true" if condition else "false"


def digest(connection: Connection, table: Table) -> TableSide:
    """The digest of all rows, and their number; NotProven or Unreachable if it cannot be read."""
    with _copied(connection, table, table.in_order()) as copy:
        # The server sends one message per row (PostgreSQL, "COPY Operations" of the protocol).
        return digest_of(copy, in_order=bool(table.key))


@contextmanager
def _copied(connection: Connection, table: Table, query: sql.Composed) -> Iterator[Copy]:
    with (
        asking(connection, str(table)),
        connection.cursor() as cursor,
        cursor.copy(query) as copy,
    ):
        yield copy


def differences(
    source: Connection, target: Connection, table: Table
) -> tuple[int, list[RowDifference]]:
    """How many rows differ, and the first of them: by key, with their columns, without values."""
    width = max(1, len(table.key))
    # A text of digits may be a customer's number.
    shown = () if table.collated.intersection(table.key) else table.key
    number = 0
    first: list[RowDifference] = []
    for key, old, new in side_by_side(_lines(source, table, width), _lines(target, table, width)):
        number += 1
        if len(first) < FIRST:
            sides = (None if it is None else it.split(b"\t") for it in (old, new))
            first.append(row_difference(shown, key, table.columns, *sides))
    return number, first


def _lines(connection: Connection, table: Table, width: int) -> Iterator[Line]:
    """Each row's key, as plain bytes, and its columns, as COPY writes them."""
    with _copied(connection, table, table.by_text()) as copy:
        for row in copy:
            *keys, columns = bytes(row).rstrip(b"\n").split(b"\t", width)
            yield tuple(map(unescaped, keys)), columns


_ESCAPES = {
    b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v", b"\\": b"\\",
}  # fmt: skip


def unescaped(field: bytes) -> bytes:
    """A field of COPY's text format as plain bytes (PostgreSQL, "COPY", "File Formats")."""
    first, *others = field.split(b"\\")
    plain = [first]
    after_backslash = False
    for part in others:
        if after_backslash:
            # The part before was empty: two backslashes stand for one.
            plain.append(part)
            after_backslash = False
        elif not part:
            plain.append(b"\\")
            after_backslash = True
        else:
            plain.append(_ESCAPES.get(part[:1], part[:1]) + part[1:])
    return b"".join(plain)
