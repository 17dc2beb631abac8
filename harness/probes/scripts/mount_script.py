"""Runs on a machine, as ``python3 - PATH WITHIN_S``: what is mounted there, and does it answer?

With ``FOLDER NAME`` as further arguments, it writes instead: it makes a folder of that name below
PATH/FOLDER, and removes it again.

A file system in user space that hangs returns no error, and a process that asks it may hang too,
even against SIGKILL. So a child asks, and is abandoned if it gives no answer. Standard library of
Python 3.8 only.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path

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

# Writes, renames, reads back and removes a file in a folder of its own that only its owner may
# open, each by its open folder: no link leads elsewhere. The next child removes what a killed one
# left.
WRITE = """
import contextlib, json, os, stat, sys, time
root, folder, name = sys.argv[1:]
above = root + "/" + folder
said, here = name.encode(), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW

def drop(place, old):
    with contextlib.suppress(FileNotFoundError):
        inside = os.open(old, here, dir_fd=place)
        for file in ("new", "kept"):
            with contextlib.suppress(FileNotFoundError):
                os.remove(file, dir_fd=inside)
        os.close(inside)
        os.rmdir(old, dir_fd=place)

def is_left(place, old):
    found = os.lstat(old, dir_fd=place)
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
    return ours and not found.st_mode & 0o077 and time.time() - found.st_mtime > LEFTOVER_S

try:
    place = os.open(above, here)
except (FileNotFoundError, NotADirectoryError) as error:
    print(json.dumps({"unasked": "%s: %s" % (above, error.strerror)}))
    sys.exit()
if os.fstat(place).st_dev != os.stat(root).st_dev:
    print(json.dumps({"unasked": above + ": another file system is mounted there"}))
    sys.exit()
made = False
try:
    os.mkdir(name, 0o700, dir_fd=place)
    made = True
    inside = os.open(name, here, dir_fd=place)
    file = os.open("new", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=inside)
    os.write(file, said)
    os.fsync(file)
    os.close(file)
    os.rename("new", "kept", src_dir_fd=inside, dst_dir_fd=inside)
    file = os.open("kept", os.O_RDONLY | os.O_NOFOLLOW, dir_fd=inside)
    read = os.read(file, 1000)
    os.close(file)
    if read != said:
        raise OSError(0, "what was written reads back as %r" % read)
    os.remove("kept", dir_fd=inside)
    os.rmdir(name, dir_fd=place)
    with contextlib.suppress(OSError):
        for old in os.listdir(place):
            if old.startswith(PREFIX) and is_left(place, old):
                drop(place, old)
    print(json.dumps({"value": True}))
except OSError as error:
    print(json.dumps({"error": error.strerror}))
    with contextlib.suppress(OSError):
        made and drop(place, name)
"""
PREFIX = ".cutover-write-"
# No look lasts this long.
LEFTOVER_S = 600


def mounted(path: str, table: str) -> dict[str, object] | None:
    """The latest mount at a path, by a mount table (``/proc/self/mountinfo``).

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
    """A word of a mount table, which writes spaces and the like as octal numbers."""
    head, *rest = text.split("\\")
    return head + "".join(chr(int(part[:3], 8)) + part[3:] for part in rest)


def read(path: str, within_s: float) -> dict[str, object]:
    """What a child read below a path: ``value``, or ``error``."""
    found = from_child(READ, [path], within_s)
    return found if "error" in found else {"value": found}


def write(path: str, folder: str, name: str, within_s: float) -> dict[str, object]:
    """Whether a child could write in a folder: ``value``, ``error``, or ``unasked`` (not tried).

    ``name`` names the child's own folder, after a common prefix.
    """
    known = f"PREFIX, LEFTOVER_S = {PREFIX!r}, {LEFTOVER_S}\n"
    return from_child(known + WRITE, [path, folder, PREFIX + name], within_s)


def from_child(text: str, words: list[str], within_s: float) -> dict[str, object]:
    """The answer of a child that runs a program with these arguments, or ``error``.

    ``harness.facts.legacy`` has the types of the answers.
    """
    command = [sys.executable, "-I", "-S", "-c", text, *words]
    child = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        said, complaint = child.communicate(timeout=within_s)
    except subprocess.TimeoutExpired:
        child.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(1)  # a child that hangs in the kernel is abandoned
        for pipe in (child.stdout, child.stderr):
            if pipe is not None:
                pipe.close()
        return {"error": f"no answer within {within_s:g} s"}
    if child.returncode:
        last = (complaint.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
        return {"error": last}
    found: dict[str, object] = json.loads(said)
    return found


def main() -> None:
    path, within_s, own = sys.argv[1], float(sys.argv[2]), sys.argv[3:]
    if own:
        folder, name = own
        sys.stdout.write(json.dumps(write(path, folder, name, within_s)) + "\n")
        return
    mount = mounted(path, Path("/proc/self/mountinfo").read_text(errors="replace"))
    found = {"mount": mount, "read": read(path, within_s) if mount else None}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
