"""Runs on a machine, as ``python3 - PATH WITHIN_S``: what is mounted there, and does it answer?

A file system in user space that hangs never errs, and whoever asks it may hang with it beyond any
signal: a child asks, and is left alone when it gives no answer. Standard library of Python 3.8
only.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

# Lists the folder and reads a byte of the first file found in a few folders of it.
READ = """
import json, os, sys
root = sys.argv[1]
os.statvfs(root)
names, read = len(os.listdir(root)), None
for number, (folder, _, files) in enumerate(os.walk(root)):
    for name in sorted(files):
        path = os.path.join(folder, name)
        if read is None and os.path.isfile(path) and not os.path.islink(path):
            with open(path, "rb") as file:
                file.read(1)
            read = os.path.relpath(path, root).encode("utf-8", "surrogateescape")
    if read is not None or number == 50:
        break
told = read and read.decode("utf-8", "backslashreplace")
print(json.dumps({"names": names, "read": told}))
"""


def mounted(path: str, table: str) -> dict[str, Any] | None:
    """What is mounted at a path, by a mount table (``/proc/self/mountinfo``): the latest of it.

    ``root`` is the folder of the file system that shows there; ``read_only`` says whether the mount
    or the whole file system takes no writes.
    """
    found = None
    for line in table.splitlines():
        before, _, after = line.partition(" - ")
        _, _, _, root, place, options = before.split()[:6]
        if plain(place) == path:
            kind, source, of_all = after.split()[:3]
            found = {
                "type": kind,
                "source": plain(source),
                "root": plain(root),
                "read_only": "ro" in {*options.split(","), *of_all.split(",")},
            }
    return found


def plain(text: str) -> str:
    """A word of a mount table, whose spaces and the like are written as octal numbers."""
    head, *rest = text.split("\\")
    return head + "".join(chr(int(part[:3], 8)) + part[3:] for part in rest)


def read(path: str, within_s: float) -> dict[str, Any]:
    """What a child read below a path: ``value``, or ``error``."""
    command = [sys.executable, "-I", "-S", "-c", READ, path]
    child = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        said, complaint = child.communicate(timeout=within_s)
    except subprocess.TimeoutExpired:
        child.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(1)  # one that hangs in the kernel is left to itself
        for pipe in (child.stdout, child.stderr):
            if pipe is not None:
                pipe.close()
        return {"error": f"no answer within {within_s:g} s"}
    if child.returncode:
        last = (complaint.decode(errors="replace").strip().splitlines() or ["it says nothing"])[-1]
        return {"error": last}
    return {"value": json.loads(said)}


def main() -> None:
    path, within_s = sys.argv[1], float(sys.argv[2])
    mount = mounted(path, Path("/proc/self/mountinfo").read_text(errors="replace"))
    found = {"mount": mount, "read": read(path, within_s) if mount else None}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
