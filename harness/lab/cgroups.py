"""Control groups of a lab: one per machine, with its limits, and one for the builds.

Every process of a lab is in one of them, so all can be found and ended after any crash. Both
layouts of the kernel are supported: one hierarchy per controller (v1) and the unified one (v2).
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from harness.core.errors import TimedOut
from harness.core.waiting import until

MOUNT = Path("/sys/fs/cgroup")
# A group competes for the processor like one process, beside every single process of this host; a
# lab is three machines full of processes. The share must stay small: the kernel's own threads are
# such processes too. With the share of twenty, one boot in six took three minutes, while Docker
# spun for the kernel's lock on networks; with the share of one, no restart of Docker took that
# long. The unit is v1's, where a process has 1024.
SHARES = 2 * 1024
# The controllers that limit or measure a machine's group; others are left alone.
CONTROLLERS = ("cpu", "cpuset", "memory", "pids", "blkio", "devices", "freezer", "cpuacct")
FREEZE_TRIES = 3


def unified() -> bool:
    """True if this host has only the unified hierarchy."""
    return (MOUNT / "cgroup.controllers").exists()


def hierarchies() -> list[Path]:
    """The root of every hierarchy that a group must exist in."""
    if unified():
        return [MOUNT]
    found = [MOUNT / name for name in (*CONTROLLERS, "systemd", "unified")]
    return [path for path in found if (path / "cgroup.procs").exists()]


def make(group: str, *, memory_bytes: int = 0, processes: int = 0) -> list[Path]:
    """Make a group (``lab/machine``) in every hierarchy, with limits where given (0: none)."""
    made = []
    for root in hierarchies():
        folder = root
        for part in group.split("/"):
            folder = folder / part
            folder.mkdir(exist_ok=True)
            _inherit_cpus(folder)
            if unified():
                (folder.parent / "cgroup.subtree_control").write_text("+cpu +memory +pids +io")
        made.append(folder)
        _limit(root / group.split("/")[0], "cpu.shares", "cpu.weight", _weight(SHARES))
        _limit(folder, "memory.limit_in_bytes", "memory.max", memory_bytes)
        _limit(folder, "pids.max", "pids.max", processes)
    return made


def _inherit_cpus(folder: Path) -> None:
    # A new v1 cpuset is empty, and an empty cpuset takes no process.
    for name in ("cpuset.cpus", "cpuset.mems"):
        own, above = folder / name, folder.parent / name
        if own.exists() and not unified() and not own.read_text().strip():
            own.write_text(above.read_text())


def _weight(shares: int) -> int:
    """Shares of v1 in the unit of this host's hierarchy: v2 gives a process 100."""
    return shares * 100 // 1024 if unified() else shares


def _limit(folder: Path, v1: str, v2: str, value: int) -> None:
    path = folder / (v2 if unified() else v1)
    if value and path.exists():
        path.write_text(str(value))


def pids(group: str) -> set[int]:
    """Every process in the group or below it."""
    found: set[int] = set()
    for top in _folders(group):
        # os.walk skips a folder that disappears meanwhile: its processes have ended.
        for folder, _, _ in os.walk(top):
            with contextlib.suppress(OSError):
                listed = Path(folder, "cgroup.procs").read_text()
                found.update(int(pid) for pid in listed.split())
    return found


def memory_bytes(group: str) -> int:
    """The memory that the group's processes hold, without what the kernel can drop at once."""
    for folder in _folders(group):
        stat = folder / "memory.stat"
        if stat.exists():
            lines = (line.split() for line in stat.read_text().splitlines())
            values = {key: int(value) for key, value in lines}
            return values.get("total_rss", 0) or values.get("anon", 0)
    return 0


def kill(group: str, *, within_s: float = 30) -> None:
    """End every process of the group, and wait until none is left."""

    def gone() -> bool:
        alive = pids(group) - {os.getpid()}
        for pid in alive:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        return not alive

    until(gone, within_s=within_s, every_s=0.1, what=f"every process of {group} has ended")


def freeze(groups: Sequence[str], frozen: bool, *, within_s: float = 20) -> None:
    """Stop every process of the groups where it is, or let it continue: in all of them at once."""
    waits = [
        wait for group in groups for folder in _folders(group) for wait in _freeze(folder, frozen)
    ]
    for file, text in waits:
        what = f"{file.parent} is {'frozen' if frozen else 'thawed'}"
        until(partial(_reads, file, text), within_s=within_s, every_s=0.05, what=what)


def stand_still(groups: Sequence[str], containers: Sequence[str]) -> None:
    """Freeze the groups and the ``containers`` in them; TimedOut if a process does not stop.

    A process that waits for CephFS stops only with its answer: the containers stop before CephFS's
    client does, and after a failure everything continues before the next try.
    """
    for left in reversed(range(FREEZE_TRIES)):
        try:
            freeze(containers, True)
            freeze(groups, True)
        except TimedOut:
            if not left:
                raise
            freeze([*groups, *containers], False)
        else:
            return


def _freeze(folder: Path, frozen: bool) -> Iterator[tuple[Path, str]]:
    """Ask for it in one hierarchy; yields the file that tells when it is done, and its words."""
    state = folder / "freezer.state"
    if state.exists():
        want = "FROZEN" if frozen else "THAWED"
        state.write_text(want)
        yield state, want
    elif unified():
        (folder / "cgroup.freeze").write_text(str(int(frozen)))
        yield folder / "cgroup.events", f"frozen {int(frozen)}"


def _reads(path: Path, text: str) -> bool:
    return text in path.read_text()


def remove(group: str) -> None:
    """Remove the group, which must be empty."""
    for top in _folders(group):
        for folder, _, _ in os.walk(top, topdown=False):
            Path(folder).rmdir()


def _folders(group: str) -> Iterator[Path]:
    for root in hierarchies():
        if (root / group).is_dir():
            yield root / group
