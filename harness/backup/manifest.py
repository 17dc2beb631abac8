"""Manifests of trees: made on a machine by ``manifest_script``, read here line by line, and stored.

Only a piece of a manifest is in memory at a time, for trees of any size. The manifest from before
the work is the baseline: recorded once, stored compressed, compared later.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import zstandard
from typing_extensions import Buffer, TypeForm

from harness.backup import fetch_script as fetch_script
from harness.backup import manifest_script as script
from harness.backup import tree_script as tree_script
from harness.core.errors import ConfigError, Garbled, NotProven, TimedOut, Unreachable
from harness.core.model import JSON
from harness.transport import Shell
from harness.transport import own_folder as own_folder
from harness.transport.remote_script import RemoteScript

T = TypeVar("T")

Entry: TypeAlias = Mapping[str, Any]
Told: TypeAlias = Callable[[Mapping[str, int]], None]

SCRIPT = RemoteScript(tree_script, own_folder, script, nice=True)
FETCH = RemoteScript(own_folder, fetch_script, nice=True)
_ANSWERED = (script.WHOLE, script.DOUBTFUL, script.UNFINISHED, script.IMPOSSIBLE, script.STALLED)
# In a folder that only root can write to: names in /var/tmp can be guessed, and taken first.
FOLDERS = "/var/lib/cutover-manifests"
SLICE_S = 30.0
# Files that are open when a slice ends are read to their end: the largest file counts.
_CALL_S = 3600.0
_SILENT_S = 30.0
WORKERS = 4
_PIECE = 4 << 20  # each starts a python on the machine; two manifests hold one each


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A tree on a machine; ``left_out`` are patterns of ignored paths in it."""

    machine: str
    root: str
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _State:
    """The progress of a manifest, or why it cannot be made."""

    sums: Mapping[str, int] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """A manifest in progress on a machine; each name exists once."""

    shell: Shell
    tree: Tree
    name: str
    silent_s: float = _SILENT_S

    def make(self, tell: Told = lambda _: None) -> Mapping[str, int]:
        """Make it, or continue one that was begun within a day; its sums.

        ``tell`` gets the sums so far, a few times a minute. Raises TimedOut when the tree stops
        answering, and other TransportErrors.
        """
        while True:
            options: dict[str, JSON] = {
                "root": self.tree.root,
                "except": list(self.tree.left_out),
                "slice_s": SLICE_S,
                "silent_s": self.silent_s,
                "workers": WORKERS,
            }
            told = SCRIPT.on(
                self.shell,
                self.tree.machine,
                {"folder": self._folder, **options},
                within_s=_CALL_S,
                read=_State,
                statuses=_ANSWERED,
            )
            if told.status in (script.WHOLE, script.DOUBTFUL):
                return told.value.sums
            if told.status != script.UNFINISHED:
                kind = TimedOut if told.status == script.STALLED else Unreachable
                raise kind(f"{self.tree.machine}, {self.tree.root}: {told.value.error}")
            tell(told.value.sums)

    def lines(self) -> Iterator[bytes]:
        """Its lines, fetched piece by piece."""
        yield from unpacked(io.BufferedReader(_Pieces(self._piece)))

    def drop(self) -> None:
        """Remove it from the machine."""
        self._ask("drop", {}, within_s=60.0, read=bool)

    def _piece(self, offset: int) -> bytes:
        options = {"offset": offset, "bytes": _PIECE}
        said = self._ask("fetch", options, within_s=120.0, read=str)
        try:
            return base64.b64decode(said, validate=True)
        except ValueError as error:
            raise Garbled(f"{self.tree.machine}: a piece is garbled: {error}") from error

    @property
    def _folder(self) -> str:
        return f"{FOLDERS}/{script.PREFIX}{self.name}"

    def _ask(
        self, word: str, options: Mapping[str, JSON], *, within_s: float, read: TypeForm[T]
    ) -> T:
        asked = {"folder": self._folder, **options}
        place = self.tree.machine
        return FETCH.on(self.shell, place, word, asked, within_s=within_s, read=read).value


class _Pieces(io.RawIOBase):
    """A file that is fetched as it is read."""

    def __init__(self, fetch: Callable[[int], bytes]) -> None:
        self._fetch = fetch
        self._offset = 0
        self._held = memoryview(b"")
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        if not self._held and not self._ended:
            self._held = memoryview(self._fetch(self._offset))
            self._offset += len(self._held)
            self._ended = len(self._held) < _PIECE
        room = memoryview(buffer).cast("B")
        length = min(len(room), len(self._held))
        room[:length] = self._held[:length]
        self._held = self._held[length:]
        return length


def unpacked(packed: io.BufferedIOBase) -> Iterator[bytes]:
    """The lines of a gzipped file; NotProven when it is damaged."""
    with gzip.GzipFile(fileobj=packed) as lines:
        try:
            yield from io.BufferedReader(lines)
        except (OSError, EOFError, zlib.error) as error:
            raise NotProven(f"a manifest is damaged: {error}") from error


class TreeManifest:
    """A manifest that can be read once: its header first, its entries, its sums at the end."""

    def __init__(self, lines: Iterable[bytes], what: str) -> None:
        self._lines = iter(lines)
        self._what = what
        self.sums: Mapping[str, int] | None = None
        self.header: Mapping[str, object] = self._line() or {}
        if self.header.get("manifest") != script.FORMAT:
            raise NotProven(f"{what} is no manifest of format {script.FORMAT}")

    def __iter__(self) -> Iterator[Entry]:
        """The entries in their order; NotProven for a cut, garbled or unordered manifest."""
        last: bytes | None = None
        count = 0
        while (entry := self._line()) is not None:
            if "end" in entry:
                self.sums = entry["end"]
                break
            place = tree_script.key(tree_script.raw(str(entry.get("path"))))
            if last is not None and place <= last:
                raise NotProven(f"{self._what} is out of order at {shown(entry)}")
            last, count = place, count + 1
            yield entry
        if self.sums is None or self.sums["entries"] != count:
            raise NotProven(f"{self._what} is not whole: it ends after {count} entries")

    def _line(self) -> Entry | None:
        line = next(self._lines, None)
        if line is None:
            return None
        try:
            entry: Entry = json.loads(line.decode("ascii"))
        except ValueError as error:
            raise NotProven(f"{self._what} is garbled: {error}") from error
        return entry


def shown(entry: Entry) -> str:
    """An entry's path for people: what is not UTF-8 in it as ``\\xNN``."""
    return tree_script.raw(str(entry["path"])).decode("utf-8", "backslashreplace")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedBaseline:
    """A recorded baseline: its file's SHA-256, and its sums."""

    sha256: str
    sums: Mapping[str, int]


def record_baseline(lines: Iterable[bytes], path: Path) -> RecordedBaseline:
    """Store a manifest's lines in a file, whole or not at all.

    NotProven for lines that make no whole manifest; ConfigError when the file cannot be written.
    """
    fresh = path.with_name(f"{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # It contains the names of customers' files.
        fresh.touch(mode=0o600)
        try:
            manifest = _written(lines, fresh)
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error
    assert manifest.sums is not None
    return RecordedBaseline(sha256=digest(path), sums=manifest.sums)


def _written(lines: Iterable[bytes], path: Path) -> TreeManifest:
    """Read a manifest to its end while it is written and synced."""
    with path.open("wb") as file:
        with zstandard.ZstdCompressor().stream_writer(file, closefd=False) as packed:
            manifest = TreeManifest(_copied(lines, packed), "the manifest")
            for _ in manifest:
                pass
        file.flush()
        os.fsync(file.fileno())
    return manifest


def _copied(lines: Iterable[bytes], packed: zstandard.ZstdCompressionWriter) -> Iterator[bytes]:
    for line in lines:
        packed.write(line)
        yield line


@contextmanager
def opened_baseline(path: Path) -> Iterator[TreeManifest]:
    """The baseline in a file; NotProven when it is damaged, also while it is read."""
    with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as packed:
        yield TreeManifest(_unzstd(packed), f"the baseline {path}")


def _unzstd(packed: zstandard.ZstdDecompressionReader) -> Iterator[bytes]:
    try:
        yield from io.BufferedReader(packed, 1 << 20)
    except zstandard.ZstdError as error:
        raise NotProven(f"the baseline is damaged: {error}") from error


def digest(path: Path) -> str:
    """SHA-256 of a file, as ``sha256sum`` prints it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
