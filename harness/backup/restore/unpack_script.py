"""Runs at the target of a restore: tells its free space, unpacks a backup, and removes that again.

Words: ``space``, ``size``, ``unpack``, ``remove``. An archive is unpacked into a new folder, entry
by entry past the same guards that inspected it. Exit status: 0, or 1 with the reason as an answer.
Standard library of Python 3.8 only.
"""

from __future__ import annotations

import json
import os
import posixpath
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NoReturn, TypedDict

from harness.backup.restore.archive_script import (
    MIB,
    UNREADABLE,
    Bomb,
    Entry,
    Guard,
    Limits,
    entries_of_tar,
    entries_of_zip,
    shown,
)
from harness.backup.restore.inspect_script import DATA, ZIP_FILES

# Only folders of this prefix are made and removed.
PREFIX = "cutover_restored_"


class Place(TypedDict):
    folder: str


class Order(TypedDict):
    """What to unpack: entries below ``filestore`` go below ``to``, and Odoo's dump beside it."""

    format: str
    folder: str
    name: str
    into: str
    filestore: str
    to: str
    limits: Limits


class Refused(Exception):
    """An entry that must not be unpacked, or a folder that is not ours."""


def space(order: Place) -> dict[str, object]:
    """The free bytes beside a folder that is to be made, and whether it is there already."""
    parent = os.path.dirname(order["folder"])  # noqa: PTH120 (a path of another machine's order)
    found = os.statvfs(parent)
    return {
        "free": found.f_bavail * found.f_frsize,
        "exists": os.path.lexists(order["folder"]),
        "writable": os.access(parent, os.W_OK | os.X_OK),
    }


def size(order: Place) -> int:
    """The bytes of all files of a tree."""
    return sum(
        os.lstat(os.path.join(folder, name)).st_size  # noqa: PTH118
        for folder, _, names in os.walk(order["folder"], onerror=_raise)
        for name in names
    )


def _raise(error: OSError) -> NoReturn:
    raise error


def unpack(order: Order) -> int:
    """Unpack the archive into a new folder; how many entries."""
    into = _ours(order["into"])
    into.mkdir(mode=0o700)
    guard, number = Guard(), 0
    cut: list[str] = []
    path = Path(order["folder"]) / order["name"]
    if order["format"] == "files":
        path = path.with_name(f"{path.name}_{DATA}")
    with path.open("rb") as packed:
        for entry in _entries(order, packed, cut):
            wrong = guard.against(entry)
            if wrong is not None:
                raise Refused(wrong[1])
            number += _written(entry, into, order)
    if cut:
        raise Refused(cut[0])
    return number


def _entries(order: Order, packed: IO[bytes], cut: list[str]) -> Iterator[Entry]:
    if order["format"] == "zip":
        return entries_of_zip(packed, order["limits"])
    return entries_of_tar(packed, order["limits"], lambda _, says: cut.append(says))


def _written(entry: Entry, into: Path, order: Order) -> int:
    name = _renamed(entry.name, order)
    path = into / name
    if entry.kind == "folder":
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(entry.mode & 0o777 | 0o700)
        return 1
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink() or path.is_file():
        path.unlink()  # a tar may hold a name twice: the later one counts
    if entry.kind == "link":
        path.symlink_to(entry.target)
        return 1
    if entry.kind == "hard link":
        os.link(into / _renamed(entry.target, order), path, follow_symlinks=False)
        return 1
    with path.open("xb") as file:
        while True:
            piece = entry.read(MIB)
            if not piece:
                break
            file.write(piece)
    path.chmod(entry.mode & 0o777)
    if os.geteuid() == 0:
        os.chown(path, entry.uid, entry.gid)
    os.utime(path, (entry.mtime, entry.mtime))
    return 1


def _renamed(name: str, order: Order) -> str:
    """Where an entry goes: the filestore is named after the restored database."""
    plain = posixpath.normpath(name)
    filestore = ZIP_FILES if order["format"] == "zip" else order["filestore"]
    if plain == filestore or plain.startswith(filestore + "/"):
        return order["to"] + plain[len(filestore) :]
    return plain


def remove(order: Place) -> bool:
    """Remove a folder that a restore made; whether there was one."""
    folder = _ours(order["folder"])
    if not os.path.lexists(folder):
        return False
    shutil.rmtree(folder)
    return True


def _ours(path: str) -> Path:
    folder = Path(path)
    if not folder.name.startswith(PREFIX):
        raise Refused(f"{shown(path)} is no folder of a restore")
    return folder


def main() -> None:
    """Answer one word with a line of JSON."""
    word, order = sys.argv[1], json.loads(sys.argv[2])
    words = {"space": space, "size": size, "unpack": unpack, "remove": remove}
    try:
        answer: object = {"done": words[word](order)}
    except (Refused, Bomb, *UNREADABLE) as error:
        answer = {"failed": f"{type(error).__name__}: {error}"}
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
