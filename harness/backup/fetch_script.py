"""Runs on a machine: gives out a manifest that ``manifest_script`` made there, and removes it.

Words: ``fetch`` prints a piece; ``drop`` removes it all. Apart from the making, because a manifest
is fetched in many pieces, and each starts a python: one that imports little starts three times as
fast. Standard library of Python 3.8 only.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import sys
from typing import TypedDict

from harness.transport import own_folder


class Fetch(TypedDict):
    folder: str
    offset: int
    bytes: int


class Drop(TypedDict):
    folder: str


def fetch(options: Fetch) -> str:
    """A piece of a manifest in base64; shorter than asked at its end, empty beyond it."""
    own_folder.check(options["folder"])
    path = os.path.join(options["folder"], "lines.gz")  # noqa: PTH118 (pathlib starts slowly)
    with open(path, "rb", opener=own_folder.opener) as file:
        file.seek(options["offset"])
        piece = file.read(options["bytes"])
    return base64.b64encode(piece).decode()


def drop(options: Drop) -> bool:
    """Remove a manifest; true if nothing of it is left."""
    shutil.rmtree(options["folder"], ignore_errors=True)
    return not os.path.lexists(options["folder"])


def main() -> None:
    word, options = sys.argv[1], json.loads(sys.argv[2])
    sys.stdout.write(json.dumps({"fetch": fetch, "drop": drop}[word](options)) + "\n")


if __name__ == "__main__":
    main()
