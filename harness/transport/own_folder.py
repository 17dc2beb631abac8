"""Folders and files that a script makes on a machine, safe from the links of other users.

A user who can write in the parent folder can put a link or a folder at a guessed name; root would
then write to its target.

A script removes its folder when it ends, also after a lost connection: it goes on until its own
limits end it. Only a script that is killed, or whose machine loses power, leaves its folder there.
The script owns the folder by a lock on it, and the kernel releases the lock with the process.
``sweep`` removes folders without a lock. Each script calls it before it makes its own folder, and
``./cutover heal`` runs it on all machines.

Part of scripts that are sent to machines, and a script itself: standard library of Python 3.8 only.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

# A new folder has no lock for a moment.
JUST_MADE_S = 10.0


class NotOurs(OSError):
    """The path is a link, belongs to another user, or is open to others."""


def make(path: str) -> None:
    """Make the folder, for this user only; an existing one must be so too (else NotOurs).

    The parent folder must exist.
    """
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)  # noqa: PTH102 (pathlib's swallows what is no folder)
    check(path)


def check(path: str) -> None:
    """Raise NotOurs unless it is this user's private folder; FileNotFoundError without one."""
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode):
        raise NotOurs(f"{path} is not a folder, and may be a trap: look at it, and remove it")
    if found.st_uid != os.geteuid():
        raise NotOurs(f"{path} belongs to user {found.st_uid}: look at it, and remove it")
    if found.st_mode & 0o077:
        mode = stat.S_IMODE(found.st_mode)
        raise NotOurs(f"{path} is open to other users ({mode:o}): look at it, and remove it")


def opener(path: str, flags: int) -> int:
    """For ``open``: follows no link at the end of the path, and makes files for this user only."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


@contextlib.contextmanager
def scratch(place: str, prefix: str) -> Iterator[str]:
    """A private folder that no sweep removes while the body runs."""
    with tempfile.TemporaryDirectory(prefix=prefix, dir=place) as folder:
        held = _open(folder)
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
            yield folder
        finally:
            os.close(held)


def sweep(place: str, prefix: str, older_s: float = JUST_MADE_S) -> dict[str, str | None]:
    """Remove private folders that no script locks and that were unchanged for ``older_s``.

    Returns the path of each, and why it is still there; None: it is gone. A link, a folder of
    another user, or one that is open to others is left alone.
    """
    swept: dict[str, str | None] = {}
    for left in sorted(map(str, Path(place).glob(f"{prefix}*"))):
        try:
            check(left)
            held = _open(left)
        except OSError:
            continue
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if time.time() - os.fstat(held).st_mtime > older_s:
                swept[left] = _removed(left)
        except BlockingIOError:
            continue
        finally:
            os.close(held)
    return swept


def _open(folder: str) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _removed(folder: str) -> str | None:
    try:
        shutil.rmtree(folder)
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    return None


def main() -> None:
    """Sweep each [place, prefix, older_s] of a list in JSON; a line of JSON says what was swept."""
    swept: dict[str, str | None] = {}
    for place, prefix, older_s in json.loads(sys.argv[1]):
        swept.update(sweep(place, prefix, older_s))
    sys.stdout.write(json.dumps(swept) + "\n")


if __name__ == "__main__":
    main()
