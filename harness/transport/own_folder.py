"""Folders and files that a script of ours makes on a machine, so that no other user can steer them.

A user who can write in the folder above can put a link or a folder at a name that he guesses; root
would then write where that leads.

A script removes its folder when it ends, also when the connection was lost: it goes on, and its own
limits end it. Only one that is killed, or whose machine loses its power, leaves its folder there.
Nobody could renew such a folder from afar, so its owner is the script: it holds a lock on the
folder, and the kernel ends that with the process. ``sweep`` removes what nobody holds: each script
before it makes its own, and ``./cutover heal`` on all machines.

Part of scripts that are sent, and one itself: standard library of Python 3.8 only.
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

# Between the making of a folder and its lock it is held by nobody.
JUST_MADE_S = 10.0


class NotOurs(OSError):
    """What lies at a path of ours is a link, of another user, or open to others."""


def make(path: str) -> None:
    """Make the folder, for us alone; one that is there already must be so (else NotOurs).

    The folder above it has to be there.
    """
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)  # noqa: PTH102 (pathlib's swallows what is no folder)
    check(path)


def check(path: str) -> None:
    """Raise NotOurs unless it is a folder of ours alone; FileNotFoundError when there is none."""
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode):
        raise NotOurs(f"{path} is not a folder, and may be a trap: look at it, and remove it")
    if found.st_uid != os.geteuid():
        raise NotOurs(f"{path} belongs to user {found.st_uid}: look at it, and remove it")
    if found.st_mode & 0o077:
        mode = stat.S_IMODE(found.st_mode)
        raise NotOurs(f"{path} is open to other users ({mode:o}): look at it, and remove it")


def opener(path: str, flags: int) -> int:
    """For ``open``: never through a link at the end of the path, and for us alone."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


@contextlib.contextmanager
def scratch(place: str, prefix: str) -> Iterator[str]:
    """A folder of ours while the body runs: no sweep removes it meanwhile."""
    with tempfile.TemporaryDirectory(prefix=prefix, dir=place) as folder:
        held = _open(folder)
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
            yield folder
        finally:
            os.close(held)


def sweep(place: str, prefix: str, older_s: float = JUST_MADE_S) -> dict[str, str | None]:
    """Remove folders of ours that no script holds, and in which nothing was made for ``older_s``.

    Returns the path of each, and why it is still there; None: it is gone. What is a link, of
    another user, or open to others is not ours.
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
