"""Runs on a machine: walks a tree and describes each entry of it, for ``manifest_script``.

An entry has ``path`` (relative to the tree; "." is the tree itself; bytes that are not UTF-8 as
surrogates), ``type``, ``mode``, ``uid``, ``gid``, ``mtime_ns``, and where they apply ``size``,
``sha256``, ``target``, ``device``, ``xattrs``, ``quotas``; ``inode`` and ``links`` of a file with
several names; ``holes`` of a file that takes less room than its size: a digest of where its data
is. Ceph's clients never report holes, and a folder's size depends on the file system. ``error``
says why an entry could not be read; ``unstable``, that it changed meanwhile.

The script changes nothing and, where permitted, keeps each file's access time. Standard library of
Python 3.8 only.
"""

from __future__ import annotations

import base64
import contextlib
import fnmatch
import hashlib
import json
import mmap
import os
import stat
import struct
import time
from collections.abc import Iterator
from typing import NamedTuple

MIB = 1 << 20
SHORT_VALUE = 256  # bytes of an attribute that are kept as they are
KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "folder",
    stat.S_IFLNK: "link",
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
}
QUOTAS = ("ceph.quota.max_bytes", "ceph.quota.max_files")
FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

to_json = json.JSONEncoder(separators=(",", ":")).encode


class Item(NamedTuple):
    """A path to be described, relative to the tree, and why its folder could not be listed."""

    path: bytes
    problem: str = ""


def key(path: bytes) -> bytes:
    """The sort key of a manifest's paths: the parts one by one, the tree itself first.

    No name contains a NUL, so a folder's contents come before a sibling such as ``folder!``.
    """
    return b"" if path == b"." else path.replace(b"/", b"\0")


def told(path: bytes) -> str:
    """A path as the manifest stores it."""
    return path.decode("utf-8", "surrogateescape")


def raw(text: str) -> bytes:
    """The path in bytes for a manifest's path."""
    return text.encode("utf-8", "surrogateescape")


def is_left_out(path: str, patterns: list[str]) -> bool:
    """True if a pattern matches a path, or a folder above it; ``*`` stays within a name."""
    parts = path.split("/")
    for pattern in patterns:
        wanted = pattern.split("/")
        if len(parts) >= len(wanted) and all(map(fnmatch.fnmatchcase, parts, wanted)):
            return True
    return False


# --- the walk -------------------------------------------------------------------------------------


def walk(root: bytes, left_out: list[str], after: bytes = b"") -> Iterator[Item]:
    """Every entry of a tree in order; if a path is given, only the entries after it.

    Other file systems are not entered. Only the names of a folder are in memory at once.
    """
    device = os.lstat(root).st_dev
    listed, problem = listing(root, device)
    if not after:
        yield Item(b".", problem)
    inside = [(b"", iter(listed))]
    while inside:
        folder, names = inside[-1]
        name, is_folder = next(names, (b"", False))
        path = folder + b"/" + name if folder else name
        if not name:
            inside.pop()
            continue
        if left_out and is_left_out(told(path), left_out):
            continue
        is_due = not after or key(path) > key(after)
        if is_folder and (is_due or path == after or after.startswith(path + b"/")):
            listed, problem = listing(root + b"/" + path, device)
            inside.append((path, iter(listed)))
        if is_due:
            yield Item(path, problem if is_folder else "")


def listing(folder: bytes, device: int) -> tuple[list[tuple[bytes, bool]], str]:
    """The names in a folder, and whether each is a folder itself; or none, and why."""
    tick()
    try:
        if os.lstat(folder).st_dev != device:
            return [], "another file system is mounted here"
        with os.scandir(folder) as found:
            return sorted((it.name, it.is_dir(follow_symlinks=False)) for it in found), ""
    except FileNotFoundError:
        return [], ""  # describing it reports that it vanished
    except OSError as error:
        return [], error.strerror or str(error)


# --- an entry -------------------------------------------------------------------------------------

_clock = mmap.mmap(-1, 8)  # shared with the workers: the time of their last answer from the tree
_buffer = memoryview(bytearray(MIB))


def tick() -> None:
    """Note that the tree answered just now."""
    struct.pack_into("d", _clock, 0, time.monotonic())


def silent_s() -> float:
    """Seconds since the tree's last answer."""
    (answered,) = struct.unpack_from("d", _clock, 0)
    return time.monotonic() - float(answered)


def describe(root: bytes, item: Item) -> dict[str, object]:
    """One entry of a manifest; unreadable parts are noted in it."""
    full = root if item.path == b"." else root + b"/" + item.path
    entry: dict[str, object] = {"path": told(item.path), "type": "unknown"}
    try:
        status = os.lstat(full)
        entry.update(_owned(status))
        if entry["type"] == "file":
            _add_content(entry, full, status)
        elif entry["type"] == "link":
            entry["target"] = told(os.readlink(full))  # noqa: PTH115 (bytes)
        elif entry["type"] == "folder":
            _add_quotas(entry, full)
        elif str(entry["type"]).endswith("device"):
            entry["device"] = status.st_rdev
        if entry["type"] != "file":
            _add_xattrs(entry, full)
    except FileNotFoundError:
        entry["unstable"] = "it vanished"
    except OSError as error:
        entry["error"] = error.strerror or str(error)
    if item.problem:
        entry["error"] = item.problem
    tick()
    return entry


def _owned(status: os.stat_result) -> dict[str, object]:
    entry: dict[str, object] = {
        "type": KINDS.get(stat.S_IFMT(status.st_mode), "unknown"),
        "mode": oct(stat.S_IMODE(status.st_mode)),
        "uid": status.st_uid,
        "gid": status.st_gid,
        "mtime_ns": status.st_mtime_ns,
    }
    if entry["type"] != "folder" and status.st_nlink > 1:
        entry.update(inode=status.st_ino, links=status.st_nlink)
    return entry


def _add_content(entry: dict[str, object], full: bytes, seen: os.stat_result) -> None:
    file = _opened(full)
    try:
        before = os.fstat(file)
        entry["size"] = before.st_size
        sha = hashlib.sha256()
        length = 0
        while True:
            got = os.readv(file, [_buffer])
            if not got:
                break
            sha.update(_buffer[:got])
            length += got
            tick()
            if length == before.st_size and got < MIB:
                break
        entry["sha256"] = sha.hexdigest()
        if before.st_blocks * 512 < before.st_size:
            _add_holes(entry, file, before.st_size)
        _add_xattrs(entry, file)
        after = os.fstat(file)
        if length != before.st_size or not _same(seen, before) or not _same(before, after):
            entry["unstable"] = "it changed while it was read"
    finally:
        os.close(file)


def _opened(full: bytes) -> int:
    """Open a file without changing its access time; only its owner may do so."""
    try:
        return os.open(full, FLAGS | os.O_NOATIME)
    except PermissionError:
        return os.open(full, FLAGS)


def _same(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_ino, one.st_size, one.st_mtime_ns, one.st_ctime_ns) == (
        other.st_ino,
        other.st_size,
        other.st_mtime_ns,
        other.st_ctime_ns,
    )


def _add_holes(entry: dict[str, object], file: int, size: int) -> None:
    """Add a digest of the data's begins and ends, unless the file system calls all of it data."""
    data = []
    end = 0
    while end < size:
        try:
            begin = os.lseek(file, end, os.SEEK_DATA)
        except OSError:  # only a hole up to the file's end
            break
        end = os.lseek(file, begin, os.SEEK_HOLE)
        data.append((begin, end))
    if data != [(0, size)]:
        entry["holes"] = hashlib.sha256(to_json(data).encode()).hexdigest()[:16]


def _add_quotas(entry: dict[str, object], full: bytes) -> None:
    """Add the quotas. CephFS does not list them: they are read by name."""
    quotas = {}
    for name in QUOTAS:
        with contextlib.suppress(OSError):
            quotas[name] = os.getxattr(full, name).decode("ascii", "replace")
    if quotas:
        entry["quotas"] = quotas


def _add_xattrs(entry: dict[str, object], at: bytes | int) -> None:
    """Add extended attributes, including access control lists; of Ceph's own only the quotas.

    ``at`` is a path, or the open file itself: that is faster, and cannot be another file by now.
    """
    is_open = isinstance(at, int)
    found = {}
    for name in sorted(os.listxattr(at, follow_symlinks=is_open)):
        if not name.startswith("ceph."):
            value = os.getxattr(at, name, follow_symlinks=is_open)
            short = len(value) <= SHORT_VALUE
            found[name] = (
                base64.b64encode(value).decode() if short else hashlib.sha256(value).hexdigest()
            )
    if found:
        entry["xattrs"] = found
