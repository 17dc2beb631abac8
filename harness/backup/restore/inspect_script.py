"""Runs where backups lie: says what is wrong with one, without restoring it.

Words: ``clock`` tells the machine's time; ``newest`` finds the newest backup of a customer;
``inspect`` reads one to its end; ``challenge`` damages what is read of it in known ways, and says
whether the inspection notices each. Nothing is written.

A backup is either three files (NAME_database.sql, NAME_data.tar.gz, NAME_metadata.json), or Odoo's
own zip (dump.sql, filestore/, manifest.json).

Kinds of faults: missing, empty, cut, damaged, escape, link, device, bomb, customer (it is of
another one), stale (it is older than its request), claim (what it says of itself is not so), moment
(database and files do not belong together). A row whose file the customer itself lacks is counted,
and is no fault of the backup. Standard library of Python 3.8 only.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import time
import zipfile
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, NamedTuple, TypedDict

from harness.backup.restore.archive_script import (
    MIB,
    UNREADABLE,
    Contents,
    Entry,
    Limits,
    Meter,
    entries_of_tar,
    entries_of_zip,
    filestore_name,
    read_contents,
    unreadable,
)
from harness.backup.restore.dump_script import Dump, read_dump

DATABASE, DATA, METADATA = "database.sql", "data.tar.gz", "metadata.json"
ZIP_DUMP, ZIP_FILES, ZIP_METADATA = "dump.sql", "filestore", "manifest.json"
# A file system may keep whole seconds alone, and show a file as older than it is.
_SLACK_S = 2.0
_NAMED = 3


class Order(TypedDict):
    """What to inspect; ``filestore`` is the folder of the customer's files in a tar.

    ``own_files`` is the customer's own filestore, on the same machine.
    ``asked``: when the backup was asked for (seconds since the epoch by this machine's clock), or
    None; ``metadata``: what the backup must say of itself; ``holds``: what a row must contain.
    """

    format: str
    folder: str
    name: str
    database: str
    metadata: dict[str, str]
    holds: str
    asked: float | None
    filestore: str
    own_files: str
    limits: Limits


class Damage(NamedTuple):
    """How a backup is damaged while it is read, and the kind of fault that must be noticed.

    ``dump`` and ``archive`` are the shares of them that are there, ``database`` is put in the place
    of the customer's, ``asked_s`` is how much later the backup was asked for, ``entry`` is put into
    the archive, and ``without_file`` takes one file out of it that a row names. ``parts`` are read.
    """

    expects: str = ""
    parts: str = "metadata dump archive"
    dump: float = 1.0
    archive: float = 1.0
    database: str = ""
    asked_s: float = 0.0
    entry: Entry | None = None
    without_file: bool = False


NO_DAMAGE = Damage()


class Noticed(Exception):
    """The fault that a damage must lead to was found."""


class Cut(io.RawIOBase):
    """The first ``size`` bytes of a stream, as all that there is."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self._stream, self._size = stream, size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self.tell(), os.SEEK_END: self._size}[whence]
        return self._stream.seek(start + offset)

    def tell(self) -> int:
        return self._stream.tell()

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._size - self.tell())
        return self._stream.read(left if size < 0 else min(size, left))

    def readline(self, size: int | None = -1) -> bytes:
        left = max(0, self._size - self.tell())
        return self._stream.readline(left if size is None or size < 0 else min(size, left))


class Inspection:
    """One pass over a backup: its faults, each of them once, and what it holds."""

    def __init__(self, order: Order, damage: Damage = NO_DAMAGE) -> None:
        self.order = order
        self.damage = damage
        self.asked = None if order["asked"] is None else order["asked"] + damage.asked_s
        if damage.asked_s and self.asked is None:
            self.asked = time.time() + damage.asked_s
        self.faults: dict[tuple[str, str], None] = {}
        self.bytes: dict[str, int] = {}
        self.created: float | None = None
        self.dump = Dump(0, 0, set(), holds=True)
        self.contents = Contents(0, 0, set())
        self.taken_out = ""

    def tell(self, kind: str, says: str) -> None:
        self.faults[kind, says] = None
        if kind == self.damage.expects:
            raise Noticed

    def run(self) -> dict[str, object]:
        path = os.path.join(self.order["folder"], self.order["name"])  # noqa: PTH118
        if self.order["format"] == "zip":
            self._zip(path)
        else:
            self._files(path)
        missing = self.dump.attachments - self.contents.files
        without = sorted(it for it in missing if not self._lacks(it))
        if without and self.damage.parts == NO_DAMAGE.parts:
            some = ", ".join(it.decode("utf-8", "replace") for it in without[:_NAMED])
            self.tell("moment", f"{len(without)} rows name a file that it has not: {some}")
        return {
            "name": self.order["name"],
            "faults": [list(it) for it in self.faults],
            "bytes": sum(self.bytes.values()),
            "created": self.created,
            "tables": self.dump.tables,
            "rows": self.dump.rows,
            "attachments": len(self.dump.attachments),
            "lacking": len(missing) - len(without),
            "entries": self.contents.entries,
            "unpacked_bytes": self.contents.size,
            "files": len(self.contents.files),
        }

    def _lacks(self, name: bytes) -> bool:
        """True if the customer itself lacks a file: no backup can hold it."""
        try:
            os.lstat(os.path.join(os.fsencode(self.order["own_files"]), name))  # noqa: PTH118
        except FileNotFoundError:
            return True
        except (OSError, ValueError):
            return False  # what cannot be told excuses nothing
        return False

    @contextlib.contextmanager
    def _opened(self, path: str, what: str, share: float = 1.0) -> Iterator[IO[bytes] | None]:
        """A part while the body reads it; None if it is missing or empty, which is told."""
        try:
            file = open(path, "rb")  # noqa: SIM115, PTH123 (closed below)
        except OSError as error:
            self.tell("missing", f"{what} cannot be read: {error.strerror}")
            yield None
            return
        with file:
            found = os.fstat(file.fileno())
            self.bytes[path] = found.st_size
            self._must_be_fresh(found.st_mtime, f"{what} was written")
            there = int(found.st_size * share)
            if not there:
                self.tell("empty", f"{what} has no byte")
                yield None
            else:
                yield file if share == 1.0 else Cut(file, there)  # type: ignore[misc]

    # --- three files ---

    def _files(self, path: str) -> None:
        order, damage = self.order, self.damage
        if "metadata" in damage.parts:
            with self._opened(f"{path}_{METADATA}", "the metadata") as file:
                if file is not None:
                    self._metadata(file.read(MIB), "database_name")
        if "dump" in damage.parts:
            with self._opened(f"{path}_{DATABASE}", "the dump", damage.dump) as file:
                if file is not None:
                    self._read_dump(file)
        if "archive" in damage.parts:
            with self._opened(f"{path}_{DATA}", "the archive", damage.archive) as file:
                if file is not None:
                    entries = entries_of_tar(file, order["limits"], self.tell)
                    self._read_archive(entries, order["filestore"])
        if self.damage == NO_DAMAGE:
            self._sizes(path)

    def _sizes(self, path: str) -> None:
        """What the metadata says of the sizes, and what they are."""
        with contextlib.suppress(OSError, ValueError):
            said = json.loads(Path(f"{path}_{METADATA}").read_bytes())
            for key, part in (("database_size", DATABASE), ("data_size", DATA)):
                there = self.bytes.get(f"{path}_{part}")
                if isinstance(said, dict) and key in said and said[key] != there:
                    self.tell("claim", f"expected {said[key]} bytes of {part}, seen {there}")

    def _metadata(self, text: bytes, key: str) -> None:
        try:
            said = json.loads(text)
        except ValueError as error:
            return self.tell("damaged", f"the metadata is no JSON: {error}")
        if not isinstance(said, dict):
            return self.tell("damaged", "the metadata is no JSON object")
        database = self.damage.database or self.order["database"]
        for field, value in {key: database, **self.order["metadata"]}.items():
            if said.get(field) != value:
                self.tell("customer", f"expected {field} {value}, seen {said.get(field)}")
        if said.get("status", "completed") != "completed":
            self.tell("claim", f"expected the status completed, seen {said['status']}")
        with contextlib.suppress(ValueError):
            made = datetime.fromisoformat(str(said.get("created_at")).replace("Z", "+00:00"))
            self.created = made.replace(tzinfo=made.tzinfo or timezone.utc).timestamp()  # noqa: UP017 (Python 3.8)
            self._must_be_fresh(self.created, "it says that it was made")
        return None

    def _must_be_fresh(self, made: float, what: str) -> None:
        if self.asked is not None and made < self.asked - _SLACK_S:
            self.tell("stale", f"{what} {self.asked - made:.0f} s before it was asked for")

    # --- Odoo's zip ---

    def _zip(self, path: str) -> None:
        with self._opened(path, "the archive", self.damage.archive) as file:
            if file is None:
                return None
            try:
                with zipfile.ZipFile(file) as archive:
                    self._parts_of(archive)
            except UNREADABLE as error:
                return self.tell(*unreadable(error))
            if "archive" in self.damage.parts:
                file.seek(0)
                entries = entries_of_zip(file, self.order["limits"])
                self._read_archive(entries, ZIP_FILES)
        return None

    def _parts_of(self, archive: zipfile.ZipFile) -> None:
        names = set(archive.namelist())
        for part in sorted({ZIP_DUMP, ZIP_METADATA} - names):
            self.tell("missing", f"the archive has no {part}")
        if ZIP_METADATA in names and "metadata" in self.damage.parts:
            with archive.open(ZIP_METADATA) as file:
                self._metadata(file.read(MIB), "db_name")
        if ZIP_DUMP in names and "dump" in self.damage.parts:
            size = int(archive.getinfo(ZIP_DUMP).file_size * self.damage.dump)
            if not size:
                self.tell("empty", "the dump has no byte")
                return
            with archive.open(ZIP_DUMP) as file:
                self._read_dump(Cut(file, size))  # type: ignore[arg-type]

    # --- both ---

    def _read_dump(self, stream: IO[bytes]) -> None:
        self.dump = read_dump(stream, self.tell, self.order["holds"].encode())
        if not self.dump.holds:
            self.tell("customer", f"expected a row with {self.order['holds']}, seen none")

    def _read_archive(self, entries: Iterable[Entry], filestore: str) -> None:
        if self.damage.without_file:
            entries = self._without_file(entries, filestore)
        self.contents = read_contents(
            _before(self.damage.entry, entries), self.order["limits"], filestore, self.tell
        )

    def _without_file(self, entries: Iterable[Entry], filestore: str) -> Iterator[Entry]:
        there = (it for it in sorted(self.dump.attachments) if not self._lacks(it))
        self.taken_out = gone = next(there, b"").decode()
        return (it for it in entries if filestore_name(it.name, filestore) != gone)


def _before(first: Entry | None, entries: Iterable[Entry]) -> Iterator[Entry]:
    if first is not None:
        yield first
    yield from entries


class _Zeros:
    """One packed byte that unpacks to zeros without an end."""

    def read(self, size: int, /) -> bytes:
        return bytes(size)

    def tell(self) -> int:
        return 1


def damages(order: Order) -> dict[str, Damage]:
    """Each known defect of a backup, by its name."""
    bomb = Meter(_Zeros(), _Zeros(), order["limits"])
    return {
        **{f"dump cut at {at} %": Damage("cut", "dump", dump=at / 100) for at in (30, 60, 90)},
        "empty dump": Damage("empty", "dump", dump=0.0),
        "empty archive": Damage("empty", "archive", archive=0.0),
        "archive cut at 60 %": Damage("cut", "archive", archive=0.6),
        "another customer's": Damage("customer", "metadata", database="cutover_another"),
        "older than its request": Damage("stale", "metadata", asked_s=3600.0),
        "path that leaves": Damage("escape", "archive", entry=Entry("../../cutover", "file")),
        "link that leaves": Damage("link", "archive", entry=Entry("a", "link", "../cutover")),
        "device node": Damage("device", "archive", entry=Entry("sda", "device")),
        "archive bomb": Damage("bomb", "archive", entry=Entry("zeros", "file", read=bomb.read)),
        "file of a row missing": Damage("moment", without_file=True),
    }


def challenge(order: Order) -> dict[str, bool]:
    """Whether the inspection notices each defect; one that this backup cannot have is left out."""
    noticed: dict[str, bool] = {}
    for name, damage in damages(order).items():
        inspection = Inspection(order, damage)
        try:
            inspection.run()
        except Noticed:
            noticed[name] = True
            continue
        if not damage.without_file or inspection.taken_out:
            noticed[name] = False
    return noticed


def newest(order: Order) -> str | None:
    """The newest backup of a customer, written since it was asked for; None if there is none."""
    end = ".zip" if order["format"] == "zip" else f"_{METADATA}"
    found: list[tuple[float, str]] = []
    for path in Path(order["folder"]).glob(f"{order['database']}*{end}"):
        written = path.stat().st_mtime
        fresh = order["asked"] is None or written >= order["asked"] - _SLACK_S
        if fresh and not _of_longer_name(path, order):
            found.append((written, path.name))
    if not found:
        return None
    name = max(found)[1]
    return name if end == ".zip" else name[: -len(end)]


def _of_longer_name(path: Path, order: Order) -> bool:
    """True if it says that it is of a customer whose name begins with this one's."""
    if order["format"] == "zip":
        return False
    try:
        said = json.loads(path.read_bytes())["database_name"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return said != order["database"] and str(said).startswith(order["database"])


def main() -> None:
    """Answer one word with a line of JSON."""
    word, order = sys.argv[1], json.loads(sys.argv[2])
    words = {
        "clock": lambda _: time.time(),
        "newest": newest,
        "inspect": lambda it: Inspection(it).run(),
        "challenge": challenge,
    }
    sys.stdout.write(json.dumps(words[word](order)) + "\n")


if __name__ == "__main__":
    main()
