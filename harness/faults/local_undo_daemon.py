"""Stores undo on this computer: one process per undo, which outlives the harness.

The process waits until the lease ends, and then runs the undo. The harness renews the lease by
rewriting its file. After a restart of this computer the process is gone: `./cutover heal` finds the
folder. ``python -m harness.faults.local_undo_daemon FOLDER`` is that process.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from harness.core.errors import TimedOut, Unhealed
from harness.core.waiting import until
from harness.faults.commands import run_here
from harness.faults.model import Undo
from harness.settings import ROOT, state_dir

# The process gives up on an undo that fails for this long: `./cutover heal` still finds it.
_TRIES_S = 900.0
_FOREVER_S = 7 * 86400.0


def arm(undo: Undo) -> None:
    """Store the undo, and start the process that waits for its lease to end."""
    folder = _folder(undo.id)
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "entry.json", undo.model_dump_json())
    _begin_lease(folder, undo.lease_s)
    # The shell ends at once and orphans the process: the harness need not wait for it.
    process = (sys.executable, "-m", "harness.faults.local_undo_daemon", str(folder))
    subprocess.run(
        ["/bin/sh", "-c", '"$@" &', "undo", *process],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # neither Ctrl-C nor a hang-up of the terminal reaches it
        check=True,
    )


def renew(undo: Undo) -> bool:
    """Begin the lease anew; False when the undo has already run."""
    folder = _folder(undo.id)
    with _alone(folder) as still_there:
        if still_there:
            _begin_lease(folder, undo.lease_s)
        return still_there


def heal(name: str) -> None:
    """Run the undo of that id now, if it is still there; Unhealed when a command of it failed.

    An entry that a crash damaged is removed: its fault was never injected, because an entry is
    complete on the disk before that.
    """
    folder = _folder(name)
    with _alone(folder) as still_there:
        if not still_there:
            return
        undo = _entry(folder)
        failed = [] if undo is None else _failures(undo)
        if failed:
            raise Unhealed(
                f"the undo of {name} failed here: {'; '.join(failed)}",
                remedy=f"see {folder}/entry.json; ./cutover heal tries again",
            )
        shutil.rmtree(folder)


def armed() -> Mapping[str, Undo | None]:
    """Every undo stored here, by its id; None for one that a crash damaged."""
    folders = sorted(it for it in _home().glob("*") if it.is_dir())
    return {folder.name: _entry(folder) for folder in folders}


def _entry(folder: Path) -> Undo | None:
    try:
        return Undo.model_validate_json((folder / "entry.json").read_bytes())
    except (OSError, ValidationError):
        return None


def watch(folder: Path) -> None:
    """Wait until the lease has ended, then run the undo until it succeeds."""
    until(lambda: _left_s(folder) <= 0, within_s=_FOREVER_S, what="the lease", every_s=0.2)
    try:
        until(lambda: _try(folder.name), within_s=_TRIES_S, what="the undo", every_s=2.0)
    except TimedOut:
        sys.exit(1)


def _try(name: str) -> bool:
    try:
        heal(name)
    except Unhealed:
        return False
    return True


def _failures(undo: Undo) -> list[str]:
    """Run every command, also after a failed one; returns the failures."""
    failed = []
    for command in undo.commands:
        done = run_here(command, undo.within_s)
        if done.status != 0:
            failed.append(f"`{shlex.join(command)}` ended with {done.status}: {done.stderr[-200:]}")
    return failed


def _home() -> Path:
    return state_dir() / "faults"


def _folder(name: str) -> Path:
    return _home() / name


def _begin_lease(folder: Path, lease_s: float) -> None:
    """Write the end of the lease, on the boot-time clock, which also runs during sleep."""
    _write(folder / "lease", f"{time.clock_gettime(time.CLOCK_BOOTTIME) + lease_s:.3f}")


def _write(path: Path, text: str) -> None:
    """Write a file atomically and sync it to the disk."""
    part = path.with_name(f"{path.name}.part")
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _left_s(folder: Path) -> float:
    """Seconds until the lease ends; 0 when the undo has run or the lease is unreadable."""
    try:
        end = float((folder / "lease").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0.0
    return end - time.clock_gettime(time.CLOCK_BOOTTIME)


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Hold the undo's lock: no other process renews or undoes it; False when it has already run."""
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield False
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder.exists()
    finally:
        os.close(lock)


if __name__ == "__main__":
    watch(Path(sys.argv[1]))
