"""Two servers compared: rows, catalogue, sequences, indexes; no value of a row is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from pydantic import Tag

from harness.facts.schema import Fact, Item, OrUnknown, Unknown, by_key


@dataclass(frozen=True, slots=True)
class TableSide:
    """All rows of a table on one side."""

    rows: int
    sha256: str


@dataclass(frozen=True, slots=True)
class RowDifference:
    """A row that the target lacks, has beside, or has with other values in these columns."""

    row: str
    kind: Literal["missing", "added", "changed"]
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table on both sides; ``differing`` rows in all, of which ``first`` are named.

    ``mutated`` rows differ beside those, in what is declared to differ.
    """

    source: TableSide
    target: TableSide
    differing: int = 0
    first: tuple[RowDifference, ...] = ()
    mutated: int = 0


@dataclass(frozen=True, slots=True)
class Definition:
    """An object of the catalogue on both sides; None where there is none."""

    object: str
    source: str | None
    target: str | None


@dataclass(frozen=True, slots=True)
class Sequence:
    """The last values (None: never used), and the greatest value of the target's column.

    Of AUTO_INCREMENT, the last value is the next one less one. One that is ``descending`` has the
    least value of the column.
    """

    source: int | None
    target: int | None
    column: int | None
    descending: bool = False

    @property
    def expected(self) -> int | None:
        """What the target must have reached; None: nothing."""
        reached = [it for it in (self.source, self.column) if it is not None]
        return (min if self.descending else max)(reached, default=None)

    @property
    def is_behind(self) -> bool:
        """True if the target gives a number next that was given before."""
        if self.expected is None or self.target is None:
            return self.expected is not None
        ahead = self.target - self.expected
        return ahead > 0 if self.descending else ahead < 0


@dataclass(frozen=True, slots=True)
class Database:
    """One database on both sides, each at one moment.

    ``uncompared`` are objects whose text differs between the two versions of the server anyway.
    ``source_wrote``: the source was written to while it was compared. ``unsound`` are indexes of
    the target that do not fit their table, or tables of a MariaDB, with what the server said.
    """

    tables: Mapping[str, OrUnknown[Table]]
    catalogue: Item[tuple[Definition, ...]]
    objects: int
    sequences: Item[Mapping[str, Sequence]]
    unsound: Item[Mapping[str, str]]
    source_wrote: bool
    uncompared: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OnlyOn:
    """A database that one side alone has."""

    only_on: Literal["source", "target"]


Compared: TypeAlias = Annotated[
    Annotated[Database, Tag("<>")]
    | Annotated[OnlyOn, Tag("<only_on>")]
    | Annotated[Unknown, Tag("<error>")],
    by_key("error", "only_on"),
]

DATABASES = Fact("databases", dict[str, Compared])
