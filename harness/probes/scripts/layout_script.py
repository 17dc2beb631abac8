"""Runs in a pod, as ``python3 - PATH [FOLDER]``: what is at the top of a volume and in a folder.

Prints {"top", "active"}: lists of {"name", "kind": "folder", "file" or "other"}, the latter None
when there is no such folder. Standard library only.
"""

from __future__ import annotations

import json
import os
import sys

MOST = 2000  # entries of a folder that are listed


def listing(folder: str) -> list[dict[str, str]]:
    """The entries of a folder, by name."""
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda it: it.name)[:MOST]
    return [{"name": shown(it.name), "kind": kind(it)} for it in entries]


def kind(entry: os.DirEntry[str]) -> str:
    if entry.is_dir(follow_symlinks=False):
        return "folder"
    return "file" if entry.is_file(follow_symlinks=False) else "other"


def shown(name: str) -> str:
    """A printable name: bytes that are not UTF-8 as ``\\xNN``."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def main(arguments: list[str]) -> None:
    root, name = (*arguments, "active")[:2]
    active = os.path.join(root, name)  # noqa: PTH118 (as small as it can be)
    found = {"top": listing(root), "active": listing(active) if os.path.isdir(active) else None}  # noqa: PTH112
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
