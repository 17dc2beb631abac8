"""Enter the network namespace of a cluster that is reachable only from inside one."""

from __future__ import annotations

import ctypes
import os
import threading
from pathlib import Path

from harness.errors import ConfigError, Denied

_CLONE_NEWNET = 0x40000000
_OURS = Path("/proc/thread-self/ns/net")


def enter_network(path: Path) -> None:
    """Move this process's network into the namespace at ``path``; does nothing when it is there.

    Only the calling thread moves, and threads that it starts later: call it before any other
    thread or socket exists. ConfigError when the namespace is missing or it is too late to enter,
    Denied without root's rights.
    """
    try:
        wanted = path.stat()
    except OSError as error:
        raise ConfigError(
            f"the network namespace {path} is missing: the lab is not up",
            remedy="./cutover lab up",
        ) from error
    ours = _OURS.stat()
    if (wanted.st_dev, wanted.st_ino) == (ours.st_dev, ours.st_ino):
        return
    others = [thread.name for thread in threading.enumerate() if thread is not _this_thread()]
    if others:
        raise ConfigError(
            f"too late to enter the network namespace {path}: threads run outside it "
            f"({', '.join(others)})",
            remedy="call enter_network before anything else starts",
        )
    _setns(path)


def _this_thread() -> threading.Thread:
    return threading.current_thread()


def _setns(path: Path) -> None:
    # os.setns came with Python 3.12.
    libc = ctypes.CDLL(None, use_errno=True)
    namespace = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(namespace, _CLONE_NEWNET) == 0:
            return
        why = os.strerror(ctypes.get_errno())
    finally:
        os.close(namespace)
    raise Denied(f"cannot enter the network namespace {path}: {why}", remedy="run as root")
