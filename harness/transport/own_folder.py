"""Folders and files that a script of ours makes on a machine, so that no other user can steer them.

A user who can write in the folder above can put a link or a folder at a name that he guesses; root
would then write where that leads. Part of scripts that are sent: standard library of Python
3.8 only.
"""

from __future__ import annotations

import contextlib
import os
import stat


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
