"""What a manifest costs beside the plain way: ``python -m harness.tests.bench.manifest [FOLDER]``.

Plants a tree (20,000 small files in 200 folders, and six of 100 MiB) below FOLDER, by default in a
temporary folder, and lets both ways read it in turn, three times: ``find -type f | xargs
sha256sum``, and the manifest as a machine makes it. Prints as JSON the seconds of each, on the
clock and of processors, and how many times as much the manifest took, best of three against best
of three; of the clock, 1.3 is allowed. It is no test: a loaded machine would fail it for no reason.

Beside CephFS, FOLDER is one of it: then the caches are those of its client.
"""

from __future__ import annotations

import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.backup.manifest import SCRIPT, WORKERS

_FOLDERS, _FILES, _LARGE = 200, 100, 6
_ROUNDS = 3
_PLAIN = 'find "$1" -type f -print0 | xargs -0 sha256sum > "$2"'


def plant(tree: Path, seed: int) -> None:
    """Files of 0 to 20,000 bytes, and a few of 100 MiB, of seeded bytes."""
    draw = random.Random(seed)
    for number in range(_FOLDERS):
        folder = tree / f"folder-{number:03}"
        folder.mkdir(parents=True)
        for name in range(_FILES):
            (folder / f"file-{name}").write_bytes(draw.randbytes(draw.randrange(20_000)))
    for number in range(_LARGE):
        with (tree / f"large-{number}").open("wb") as file:
            for _ in range(100):
                file.write(draw.randbytes(1 << 20))


def cost(command: Sequence[str], stdin: str = "") -> tuple[float, float]:
    """Seconds that a command takes: on the clock, and of processors."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, input=stdin.encode(), stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return round(time.perf_counter() - began, 2), round(cpu_s, 2)


def plain(tree: Path, scratch: Path) -> tuple[float, float]:
    return cost(["sh", "-c", _PLAIN, "sh", str(tree), str(scratch / "sums")])


def manifest(tree: Path, scratch: Path) -> tuple[float, float]:
    options = {
        "root": str(tree),
        "folder": str(scratch / "cutover-manifest-bench"),
        "except": [],
        "slice_s": 600,
        "silent_s": 60,
        "workers": WORKERS,
    }
    command = ["python3", "-I", "-S", "-"]
    took = cost([*command, json.dumps(options)], SCRIPT.text)
    shutil.rmtree(str(options["folder"]))
    return took


def main(arguments: list[str]) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="cutover-bench-", dir=(*arguments, None)[0]) as place,
        tempfile.TemporaryDirectory(prefix="cutover-bench-") as scratch,
    ):
        tree = Path(place) / "tree"
        plant(tree, seed=1)
        both = [(plain(tree, Path(scratch)), manifest(tree, Path(scratch))) for _ in range(_ROUNDS)]
    found: dict[str, Any] = {"plain": [], "manifest": []}
    for one, other in both:
        found["plain"].append({"took_s": one[0], "cpu_s": one[1]})
        found["manifest"].append({"took_s": other[0], "cpu_s": other[1]})
    for what in ("took_s", "cpu_s"):
        least = {way: min(it[what] for it in found[way]) for way in ("plain", "manifest")}
        found[f"ratio_{what}"] = round(least["manifest"] / least["plain"], 2)
    sys.stdout.write(json.dumps(found | {"allowed": 1.3}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
