"""Reads a plain dump of PostgreSQL line by line, without restoring it.

A dump that is cut between two statements restores with exit status 0: only its last lines show that
it is whole. Part of scripts that are sent to machines: standard library of Python 3.8 only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import IO, NamedTuple, Protocol

# A longer line is read to its end, and only its beginning is looked at.
LONGEST_LINE = 64 << 20
_BEGINS = b"-- PostgreSQL database dump"
_ENDS = b"-- PostgreSQL database dump complete"
_ANNOUNCES = b"-- Data for Name: "
_COPY = re.compile(rb"COPY (?:[^ ]+\.)?([^ .]+) \((.*)\) FROM stdin;")
_FIRST_LINES = 10


class Tell(Protocol):
    """Is told a kind of fault, and what was seen."""

    def __call__(self, kind: str, says: str) -> object: ...


class Dump(NamedTuple):
    """``attachments`` are the files that rows of Odoo's ir_attachment name, as ``ab/abcd…``."""

    tables: int
    rows: int
    attachments: set[bytes]
    holds: bool


class _Copying:
    """The rows of one table."""

    def __init__(self, line: bytes) -> None:
        found = _COPY.match(line)
        self.table = found[1].decode("utf-8", "replace") if found else "a table"
        columns = [it.strip(b' "') for it in found[2].split(b",")] if found else []
        is_attachments = self.table == "ir_attachment" and b"store_fname" in columns
        self.file_at = columns.index(b"store_fname") if is_attachments else None

    def file(self, row: bytes) -> bytes | None:
        """The file of a row of ir_attachment; None without one."""
        if self.file_at is None:
            return None
        fields = row.rstrip(b"\n").split(b"\t", self.file_at + 1)
        if len(fields) <= self.file_at or fields[self.file_at] in (b"\\N", b""):
            return None
        return fields[self.file_at]


class _Reader:
    """The state after each line: within a table's rows, or between statements."""

    def __init__(self, tell: Tell, holds: bytes) -> None:
        self.tell = tell
        self.wanted = holds
        self.holds = not holds
        self.copying: _Copying | None = None
        self.announced = self.complete = False
        self.token: bytes | None = None
        self.released: bytes | None = None
        self.tables = self.rows = 0
        self.attachments: set[bytes] = set()

    def row(self, copying: _Copying, line: bytes) -> None:
        if line == b"\\.\n":
            self.copying = None
            return
        self.rows += 1
        if not self.holds and self.wanted in line:
            self.holds = True
        file = copying.file(line)
        if file is not None:
            self.attachments.add(file)

    def statement(self, line: bytes) -> None:
        line = line.rstrip(b"\r\n")
        if not line:
            return
        if line.startswith(b"--"):
            self.announced = self.announced or line.startswith(_ANNOUNCES)
            self.complete = self.complete or line == _ENDS
            return
        if line.startswith(b"\\restrict "):
            self.token = line[len(b"\\restrict ") :]
        elif line.startswith(b"\\unrestrict "):
            self.released = line[len(b"\\unrestrict ") :]
        else:
            # Statements after the trailer: it is that of another dump, or of a text in this one.
            self.complete = False
            # The body of a function may have such a line too; no comment announces it.
            if self.announced and line.startswith(b"COPY ") and line.endswith(b" FROM stdin;"):
                self.copying = _Copying(line)
                self.tables += 1
        self.announced = False

    def ended(self) -> None:
        if self.copying is not None:
            self.tell("cut", f"the dump ends within the rows of {self.copying.table}")
        elif not self.complete:
            self.tell("cut", "the dump ends without its last line, “database dump complete”")
        elif self.token != self.released:
            self.tell("cut", "the dump ends without the \\unrestrict of its \\restrict")


def read_dump(stream: IO[bytes], tell: Tell, holds: bytes = b"") -> Dump:
    """Read a whole dump, and tell each fault; ``holds`` is a text that one of its rows must have.

    Uses a bounded amount of memory for each line, and a name for each attachment.
    """
    reader = _Reader(tell, holds)
    begins = False
    zeros = False
    for number, line in enumerate(lines_of(stream)):
        if number < _FIRST_LINES and line.startswith(_BEGINS):
            begins = True
        if number == _FIRST_LINES and not begins:
            break
        zeros = zeros or b"\0" in line
        if reader.copying is not None:
            reader.row(reader.copying, line)
        else:
            reader.statement(line)
    if not begins:
        tell("damaged", "it does not begin as a plain dump of PostgreSQL does")
    else:
        if zeros:
            tell("damaged", "the dump has zero bytes, which no dump has")
        reader.ended()
    return Dump(reader.tables, reader.rows, reader.attachments, reader.holds)


def lines_of(stream: IO[bytes]) -> Iterator[bytes]:
    """The lines of a stream; of a line that is too long, its beginning."""
    while True:
        line = stream.readline(LONGEST_LINE)
        if not line:
            return
        yield line
        while not line.endswith(b"\n"):
            line = stream.readline(LONGEST_LINE)
            if not line:
                return
