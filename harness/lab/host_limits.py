"""Limits of this host's kernel that all machines of all labs share, raised while a lab is up.

Debian's defaults are for one system. Three machines with their containers reach them, and the
fourth systemd that asks for an inotify instance does not boot. The previous values are stored
beside the locks and restored when the last lab goes down.
"""

from __future__ import annotations

import json
from pathlib import Path

from harness.settings import state_dir

NEEDED = {
    "fs/inotify/max_user_instances": 8192,
    "fs/inotify/max_user_watches": 1048576,
    "fs/aio-max-nr": 1048576,
}
SYSCTL = Path("/proc/sys")


def _before() -> Path:
    return state_dir() / "locks" / "ceilings.json"


def lift() -> None:
    """Raise the limits that are too low, and store the previous values."""
    low = {name: value for name, value in NEEDED.items() if _now(name) < value}
    kept = json.loads(_before().read_text()) if _before().exists() else {}
    kept = {name: _now(name) for name in low} | kept
    if low:
        _before().write_text(json.dumps(kept))
    for name, value in low.items():
        (SYSCTL / name).write_text(str(value))


def restore() -> None:
    """Restore the previous values, unless another lab is still up."""
    labs = state_dir() / "labs"
    if not _before().exists() or (labs.exists() and any(labs.iterdir())):
        return
    for name, value in json.loads(_before().read_text()).items():
        (SYSCTL / name).write_text(str(value))
    _before().unlink()


def _now(name: str) -> int:
    return int((SYSCTL / name).read_text())
