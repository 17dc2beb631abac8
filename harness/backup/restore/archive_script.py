"""Reads the archive of a backup entry by entry, and says which entries must not be unpacked.

Streams with bounded memory: an archive may be a bomb. Part of scripts that are sent to machines:
standard library of Python 3.8 only.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import posixpath
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import IO, NamedTuple, Protocol, TypedDict

from harness.backup.restore.dump_script import Tell

MIB = 1 << 20
# An archive may be this much larger than its ratio allows, for small ones full of zeros.
_GRACE = 64 * MIB
# A tar ends with two blocks of zeros; a cut one does not.
_TAR_ENDS = bytes(1024)
_NAMED_BY_CONTENT = re.compile(r"([0-9a-f]{2})/(\1[0-9a-f]{38})")


# What reading a cut or damaged archive raises.
UNREADABLE = (
    *(EOFError, OSError, RuntimeError, tarfile.TarError, zlib.error),
    *(zipfile.BadZipFile, zipfile.LargeZipFile),
)
_OF_CUT = ("unexpected end", "ended before", "not a zip", "empty file")


class Limits(TypedDict):
    """What an archive may unpack to: bytes in all, entries, bytes for each of its own."""

    bytes: int
    entries: int
    ratio: float


class Bomb(Exception):
    """The archive unpacks to more than its limits allow."""


class Entry(NamedTuple):
    """``kind`` is "file", "folder", "link", "hard link", "device" or another word.

    ``target`` is that of a link; ``read`` reads a piece of a file's content.
    """

    name: str
    kind: str
    target: str = ""
    read: Callable[[int], bytes] = lambda _: b""
    mode: int = 0o644
    mtime: float = 0.0
    uid: int = 0
    gid: int = 0


class Contents(NamedTuple):
    """``size`` is in bytes; ``files`` are those below the filestore, named ``ab/abcd…``."""

    entries: int
    size: int
    files: set[bytes]


class Packed(Protocol):
    """A packed stream, which tells how much of it was read."""

    def tell(self) -> int: ...


class Unpacked(Protocol):
    """The content of a packed stream."""

    def read(self, size: int, /) -> bytes: ...


class Meter(io.RawIOBase):
    """An unpacked stream that raises Bomb beyond its limits; ``tail`` are its last bytes."""

    def __init__(self, packed: Packed, unpacked: Unpacked, limits: Limits) -> None:
        self._packed = packed
        self._unpacked = unpacked
        self._limits = limits
        self.bytes = 0
        self.tail = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        piece = self._unpacked.read(min(size, MIB) if size >= 0 else MIB)
        self.bytes += len(piece)
        self.tail = (self.tail + piece)[-len(_TAR_ENDS) :]
        must_fit(self.bytes, self._packed.tell(), self._limits)
        return piece


def must_fit(unpacked: int, packed: int, limits: Limits) -> None:
    """Raise Bomb beyond the limits."""
    if unpacked > limits["bytes"]:
        raise Bomb(f"it unpacks to more than {limits['bytes']} bytes")
    if unpacked > packed * limits["ratio"] + _GRACE:
        raise Bomb(f"its first {packed} bytes unpack to {unpacked}")


def entries_of_tar(packed: IO[bytes], limits: Limits, tell: Tell) -> Iterator[Entry]:
    """The entries of a tar.gz; tells "cut" without its end. Raises one of UNREADABLE, or Bomb."""
    meter = Meter(packed, gzip.GzipFile(fileobj=packed), limits)
    with tarfile.open(fileobj=meter, mode="r|") as archive:
        for member in archive:
            yield _of_tar(archive, member)
            # Otherwise it keeps every member in memory.
            archive.members = []  # type: ignore[attr-defined]
    # gzip has its checksum at its end, behind the end of the tar.
    while meter.read(MIB):
        pass
    if meter.tail != _TAR_ENDS:
        tell("cut", "the archive ends without the two empty blocks of its end")


def _of_tar(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Entry:
    kind = "device"
    read: Callable[[int], bytes] = lambda _: b""  # noqa: E731 (the default of an Entry)
    if member.isreg():
        kind = "file"
        content = archive.extractfile(member)
        assert content is not None
        read = content.read
    elif member.isdir():
        kind = "folder"
    elif member.issym():
        kind = "link"
    elif member.islnk():
        kind = "hard link"
    return Entry(
        member.name, kind, member.linkname, read, member.mode, member.mtime, member.uid, member.gid
    )


def entries_of_zip(packed: IO[bytes], limits: Limits) -> Iterator[Entry]:
    """The entries of a zip; raises one of UNREADABLE, or Bomb."""
    with zipfile.ZipFile(packed) as archive:
        for member in archive.infolist():
            with archive.open(member) as content:
                meter = Meter(_Fixed(member.compress_size), content, limits)
                yield _of_zip(member, meter)
                # The checksum of an entry is compared at its end.
                while meter.read(MIB):
                    pass


class _Fixed:
    """A packed entry of a zip, whose length is known."""

    def __init__(self, size: int) -> None:
        self._size = size

    def tell(self) -> int:
        return self._size


def _of_zip(member: zipfile.ZipInfo, meter: Meter) -> Entry:
    mode = member.external_attr >> 16
    kind = "folder" if member.is_dir() else "file"
    if stat.S_ISLNK(mode):
        # A target is short; a longer one is none.
        return Entry(member.filename, "link", meter.read(4096).decode("utf-8", "surrogateescape"))
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        kind = "device"
    return Entry(member.filename, kind, read=meter.read, mode=mode & 0o7777 or 0o644)


class Guard:
    """Says why an entry must not be unpacked; it remembers links, below which nothing may lie."""

    def __init__(self) -> None:
        self._links: set[str] = set()

    def against(self, entry: Entry) -> tuple[str, str] | None:
        """The kind of fault, and what is wrong; None for a harmless entry."""
        name = shown(entry.name)
        if leaves_root(entry.name):
            return "escape", f"{name} leaves the archive's root"
        if entry.kind != "folder" and posixpath.normpath(entry.name) == ".":
            return "escape", f"{name} would replace the archive's root"
        if self._is_below_link(entry.name):
            return "link", f"{name} lies below a link of the archive"
        if entry.kind == "device":
            return "device", f"{name} is neither a file, a folder nor a link"
        if entry.kind == "link":
            self._links.add(posixpath.normpath(entry.name))
            if link_leaves_root(entry.name, entry.target):
                return "link", f"{name} leads to {shown(entry.target)}, out of the archive's root"
        if entry.kind == "hard link" and (
            leaves_root(entry.target) or self._is_below_link(entry.target)
        ):
            return "link", f"{name} is another name of {shown(entry.target)}, out of its root"
        return None

    def _is_below_link(self, name: str) -> bool:
        if not self._links:
            return False
        parts = posixpath.normpath(name).split("/")
        return any("/".join(parts[:end]) in self._links for end in range(1, len(parts) + 1))


def leaves_root(name: str) -> bool:
    """True if a path is absolute, has ``..`` in it, or cannot be a path."""
    return name.startswith("/") or ".." in name.split("/") or "\0" in name or not name


def link_leaves_root(name: str, target: str) -> bool:
    """True if a link at ``name`` may lead out: only ``..`` at a target's beginning are counted."""
    if target.startswith("/") or "\0" in target or not target:
        return True
    depth = len(posixpath.normpath(name).split("/")) - 1
    parts = [part for part in target.split("/") if part not in ("", ".")]
    ups = next((at for at, part in enumerate(parts) if part != ".."), len(parts))
    return ups > depth or ".." in parts[ups:]


def shown(name: str) -> str:
    """A name for people."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def read_contents(entries: Iterable[Entry], limits: Limits, filestore: str, tell: Tell) -> Contents:
    """Read every entry, and tell each fault; files below ``filestore`` are named by content."""
    guard = Guard()
    number = total = 0
    files: set[bytes] = set()
    try:
        for entry in entries:
            number += 1
            if number > limits["entries"]:
                raise Bomb(f"it has more than {limits['entries']} entries")
            wrong = guard.against(entry)
            if wrong is not None:
                tell(*wrong)
                continue
            if entry.kind == "file":
                name = filestore_name(entry.name, filestore)
                length, sha1 = _read_through(entry.read, hashes=name is not None)
                total += length
                must_fit(total, total, limits)
                if name is not None:
                    files.add(name.encode())
                    if sha1 != name[3:]:
                        tell("damaged", f"{shown(entry.name)} is not the file of its name (SHA-1)")
    except Bomb as bomb:
        tell("bomb", f"the archive: {bomb}")
    except UNREADABLE as error:
        tell(*unreadable(error))
    return Contents(number, total, files)


def unreadable(error: Exception) -> tuple[str, str]:
    """The kind of fault that one of UNREADABLE stands for, and its words."""
    kind = "cut" if any(it in str(error) for it in _OF_CUT) else "damaged"
    return kind, f"the archive cannot be read: {error}"


def _read_through(read: Callable[[int], bytes], *, hashes: bool) -> tuple[int, str]:
    """A file's length, and the SHA-1 of its content if wanted."""
    sha1 = hashlib.sha1()
    length = 0
    while True:
        piece = read(MIB)
        if not piece:
            return length, sha1.hexdigest()
        length += len(piece)
        if hashes:
            sha1.update(piece)


def filestore_name(path: str, filestore: str) -> str | None:
    """The name, ``ab/abcd…``, of a file directly below the filestore; None for another file."""
    inside = posixpath.normpath(path)
    if not inside.startswith(filestore + "/"):
        return None
    found = _NAMED_BY_CONTENT.fullmatch(inside[len(filestore) + 1 :])
    return found[0] if found else None
