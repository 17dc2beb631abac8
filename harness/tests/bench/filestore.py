"""What comparing two filestores costs beside rsync: ``python -m harness.tests.bench.filestore``.

Plants a filestore of 100,000 files (1 to 40 KiB, named by content, in 256 folders) and a copy of it
in a temporary folder, and lets each way compare them in turn, three times, from a warm page cache:
``rsync -nc``; rsync with what a manifest also proves (``-aAXH`` and SHA-1, the strongest digest
that it has); and the two manifests as the restore drill makes and compares them. Prints as JSON the
seconds of each, on the clock and of processors (of all processes), best of three, and how many
times as much the manifests took. It is no test: a loaded machine would fail it for no reason.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from harness.backup import manifest
from harness.backup.equality.session import Server
from harness.backup.restore.files import FileNames, both_manifests, compare_files
from harness.backup.restore.side import Side
from harness.tests.postgres_server import ThisShell

_FILES, _ROUNDS = 100_000, 3
_SMALLEST, _LARGEST = 1 << 10, 40 << 10
_RSYNC = ("rsync", "--dry-run", "--checksum", "--recursive", "--out-format=%n")
_AS_MUCH = ("-aAXH", "--checksum-choice=sha1")


def plant(tree: Path, seed: int) -> None:
    """A filestore as Odoo lays it out."""
    draw = random.Random(seed)
    for at in range(256):
        (tree / f"{at:02x}").mkdir(parents=True)
    for _ in range(_FILES):
        content = draw.randbytes(draw.randint(_SMALLEST, _LARGEST))
        name = hashlib.sha1(content).hexdigest()
        (tree / name[:2] / name).write_bytes(content)


def rsync(one: Path, other: Path, *more: str) -> None:
    """A dry run that compares contents."""
    command = [*_RSYNC, *more, f"{one}/", f"{other}/"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert not [it for it in done.stdout.splitlines() if not it.endswith("/")]


def manifests(one: Path, other: Path) -> None:
    """The drill's comparison."""
    side = Side(shell=ThisShell(), place="here", server=Server("", 0, "", ""), backups="")
    sides = (side, str(one)), (side, str(other))
    with closing(FileNames()) as names, both_manifests(*sides, "bench") as (old, new):
        found = compare_files(old, new, time.time(), (), names)
    assert not found.counts, found


def cost(compare: Callable[[], None]) -> tuple[float, float]:
    """Seconds on the clock, and of processors, of this process and those that it starts."""
    began, before = time.monotonic(), os.times()
    compare()
    after = os.times()
    return time.monotonic() - began, sum(after[:4]) - sum(before[:4])


def main() -> None:
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="cutover-bench-") as place:
        manifest.FOLDERS = f"{place}/manifests"
        one, other = Path(place) / "one", Path(place) / "other"
        plant(one, seed=1)
        shutil.copytree(one, other)
        ways: dict[str, Callable[[], None]] = {
            "rsync": lambda: rsync(one, other),
            "rsync_as_much": lambda: rsync(one, other, *_AS_MUCH),
            "manifests": lambda: manifests(one, other),
        }
        rounds = [{way: cost(compare) for way, compare in ways.items()} for _ in range(_ROUNDS)]
    found: dict[str, Any] = {
        "files": _FILES,
        "load": [round(load, 1), round(os.getloadavg()[0], 1)],
    }
    for at, what in enumerate(("took_s", "cpu_s")):
        least = {way: min(it[way][at] for it in rounds) for way in ways}
        found[what] = {way: round(seconds, 2) for way, seconds in least.items()}
        found[f"ratio_{what}"] = {
            way: round(least["manifests"] / least[way], 2) for way in ways if way != "manifests"
        }
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    sys.stdout.write(json.dumps(found | {"peak_mb": round(peak_mb)}) + "\n")


if __name__ == "__main__":
    main()
