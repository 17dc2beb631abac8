"""Real block devices for tests of the guard: a disk in memory with a GPT and two partitions."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.bench import bench
from harness.bench.scripts.facts_script import look
from harness.core.waiting import until
from harness.tests import gpt
from harness.tests.gpt import LINUX_DATA, SECTOR, Entry

MIB, GIB = 1 << 20, 1 << 30
GUID = "5C1B9D3E-0A47-4F2C-8E61-7B9A2D40F613"
# Sparse; blkid looks for ZFS on nothing below 64 MiB.
# Not on a disk: bytes in a file of this machine's disk are refused; that trap is one of its own.
MEMORY = Path("/dev/shm")
JOB = """\
[global]
filename=@DEVICE@
ioengine=libaio
direct=1
thread=1
time_based=1
[commit]
rw=write
bs=4k
fdatasync=1
runtime={runtime_s}
"""


def run(*argv: object, check: bool = True, stdin: bytes | None = None) -> str:
    done = subprocess.run(
        [str(it) for it in argv], capture_output=True, check=False, input=stdin, timeout=60
    )
    assert done.returncode == 0 or not check, f"{argv}: {done.stderr.decode()}"
    return done.stdout.decode()


@dataclass
class Disk:
    """A loop device with its partitions; ``record`` is what an operator would have written down."""

    file: Path
    device: str
    entries: dict[int, Entry]
    record: dict[str, Any] = field(default_factory=dict)

    def part(self, number: int) -> str:
        return f"{self.device}p{number}"

    def change(self, number: int, **changes: Any) -> None:
        """Let the partition table say something else of a partition."""
        self.entries[number] = replace(self.entries[number], **changes)
        lay_out(Path(self.device), self.entries, self.file.stat().st_size)

    def digest(self) -> str:
        """SHA-256 of all that was ever written to the disk, and of where it lies."""
        run("blockdev", "--flushbufs", self.device)
        sha = hashlib.sha256()
        fd, at = os.open(self.file, os.O_RDONLY), 0
        try:
            while True:
                try:
                    at = os.lseek(fd, at, os.SEEK_DATA)
                except OSError:
                    return sha.hexdigest()
                end = os.lseek(fd, at, os.SEEK_HOLE)
                sha.update(b"%d-%d" % (at, end) + os.pread(fd, end - at, at))
                at = end
        finally:
            os.close(fd)

    def write(self, number: int, at: int, data: bytes) -> None:
        """Put bytes on a partition, or with 0 on the disk, past what the guard may do."""
        with Path(self.part(number) if number else self.device).open("r+b") as device:
            device.seek(at)
            device.write(data)
            device.flush()
            os.fsync(device.fileno())

    def learn(self) -> None:
        """Record the second partition as it is now."""
        path = self.part(2)
        seen = look({"path": path, "osd_partitions": []})
        mine = seen["table"][-1]
        self.record = {
            "machine": socket.gethostname(),
            "machine_id": Path("/etc/machine-id").read_text().strip(),
            "path": path,
            "number": 2,
            "partuuid": mine["partuuid"],
            "serial": seen["kernel"]["serial"],
            "start_bytes": mine["start_bytes"],
            "size_bytes": mine["size_bytes"],
            "disk_bytes": seen["kernel"]["disk_bytes"],
            "least_bytes": MIB,
            "osd_partitions": [],
            "job": JOB.format(runtime_s=1),
            "limit_s": 30,
        }

    def guard(self, **changes: Any) -> subprocess.Popen[bytes]:
        """The guard as a machine runs it: sent to python3 over its standard input."""
        asked = json.dumps(self.record | changes)
        guard = subprocess.Popen(
            ["/usr/bin/python3", "-I", "-S", "-", "guard", asked],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert guard.stdin is not None
        guard.stdin.write(bench.GUARD.text.encode())
        guard.stdin.close()
        guard.stdin = None
        return guard

    def answer(self, **changes: Any) -> dict[str, Any]:
        """What the guard says in the end."""
        out, _ = self.guard(**changes).communicate(timeout=60)
        last: dict[str, Any] = json.loads(out.decode().strip().rpartition("\n")[2])
        return last


@contextmanager
def disk(
    size: int = 96 * MIB,
    *,
    kind: str = LINUX_DATA,
    folder: Path = MEMORY,
    name: str = "cutover-guard",
) -> Iterator[Disk]:
    """A disk with one small partition and a large one of this kind behind it."""
    file = folder / f"{name}-{os.getpid()}.img"
    file.unlink(missing_ok=True)
    run("truncate", f"--size={size}", file)
    small = Entry(MIB // SECTOR, 3 * MIB // SECTOR - 1)
    # The table's copy has the last 33 sectors.
    entries = {1: small, 2: Entry(small.last + 1, size // SECTOR - 34, type=kind)}
    lay_out(file, entries, size)
    one = Disk(file, run("losetup", "--find", "--show", file).strip(), entries)
    try:
        attach(one)
        one.learn()
        yield one
    finally:
        run("partx", "--delete", one.device, check=False)
        run("losetup", "--detach", one.device, check=False)
        file.unlink(missing_ok=True)


def lay_out(place: Path, entries: Mapping[int, Entry], size: int) -> None:
    """Write the partition table."""
    # sgdisk waits for a second, and for every file system of this host.
    gpt.write(place, entries, guid=GUID, sectors=size // SECTOR)


def attach(one: Disk) -> None:
    run("partx", "--update", one.device)
    until(lambda: Path(one.part(1)).exists(), within_s=5, every_s=0.02, what="the partitions")


def ours(pid: int) -> list[int]:
    """The fio processes whose job a guard wrote on this host, not in a machine of the lab."""
    found, here = [], Path("/proc/self/ns/pid").readlink()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            if (process / "ns/pid").readlink() != here:
                continue
        except OSError:
            continue
        if words[0] == b"fio" and any(b"cutover-bench-" in word for word in words):
            found.append(int(process.name))
    return [it for it in found if it != pid]


@contextmanager
def running(one: Disk, **changes: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A guard whose fio is at work."""
    guard = one.guard(job=JOB.format(runtime_s=60), limit_s=100, **changes)
    try:
        until(lambda: ours(0), within_s=20, every_s=0.05, what="fio runs")
        yield guard
    finally:
        guard.kill()
        guard.wait()
        assert guard.stdout is not None
        guard.stdout.close()


@contextmanager
def elsewhere(*argv: str) -> Iterator[None]:
    """A command that says ok and then waits until we are done."""
    process = subprocess.Popen(
        ["sh", "-ec", f"{' '.join(argv)}; echo ok; read end"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=sys.stderr,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    timer = threading.Timer(20, process.kill)
    timer.start()
    try:
        assert process.stdout.readline() == "ok\n"
        yield
    finally:
        timer.cancel()
        process.communicate("end\n")
