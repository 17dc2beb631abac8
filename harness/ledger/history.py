"""The ledger's history: every write of a run, on this computer's disk before it is sent.

It is separate from the run's journal, because a run makes thousands of writes. A line has five
words:

    WHAT WHO SEQ MONOTONIC_US WALL_MS

``begin RUN VERSION``, ``invoke|ok|fail|info WRITER SEQ`` (see ``checker``), ``due|total WRITER
NUMBER`` (a bank's), ``mark NAME 0`` (percent-encoded), ``stop - 0`` (no writer begins another
write) and ``end - 0``. Times are in the order of the lines: microseconds of the monotonic clock,
and milliseconds since the epoch.

A writer sends a write when its ``invoke`` is on the disk; writers that wait at the same time share
one fsync. The outcome is synced together with the next ``invoke``. If the history ends before that,
the outcome of the write is unknown.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Generator, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Self, TypeAlias
from urllib.parse import quote, unquote

from harness.core.errors import NotProven

BEGIN, INVOKE, OK, FAIL, INFO = "begin", "invoke", "ok", "fail", "info"
DUE, TOTAL, MARK, STOP, END = "due", "total", "mark", "stop", "end"
_VERSION = 1
_WORDS = 5
_CHUNK = 1 << 16
# The kernel reuses the number of a closed file for the next open file or socket.
_CLOSED = -1

# Event, writer, number, and time (microseconds of the monotonic clock).
Event: TypeAlias = tuple[str, str, int, int]


class History:
    """A history that is open for writing; threads may share it.

    Every method raises NotProven once the disk has refused a line, because a later write would be
    sent without a record, and once the history is closed.
    """

    def __init__(self, path: Path, run: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file = os.open(
            path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644
        )
        self._noting, self._syncing = threading.Lock(), threading.Lock()
        self._waiting: list[str] = []
        self._noted = self._kept = 0
        self._failed = ""
        self._closed = False
        self._keep(self._note(BEGIN, quote(run, safe=""), _VERSION))

    def invoke(self, who: str, seq: int) -> None:
        """Record that a write is about to be sent; returns when the disk has the line."""
        self._keep(self._note(INVOKE, who, seq))

    def settle(self, what: str, who: str, seq: int) -> None:
        """Record the outcome of a write: OK, FAIL or INFO."""
        self._note(what, who, seq)

    def count(self, what: str, who: str, number: int) -> None:
        """Record the total that a bank must have (DUE), or a total that was counted (TOTAL)."""
        self._note(what, who, number)

    def mark(self, name: str) -> None:
        """Record a mark, which begins a phase; returns when the disk has the line."""
        self._keep(self._note(MARK, quote(name, safe=""), 0))

    def stop(self) -> None:
        """Record that no writer begins another write: a gap ends here."""
        self._note(STOP, "-", 0)

    def close(self) -> None:
        """Write the last lines and close the history; further calls do nothing."""
        with self._noting:
            if self._closed:
                return
            self._put(END, "-", 0)
            self._closed = True
        try:
            self._keep(self._noted)
        finally:
            with self._syncing:
                os.close(self._file)
                self._file = _CLOSED

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _note(self, what: str, who: str, number: int) -> int:
        """Put a line in the queue; returns its place there."""
        with self._noting:
            if self._failed or self._closed:
                raise NotProven(self._failed or f"the ledger's history {self.path} is closed")
            return self._put(what, who, number)

    def _put(self, what: str, who: str, number: int) -> int:
        at, wall = time.monotonic_ns() // 1000, time.time_ns() // 1_000_000
        self._waiting.append(f"{what} {who} {number} {at} {wall}\n")
        self._noted += 1
        return self._noted

    def _keep(self, place: int) -> None:
        """Wait until the disk has the line at that place: one thread syncs all waiting lines."""
        with self._syncing:
            if self._kept >= place:
                return
            with self._noting:
                lines, self._waiting = self._waiting, []
                upto = self._noted
            try:
                content = "".join(lines).encode()
                while content and not self._failed:
                    content = content[os.write(self._file, content) :]
                os.fsync(self._file)
            except OSError as error:
                self._failed = f"the ledger's history {self.path} cannot be written: {error}"
            if self._failed:
                raise NotProven(self._failed, remedy="make room on this computer's disk")
            self._kept = upto


class HistoryReader:
    """The events of a history, in order, after its first line.

    ``run`` is the run's name, and ``wall_s`` is the offset from the monotonic clock (seconds) to
    the time of day. After reading, ``torn_bytes`` is the length of a dropped partial last line, and
    ``closed`` is true if the history has its end. Any other damage raises NotProven.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.torn_bytes = 0
        self.closed = False
        with path.open("rb") as file:
            line = file.readline().decode("ascii", errors="replace")
        words = line.split() if line.endswith("\n") else []
        if len(words) != _WORDS or (words[0], words[2]) != (BEGIN, str(_VERSION)):
            raise NotProven(f"{path} does not begin as a history of version {_VERSION}")
        self.run = unquote(words[1])
        self.wall_s = int(words[4]) / 1e3 - int(words[3]) / 1e6

    def __iter__(self) -> Iterator[Event]:
        return chain.from_iterable(self._events())

    def _events(self) -> Iterator[Iterable[Event]]:
        """Events in batches: one by one they would take twice as long."""
        what = BEGIN
        for text in self._chunks():
            words = text.split()
            if len(words) != _WORDS * text.count("\n"):
                raise NotProven(f"{self.path} is damaged: a line does not have {_WORDS} words")
            try:
                numbers, times = (list(map(int, words[at::_WORDS])) for at in (2, 3))
            except ValueError as error:
                raise NotProven(f"{self.path} is damaged: {error}") from error
            whats, names = words[0::_WORDS], words[1::_WORDS]
            if MARK in whats:
                names = [unquote(name) for name in names]
            yield zip(whats, names, numbers, times, strict=True)
            what = whats[-1]
        self.closed = what == END

    def _chunks(self) -> Iterator[str]:
        with self.path.open("rb") as file:
            file.readline()
            self.torn_bytes = yield from whole_lines(file)


def whole_lines(file: BinaryIO) -> Generator[str, None, int]:
    """The lines of a file, in batches; returns the length in bytes of a partial last line.

    A batch fits into a processor's cache: larger batches would take twice as long.
    """
    rest = b""
    while block := file.read(_CHUNK):
        whole, cut, rest = (rest + block).rpartition(b"\n")
        if cut:
            yield (whole + cut).decode(errors="replace")
    return len(rest)
