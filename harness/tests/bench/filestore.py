"""What comparing two filestores costs beside rsync: ``python -m harness.tests.bench.filestore``.

Plants a filestore of 100,000 files (0 to 20,000 bytes, named by content, in 256 folders) and a copy
of it, in a temporary folder, and lets both ways compare them in turn, twice: ``rsync -nc``, and the
two manifests as the restore drill makes and compares them. Prints as JSON the seconds of each, and
how many times as much the manifests took, best against best: less than 1 is expected. It is no
test: a loaded machine would fail it for no reason.
"""

from __future__ import annotations

import hashlib
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness.backup import manifest
from harness.backup.equality.session import Server
from harness.backup.restore.files import both_manifests, compare_files
from harness.backup.restore.side import Side
from harness.tests.postgres_server import ThisShell

_FILES, _ROUNDS = 100_000, 2


def plant(tree: Path, seed: int) -> None:
    """A filestore as Odoo lays it out."""
    draw = random.Random(seed)
    for at in range(256):
        (tree / f"{at:02x}").mkdir(parents=True)
    for _ in range(_FILES):
        content = draw.randbytes(draw.randrange(20_000))
        name = hashlib.sha1(content).hexdigest()
        (tree / name[:2] / name).write_bytes(content)


def rsync(one: Path, other: Path) -> float:
    """The seconds of a dry run that compares contents."""
    began = time.monotonic()
    options = ["--dry-run", "--checksum", "--recursive", "--out-format=%n"]
    command = ["rsync", *options, f"{one}/", f"{other}/"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert not [it for it in done.stdout.splitlines() if not it.endswith("/")]
    return time.monotonic() - began


def manifests(one: Path, other: Path) -> float:
    """The seconds of the drill's comparison."""
    began = time.monotonic()
    side = Side(shell=ThisShell(), place="here", server=Server("", 0, "", ""), backups="")
    with both_manifests((side, str(one)), (side, str(other)), "bench") as (old, new):
        found, _, _ = compare_files(old, new, time.time(), ())
    assert not found.counts, found
    return time.monotonic() - began


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="cutover-bench-") as place:
        manifest.FOLDERS = f"{place}/manifests"
        one, other = Path(place) / "one", Path(place) / "other"
        plant(one, seed=1)
        shutil.copytree(one, other)
        both = [(rsync(one, other), manifests(one, other)) for _ in range(_ROUNDS)]
    best = [round(min(times), 1) for times in zip(*both, strict=True)]
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    found = {"files": _FILES, "rsync_s": best[0], "manifests_s": best[1], "peak_mb": round(peak_mb)}
    sys.stdout.write(json.dumps(found | {"ratio": round(best[1] / best[0], 2)}) + "\n")


if __name__ == "__main__":
    main()
