"""Runs on a machine as root: ``look``, ``guard`` or ``stop``, with its request as JSON.

``look``   prints the facts about a partition as one line of JSON
``guard``  decides, opens the device for itself alone, decides again while it holds it, and only
           then runs fio on what it holds: through the open file, so that no path leads elsewhere
``stop``   ends the guards that carry a token, and says how many there were

fio is killed when its time is over, on a signal to stop, and when its output has no reader
(the connection was lost); the kernel kills it when this script is killed. Lines of progress come
first, one line of JSON with the result comes last. Standard library of Python 3.8 only.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from harness.bench.scripts.disk_rules import refusals
from harness.bench.scripts.facts_script import look
from harness.transport.own_folder import scratch, sweep

if TYPE_CHECKING:
    from harness.bench.scripts.facts_script import Facts

DEVICE, FILE = "@DEVICE@", "@FILE@"
STOP_S = 10.0
# On the system's disk, like etcd; /tmp may be memory.
PLACE, PREFIX = "/var/tmp", "cutover-bench-"
PR_SET_PDEATHSIG = 1
SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
# Facts that must be the same before and after the device was opened.
IDENTITY = ("device", "kernel", "table", "soundness")


class GuardRefused(Exception):
    """The guard said no; nothing was written."""

    def __init__(self, why: list[str]) -> None:
        super().__init__("; ".join(why))
        self.why = why


class Stopped(Exception):
    """fio was ended before it was done."""


def hold(recorded: Facts, before: Facts) -> int:
    """Open the device that was looked at ``before`` exclusively; GuardRefused if it may not be.

    While it is held, no file system, volume manager or OSD can take it.
    """
    said = refusals(before, recorded)
    if said:
        raise GuardRefused(said)
    try:
        held = os.open(recorded["path"], os.O_RDWR | os.O_EXCL | os.O_CLOEXEC)
    except OSError as error:
        raise GuardRefused(
            [f"it is in use, exclusive open failed: {os.strerror(error.errno or 0)}"]
        ) from None
    after = look(recorded, held)
    changed = [it for it in IDENTITY if after.get(it) != before.get(it)]
    said = refusals(after, recorded)
    if changed:
        said.append(f"it changed between looking and opening: {', '.join(changed)}")
    if said:
        os.close(held)
        raise GuardRefused(said)
    return held


def guard(recorded: Facts) -> Facts:
    """fio's measurement on the guarded device, or why it was refused."""
    seen = look({**recorded, "exclusive": True})
    try:
        held = hold(recorded, seen)
    except GuardRefused as no:
        return {"refused": no.why, "seen": seen}
    try:
        sweep(PLACE, PREFIX)
        with scratch(PLACE, PREFIX) as folder:
            done = measure(recorded, held, Path(folder))
    except Stopped as why:
        return {"stopped": str(why), "seen": seen}
    finally:
        os.close(held)
    return {**done, "seen": seen}


def measure(recorded: Facts, held: int, folder: Path) -> Facts:
    """Run fio on the open device and wait for it; Stopped when it had to be killed."""
    job, output, errors = folder / "job.fio", folder / "output.json", folder / "errors"
    # A path of this process: it stays the same file even if the device's path changes.
    device = f"/proc/{os.getpid()}/fd/{held}"
    text = recorded["job"].replace(DEVICE, device).replace(FILE, str(folder / "file"))
    job.write_text(text)
    version = subprocess.run(["fio", "--version"], capture_output=True, text=True, timeout=STOP_S)
    argv = ["fio", "--output-format=json+", f"--output={output}", "--eta=always"]
    argv += ["--eta-newline=1", f"--aux-path={folder}", str(job)]
    with errors.open("wb") as complaints, listening() as told:
        fio = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaints,
            cwd=folder,
            preexec_fn=die_with(os.getpid()),
        )
        try:
            follow(fio, time.monotonic() + recorded["limit_s"], told)
        finally:
            fio.kill()
            fio.wait()
    return {
        "status": fio.returncode,
        "output": output.read_text() if output.exists() else "",
        "errors": errors.read_text(errors="replace")[-2000:],
        "version": version.stdout.strip(),
    }


@contextlib.contextmanager
def listening() -> Iterator[list[int]]:
    """A list that fills with the signals that stop this process."""
    told: list[int] = []

    def hear(number: int, _: FrameType | None) -> None:
        told.append(number)

    before = [(it, signal.signal(it, hear)) for it in SIGNALS]
    try:
        yield told
    finally:
        for it, handler in before:
            signal.signal(it, handler)


def die_with(parent: int) -> Callable[[], None]:
    """For a child process: the kernel kills it when its parent ends in any way."""
    libc = ctypes.CDLL(None)

    def ask() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        # The parent may have ended before the request.
        if os.getppid() != parent:
            os._exit(1)

    return ask


def follow(fio: subprocess.Popen[bytes], deadline: float, told: list[int]) -> None:
    """Pass fio's progress on until it ends; Stopped when it must not go on."""
    assert fio.stdout is not None
    watched = select.poll()
    watched.register(fio.stdout, select.POLLIN)
    # No event is requested: the kernel always reports that the other end is gone.
    watched.register(sys.stdout, 0)
    while fio.poll() is None:
        events = dict(watched.poll(500))
        if events.get(sys.stdout.fileno(), 0):
            raise Stopped("the connection to the harness was lost")
        if told:
            raise Stopped(f"stopped by signal {told[0]}")
        if time.monotonic() > deadline:
            raise Stopped("fio's time is over")
        if events.get(fio.stdout.fileno(), 0) & select.POLLIN:
            line = os.read(fio.stdout.fileno(), 65536).decode(errors="replace")
            progress(line)
        elif events:
            # fio closed its output: it is about to end.
            watched.unregister(fio.stdout)


def progress(text: str) -> None:
    lines = [line.strip() for line in text.replace("\r", "\n").splitlines()]
    for line in lines:
        if line.startswith("Jobs:"):
            sys.stdout.write(json.dumps({"progress": line}) + "\n")
    sys.stdout.flush()


def stop(token: str) -> Facts:
    """End every guard with this token, and wait until it and its fio are gone."""
    found = _carrying(token)
    for process in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGTERM)
    deadline = time.monotonic() + STOP_S
    while _carrying(token) and time.monotonic() < deadline:
        threading.Event().wait(0.1)
    left = _carrying(token)
    for process in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    return {"found": len(found), "killed": len(left)}


def _carrying(token: str) -> list[int]:
    """The processes that are guards with this token, by their arguments; never this one."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            asked = [it for it in words if it.startswith(b"{") and token.encode() in it]
            if b"guard" in words and asked and b"python3" in words[0]:
                found.append(int(process.name))
    return [it for it in found if it != os.getpid()]


def main() -> None:
    mode, asked = sys.argv[1], json.loads(sys.argv[2])
    modes: dict[str, Callable[[Facts], Facts]]
    modes = {"look": look, "guard": guard, "stop": lambda it: stop(it["token"])}
    try:
        answer = modes[mode](asked)
    except Exception as error:  # any error becomes the answer
        answer = {"error": f"{type(error).__name__}: {error}"}
    # The harness may be gone: that does not end running processes.
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
