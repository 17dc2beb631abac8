"""The rows of one table on both sides: equal by digest, or the first rows that differ.

As with PostgreSQL, a table with a key is one stream in the key's order, and a table without one is
a multiset. Values are MariaDB's own text in UTF-8, each with its length before it, so that two
different rows are never the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.backup.equality.mariadb.session import Connection, Row, quoted, rows, stream
from harness.backup.equality.mariadb.wire import raw_rows
from harness.backup.equality.streams import (
    FIRST,
    Line,
    digest_of,
    row_difference,
    side_by_side,
)
from harness.facts.databases import RowDifference, TableSide

_TABLES = """
select table_name, table_type, engine, data_length from information_schema.tables
where table_schema = database() and table_type not in ('VIEW', 'SEQUENCE')
order by data_length desc, table_name
"""
_COLUMNS = """
select table_name, column_name, data_type, character_set_name from information_schema.columns
where table_schema = database() order by table_name, ordinal_position
"""
# A prefix of a column, a column with NULL and a hash do not give each row a place of its own.
_KEYS = """
select table_name, index_name, group_concat(column_name order by seq_in_index separator '\\0')
from information_schema.statistics where table_schema = database() and non_unique = 0
group by table_name, index_name
having sum(sub_part is not null or nullable = 'YES' or index_type <> 'BTREE') = 0
order by table_name, index_name <> 'PRIMARY', count(*), index_name
"""


@dataclass(frozen=True, slots=True)
class Column:
    """A column; ``is_text`` if it has a character set."""

    name: str
    type: str
    is_text: bool

    @property
    def exact(self) -> str:
        """The expression that gives every digit: MariaDB writes six of a FLOAT."""
        name = quoted(self.name)
        return f"cast({name} as double)" if self.type == "float" else name

    @property
    def as_bytes(self) -> str:
        """The expression that sorts by bytes, whatever the collation."""
        if self.is_text:
            return f"cast(convert({quoted(self.name)} using utf8mb4) as binary)"
        return f"cast({self.exact} as binary)"


@dataclass(frozen=True, slots=True)
class Table:
    """A table; ``key`` is empty without one, ``bytes`` its size.

    ``doubt`` says why its rows cannot be compared.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[Column, ...]
    bytes: int
    doubt: str = ""

    def in_order(self) -> str:
        """All rows, in the order of the key where there is one."""
        order = [it.as_bytes if it.is_text else quoted(it.name) for it in self.key]
        return self._select([], order)

    def by_bytes(self) -> str:
        """The key's bytes first, or a digest of the row, and all rows in the order of these."""
        first = [it.as_bytes for it in self.key] or [self._digest()]
        return self._select(first, first)

    def _select(self, first: Sequence[str], order: Sequence[str]) -> str:
        what = ", ".join([*first, *(it.exact for it in self.columns)])
        by = f" order by {', '.join(order)}" if order else ""
        return f"select {what} from {quoted(self.name)}{by}"

    def _digest(self) -> str:
        each = (f"ifnull(sha2({it.as_bytes}, 256), '-')" for it in self.columns)
        return f"sha2(concat({', '.join(each)}), 256)"


def tables(connection: Connection) -> dict[str, Table]:
    """Every table of the connection's database, by its name, the largest first."""
    columns: dict[str | None, dict[str, Column]] = {}
    for table, name, kind, charset in rows(connection, _COLUMNS):
        column = Column(str(name), str(kind), charset is not None)
        columns.setdefault(table, {})[column.name] = column
    keys: dict[str | None, tuple[Column, ...]] = {}
    for table, _, names in rows(connection, _KEYS):
        keys.setdefault(table, tuple(columns[table][it] for it in str(names).split("\0")))
    return {
        str(name): Table(
            str(name),
            tuple(columns[name].values()),
            keys.get(name, ()),
            int(size or 0),
            _doubt(str(kind), str(engine)),
        )
        for name, kind, engine, size in rows(connection, _TABLES)
    }


def _doubt(kind: str, engine: str) -> str:
    if kind == "SYSTEM VERSIONED":
        return "a system-versioned table also holds its past, which is not compared"
    if engine != "InnoDB":
        return (
            f"its engine {engine} keeps no snapshot, so its rows are of no one moment: "
            "give it `engine=InnoDB`, or compare it by hand"
        )
    return ""


def digest(connection: Connection, table: Table) -> TableSide:
    """The digest of all rows, and their number; NotProven or Unreachable if it cannot be read."""
    return digest_of(raw_rows(connection, table.in_order()), in_order=bool(table.key))


def differences(
    source: Connection, target: Connection, table: Table
) -> tuple[int, list[RowDifference]]:
    """How many rows differ, and the first of them: by key, with their columns, without values."""
    # A text of digits may be a customer's number.
    shown = [] if any(it.is_text for it in table.key) else [it.name for it in table.key]
    number = 0
    first: list[RowDifference] = []
    for key, old, new in side_by_side(_lines(source, table), _lines(target, table)):
        number += 1
        if len(first) < FIRST:
            first.append(
                row_difference(
                    shown,
                    key,
                    [it.name for it in table.columns],
                    None if old is None else unpacked(old),
                    None if new is None else unpacked(new),
                )
            )
    return number, first


def _lines(connection: Connection, table: Table) -> Iterator[Line]:
    """Each row's key, as it is sorted, and its columns."""
    width = max(1, len(table.key))
    for row in stream(connection, table.by_bytes()):
        yield tuple(it or b"" for it in row[:width]), packed(row[width:])


def packed(row: Row) -> bytes:
    """A row as bytes: each value after its length, NULL as a dash."""
    return b"".join(b"-" if it is None else b"%d:%b" % (len(it), it) for it in row)


def unpacked(line: bytes) -> Row:
    """The row of these bytes."""
    found: list[bytes | None] = []
    at = 0
    while at < len(line):
        if line[at : at + 1] == b"-":
            found.append(None)
            at += 1
            continue
        colon = line.index(b":", at)
        end = colon + 1 + int(line[at:colon])
        found.append(line[colon + 1 : end])
        at = end
    return tuple(found)
