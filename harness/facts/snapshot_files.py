"""Which files among etcd's snapshots are whole ones, by what a listing says of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# RKE2 ends each name with the second in which it took the snapshot; it may compress it.
_TAKEN = re.compile(r"-\d{9,}(\.zip|\.db)?$")


def not_whole(file: Mapping[str, Any]) -> str | None:
    """Why a listed file (``name``, ``bytes``, perhaps ``database``) is no whole snapshot.

    None for a whole one. A file with a snapshot's name counts as a snapshot, also with other
    contents: the restore then shows what is wrong with it.
    """
    name = str(file["name"])
    if name.endswith((".part", ".tmp")):
        return "is not finished"
    if not file["bytes"]:
        return "is empty"
    if not file.get("database", True) and not _TAKEN.search(name):
        return "is no snapshot"
    return None
