"""The journal: everything that a run saw and did, one JSON line each, written before judgement.

Each line is written at once and fsynced, so a run killed at any point leaves a readable journal: at
worst its last line is torn. A torn last line is dropped and reported. Any other damage (a line that
is not JSON, a gap in the numbering, a line of another run, an evidence file that does not hash to
its name) makes the journal worthless, and NotProven says so.

Secrets are removed before anything is written (harness.record.redaction).

Values larger than ``INLINE_BYTES`` are stored beside the journal in ``evidence/``, named by their
SHA-256, and restored when the journal is read.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from harness.core.errors import ConfigError, NotProven
from harness.record.redaction import Redactor

INLINE_BYTES = 32 * 1024
# The kernel gives the number of a closed file to the next opened one, maybe a socket.
_CLOSED = -1
_DECODER = json.JSONDecoder()
_EVIDENCE = re.compile(r"evidence/[0-9a-f]{64}\.json")
_UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
# What to do about a journal that is not as it was written.
_REMEDY = "the run's bundle.tar.zst has the journal as it was signed; without it, start a new run"
_IN_LINE = ("run", "seq", "at", "mono_s", "kind", "subject", "data")


class Record(NamedTuple):
    """One line of a journal; a tuple, because a long run has a million of them.

    ``at`` is UTC, RFC 3339 with microseconds; ``mono_s`` is the monotonic clock of the process
    that wrote it (seconds; only differences within one session mean something).
    ``file`` names the evidence file that holds ``data``, when it was too large for the line.
    """

    run: str
    seq: int
    at: str
    mono_s: float
    kind: str
    subject: str
    data: object
    file: str | None = None

    @property
    def moment(self) -> datetime:
        return datetime.fromisoformat(self.at)

    @property
    def is_sound(self) -> bool:
        """True if every field has the right type."""
        texts = all(isinstance(it, str) for it in (self.run, self.at, self.kind, self.subject))
        numbers = isinstance(self.seq, int) and isinstance(self.mono_s, int | float)
        return texts and numbers and isinstance(self.file, str | None)


def utc_text(moment: datetime) -> str:
    """A moment as the journal and the verdict write it: UTC, with a Z."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def hand_on(records: Iterable[Record], take: Callable[[Record], object]) -> None:
    """Pass every record to ``take``; NotProven, with its number, for one that it cannot read."""
    for record in records:
        try:
            take(record)
        except _UNREADABLE as error:
            said = f"{type(error).__name__}: {error}".partition("\n")[0]
            raise NotProven(
                f"the journal of {record.run} cannot be read: record {record.seq} ({record.kind}): "
                f"{said}",
                remedy="check out the commit that wrote it, or start a new run",
            ) from error


def dumps(value: object) -> str:
    """Compact JSON with sorted keys; TypeError or ValueError for what JSON cannot hold."""
    return json.dumps(
        value, ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False
    )


class Journal:
    """A journal open for writing, by one process; threads may share it.

    ConfigError when another process has it open for writing; NotProven for a record after it is
    closed.
    """

    def __init__(
        self, folder: Path, run: str, redactor: Redactor, *, file: int, next_seq: int
    ) -> None:
        self.folder = folder
        self.run = run
        self._redactor = redactor
        self._next_seq = next_seq
        self._lock = threading.Lock()
        self._file = file

    @classmethod
    def create(cls, folder: Path, run: str, redactor: Redactor | None = None) -> Journal:
        """Begin a run's journal in a folder that does not exist yet."""
        try:
            folder.mkdir(parents=True)
        except FileExistsError as error:
            raise ConfigError(
                f"{folder} exists already", remedy="a run never overwrites"
            ) from error
        file = _open_alone(folder / "journal.jsonl", os.O_CREAT)
        journal = cls(folder, run, redactor or Redactor(), file=file, next_seq=1)
        _sync_folder(folder)
        return journal

    @classmethod
    def reopen(
        cls,
        folder: Path,
        redactor: Redactor | None = None,
        *,
        accept: Callable[[Iterable[Record]], object] = list,
    ) -> Journal:
        """Continue a run's journal; a torn last line is cut off, and a record says so.

        ``accept`` reads the existing records while no other process may write the journal; if it
        raises, nothing is changed.
        """
        reader = JournalReader(folder)
        last: list[Record] = []

        def records() -> Iterator[Record]:
            for record in reader:
                last[:] = [record]
                yield record

        file = _open_alone(reader.must_exist())
        try:
            read = records()
            accept(read)
            for _ in read:  # a damaged line behind what was wanted
                continue
            if not last:
                raise NotProven(f"{folder}: the journal is empty")
            if reader.torn_bytes:
                os.ftruncate(file, os.fstat(file).st_size - reader.torn_bytes)
        except BaseException:
            os.close(file)
            raise
        run, seq = last[0].run, last[0].seq
        journal = cls(folder, run, redactor or Redactor(), file=file, next_seq=seq + 1)
        if reader.torn_bytes:
            journal.append("torn", "journal", {"bytes": reader.torn_bytes})
        return journal

    def append(self, kind: str, subject: str, data: object) -> Record:
        """Write one record and wait until it is on the disk; returns it as a reader would.

        TypeError or ValueError, and nothing written, when ``data`` is not JSON.
        """
        dumps(data)
        body = dumps(self._redactor.value(data))
        with self._lock, self._whole():
            file = self._write_evidence(body, "json") if len(body) > INLINE_BYTES else None
            record = Record(
                run=self.run,
                seq=self._next_seq,
                at=utc_text(datetime.now(UTC)),
                mono_s=round(time.monotonic(), 6),
                kind=kind,
                subject=subject,
                data=json.loads(body),
                file=file,
            )
            line = {name: getattr(record, name) for name in _IN_LINE}
            if file is not None:
                line |= {"data": None, "file": file}
            _write_all(self._file, dumps(line).encode() + b"\n")
            os.fsync(self._file)
            self._next_seq += 1
        return record

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """Ctrl-C cannot split a record: it is written whole or not at all."""
        if self._file == _CLOSED:
            raise NotProven(f"the journal of {self.run} is closed: this record is lost")
        before = os.fstat(self._file).st_size, self._next_seq
        try:
            yield
        except BaseException:
            os.ftruncate(self._file, before[0])
            self._next_seq = before[1]
            raise

    def keep(self, text: str) -> str:
        """Store a text, without its secrets, as an evidence file; returns its name in the run."""
        return self._write_evidence(self._redactor.text(text), "txt")

    def _write_evidence(self, text: str, suffix: str) -> str:
        content = text.encode(errors="replace")
        folder = self.folder / "evidence"
        folder.mkdir(exist_ok=True)
        path = folder / f"{hashlib.sha256(content).hexdigest()}.{suffix}"
        if not path.exists():
            partial = path.with_suffix(".part")
            with partial.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            partial.rename(path)
            _sync_folder(folder)
        return f"evidence/{path.name}"

    def close(self) -> None:
        with self._lock:
            file, self._file = self._file, _CLOSED
        if file != _CLOSED:
            os.close(file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class JournalReader:
    """A run's journal, read record by record; ``torn_bytes`` is known once it is read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "journal.jsonl"
        self.torn_bytes = 0

    def must_exist(self) -> Path:
        """The journal's file; ConfigError when there is none."""
        if not self.path.exists():
            raise ConfigError(
                f"there is no journal in {self.folder}", remedy="./cutover history lists the runs"
            )
        return self.path

    def __iter__(self) -> Iterator[Record]:
        self.torn_bytes = 0
        run = None
        try:
            file = self.must_exist().open("rb")
        except OSError as error:
            raise NotProven(f"{self.path} cannot be read: {error.strerror}") from error
        with file:
            for seq, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    self.torn_bytes = len(line)
                    return
                record = self._parse(line, seq)
                run = run or record.run
                if record.seq != seq or record.run != run:
                    raise NotProven(
                        f"{self.path}, line {seq}: expected record {seq} of run {run}, "
                        f"found record {record.seq} of run {record.run}",
                        remedy=_REMEDY,
                    )
                yield record

    def _parse(self, line: bytes, seq: int) -> Record:
        try:
            # Half the time of json.loads, which guesses encodings: a journal is UTF-8.
            text = line.decode()
            fields, end = _DECODER.raw_decode(text)
            if end != len(text) - 1:
                raise ValueError(f"there is more after character {end}")
            record = Record(**fields)
            if not record.is_sound:
                raise ValueError("a field is of a wrong type")
            record.moment  # noqa: B018
        except (ValueError, TypeError, RecursionError) as error:
            says = f"{self.path}, line {seq} is damaged: {error}"
            raise NotProven(says, remedy=_REMEDY) from error
        return self._restore(record, record.file) if record.file else record

    def _restore(self, record: Record, name: str) -> Record:
        path = self.folder / name
        is_ours = _EVIDENCE.fullmatch(name) is not None and path.is_file()
        content = path.read_bytes() if is_ours else b""
        if name != f"evidence/{hashlib.sha256(content).hexdigest()}.json":
            says = f"{self.path}, line {record.seq}: {path} is missing or was changed"
            raise NotProven(says, remedy=_REMEDY)
        return record._replace(data=json.loads(content))


def _open_alone(path: Path, flags: int = 0) -> int:
    """Open a journal for appending, and lock it; ConfigError when another process writes it.

    The kernel releases the lock when the process ends for any reason.
    """
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | flags, 0o644)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(file)
        remedy = "wait until that run has ended"
        raise ConfigError(f"another process writes {path}", remedy=remedy) from error
    return file


def _write_all(file: int, content: bytes) -> None:
    while content:
        content = content[os.write(file, content) :]


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
