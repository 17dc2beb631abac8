"""Two streams of rows: their digests, and the rows in which they differ.

Rows with a key come in its order: two equal tables are two equal streams. Rows without one are
compared as a multiset: the sum of their SHA-256 modulo 2^256, in which duplicates do not cancel, as
they would with XOR.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence

from harness.core.parallel import begin
from harness.facts.databases import RowDifference, TableSide

# So many rows that differ are named.
FIRST = 20
_MODULUS = 1 << 256
# A row's key, and its columns.
Line = tuple[tuple[bytes, ...], bytes]


def digest_of(rows: Iterable[bytes | bytearray | memoryview], *, in_order: bool) -> TableSide:
    """The digest of all rows, and their number; with ``in_order``, of the rows as they come."""
    whole = hashlib.sha256()
    total = number = 0
    for row in rows:
        number += 1
        if in_order:
            whole.update(row)
        else:
            total += int.from_bytes(hashlib.sha256(row).digest(), "big")
    value = whole.hexdigest() if in_order else f"{total % _MODULUS:064x}"
    return TableSide(rows=number, sha256=value)


def both(
    source: Callable[[], TableSide], target: Callable[[], TableSide]
) -> tuple[TableSide, TableSide]:
    """The digests of both sides, read at the same time."""
    of_target = begin(target)
    try:
        of_source = source()
    finally:
        # The next table must not meet a connection that still reads this one.
        of_target.exception()
    return of_source, of_target.result()


def side_by_side(
    source: Iterator[Line], target: Iterator[Line]
) -> Iterator[tuple[tuple[bytes, ...], bytes | None, bytes | None]]:
    """The rows that are not on both sides alike; both must be in the order of their keys."""
    old, new = next(source, None), next(target, None)
    while old is not None or new is not None:
        if new is None or (old is not None and old[0] < new[0]):
            assert old is not None
            yield old[0], old[1], None
            old = next(source, None)
        elif old is None or new[0] < old[0]:
            yield new[0], None, new[1]
            new = next(target, None)
        else:
            if old[1] != new[1]:
                yield old[0], old[1], new[1]
            old, new = next(source, None), next(target, None)


def row_difference(
    key_columns: Sequence[str],
    key: Sequence[bytes],
    columns: Sequence[str],
    old: Sequence[object] | None,
    new: Sequence[object] | None,
) -> RowDifference:
    """A row that differs; its key's digest stands for values, which may be a customer's."""
    name = hashlib.sha256(b"\0".join(key)).hexdigest()[:12]
    if len(key_columns) == 1 and key[0].isdigit():
        name = f"{key_columns[0]} {key[0].decode()}"
    if old is None or new is None:
        return RowDifference(row=name, kind="added" if old is None else "missing", columns=())
    pairs = zip(columns, old, new, strict=True)
    return RowDifference(
        row=name, kind="changed", columns=tuple(column for column, a, b in pairs if a != b)
    )
