"""The rows of a query as MariaDB sends them.

PyMySQL makes a tuple of each row, which takes five times as long as all the rest of a digest.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BufferedReader
from typing import Protocol, cast

from pymysql.connections import MySQLResult
from pymysql.cursors import SSCursor

from harness.backup.equality.mariadb.session import Connection, asking

# Three bytes of a packet's length, and one of its number (MariaDB, "0 - Packet").
_HEADER = 4
# The first byte of the packet that ends the rows, or of a value above 16 MiB; and of an error.
_NOT_PLAIN = (0xFE, 0xFF)


class _Packet(Protocol):
    def is_eof_packet(self) -> bool: ...
    def get_all_data(self) -> bytes: ...


class Wire(Protocol):
    """Parts of a connection that PyMySQL keeps to itself."""

    # What the server has sent, the number that its next packet must have, and the result in work.
    _rfile: BufferedReader
    _next_seq_id: int
    _result: MySQLResult

    def _read_packet(self) -> _Packet: ...


def raw_rows(connection: Connection, query: str) -> Iterator[bytes | memoryview]:
    """The rows as they come, each value after its length, NULL as one byte.

    Two different rows with as many columns are never the same bytes. Raises NotProven or
    Unreachable.
    """
    with asking(query[:80]), connection.cursor(SSCursor) as cursor:
        cursor.execute(query)
        wire = cast(Wire, connection)
        while True:
            yield from whole_rows(wire)
            # A row of which a part has come, or of several packets; the end; or an error.
            packet = wire._read_packet()
            if packet.is_eof_packet():
                wire._result.unbuffered_active = False
                return
            yield packet.get_all_data()


def whole_rows(wire: Wire) -> Iterator[memoryview]:
    """The rows at the beginning of the reader's buffer, up to the first that is not whole there."""
    came = wire._rfile.peek()
    view, at, number = memoryview(came), 0, 0
    while at + _HEADER < len(came) and came[at + _HEADER] not in _NOT_PLAIN:
        begin = at + _HEADER
        end = begin + int.from_bytes(came[at : at + 3], "little")
        if end > len(came):
            break
        yield view[begin:end]
        at, number = end, number + 1
    wire._rfile.read(at)
    wire._next_seq_id = (wire._next_seq_id + number) % 256
