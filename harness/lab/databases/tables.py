"""Tables filled from a seed, and their rows as PostgreSQL's COPY takes them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from random import Random
from typing import TypeAlias
from uuid import UUID

Value: TypeAlias = str | int | float | bytes | UUID | datetime | None

HERE = Path(__file__).parent
# The first rows are of this moment; no row depends on today.
BEGIN = datetime(2025, 11, 1, tzinfo=UTC)
# Text that naive tools damage: accents, quotes, tabs, line ends, backslashes, nothing at all.
NAMES = ("Zoë Müller", "O'Brien & Søn", "tab\there", "two\nlines", "back\\slash", "漢字", "", None)
# What PostgreSQL's sequences are ahead of their columns: a rolled back insert takes numbers too.
GAP = 3


@dataclass(frozen=True)
class Draw:
    """The numbers that one table of one database is filled with."""

    seed: int
    place: str

    @cached_property
    def random(self) -> Random:
        return Random(f"{self.seed} {self.place}")

    def uuid(self, kind: str, number: int) -> UUID:
        """The identity of one object, the same in every table that names it."""
        return UUID(bytes=hashlib.sha256(f"{self.seed} {kind} {number}".encode()).digest()[:16])


def moment(number: int) -> datetime:
    """A time for a row: ten minutes after the row before, to the microsecond."""
    return BEGIN + timedelta(minutes=10 * (number % 50_000), microseconds=number % 1_000_000)


@dataclass(frozen=True)
class Table:
    """A table: its columns, and the row of each number from 1 on.

    ``rows`` is their number when it does not grow with the platform; ``counted`` is the column
    with a sequence.
    """

    name: str
    columns: str
    row: Callable[[Draw, int], Sequence[Value]]
    rows: int | None = None
    counted: str = ""


def schema(name: str) -> str:
    """The SQL file of that name beside this module."""
    return (HERE / f"{name}.sql").read_text(encoding="utf-8")


def copied(table: Table, draw: Draw, rows: int) -> Iterator[str]:
    """A table's rows for psql, line by line."""
    number = rows if table.rows is None else table.rows
    yield f"copy {table.name} ({table.columns}) from stdin;\n"
    for it in range(1, number + 1):
        yield "\t".join(map(_field, table.row(draw, it))) + "\n"
    yield "\\.\n"
    if table.counted:
        sequence = f"pg_get_serial_sequence('{table.name}', '{table.counted}')"
        yield f"select setval({sequence}, {number + GAP}) as {table.name}_go_on_after;\n"


def _field(value: Value) -> str:
    """A value in COPY's text format."""
    if value is None:
        return r"\N"
    if isinstance(value, bytes):
        return rf"\\x{value.hex()}"
    text = str(value)
    for plain, escaped in (("\\", r"\\"), ("\t", r"\t"), ("\n", r"\n"), ("\r", r"\r")):
        text = text.replace(plain, escaped)
    return text
