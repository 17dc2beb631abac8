"""A loop device as a machine's disk, and this host as that machine."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.provision import MachineResult, apply
from harness.provision.disk import Disk, read_records, write_records
from harness.settings import NewPartition
from harness.tests import gpt
from harness.tests.gpt import Entry
from harness.transport import Completed

HERE = os.uname().nodename
GIB = 1 << 30
MIB = 1 << 20
SECTOR = gpt.SECTOR
GUID = "3B6E1A52-7C1F-4A63-9C0B-5D2E8F901A44"
SWAP = "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F"
LVM = "E6D6D379-F507-44C2-A23C-238F2A3DF928"


class LocalShell:
    """Commands on this very machine, as if it were a remote one."""

    def run(
        self,
        machine: str,
        argv: Sequence[str],
        *,
        stdin: str = "",
        within_s: float = 30.0,
        hear: Callable[[str], None] | None = None,
    ) -> Completed:
        assert machine == HERE
        began = time.monotonic()
        done = subprocess.run(
            argv, input=stdin, capture_output=True, text=True, timeout=within_s, check=False
        )
        return Completed(
            status=done.returncode,
            stdout=done.stdout,
            stderr=done.stderr,
            took_s=time.monotonic() - began,
        )

    def close(self) -> None:
        """Nothing is open."""


def do(*argv: str | Path, stdin: str | None = None) -> str:
    words = [str(word) for word in argv]
    return subprocess.run(
        words, input=stdin, capture_output=True, text=True, check=True, timeout=180
    ).stdout


@dataclass
class Bench:
    """A disk of 3 GiB with a first partition of 1 GiB, and what an operator declared of it."""

    image: Path
    device: str
    wanted: NewPartition
    undo: contextlib.ExitStack
    entries: dict[int, Entry | None] = field(default_factory=dict)

    def part(self, number: int) -> str:
        return f"{self.device}p{number}"

    def table(self, changes: Mapping[int, Entry | None], *, guid: str = GUID) -> None:
        """Change the partition table behind everybody's back, and tell the kernel."""
        self.entries |= changes
        kept = {number: it for number, it in self.entries.items() if it is not None}
        # sgdisk waits for a second, and for every file system of this host.
        gpt.write(Path(self.device), kept, guid=guid, sectors=3 * GIB // SECTOR)
        subprocess.run(["partx", "--delete", self.device], check=False, capture_output=True)
        subprocess.run(["partx", "--add", self.device], check=False, capture_output=True)

    def look(self) -> Disk:
        return apply.look_at(LocalShell(), HERE, self.device)

    def record(self) -> MachineResult:
        (line,) = apply.record(LocalShell(), self.wanted, [HERE])
        return line

    def provide(self, *, yes: bool = True) -> MachineResult:
        (line,) = apply.apply(LocalShell(), self.wanted, [HERE], yes=yes)
        return line

    def declare(self, **changes: Any) -> None:
        self.wanted = self.wanted.model_copy(update=changes)

    def correct(self, **changes: Any) -> None:
        """Let the record say something else of this disk."""
        known = read_records(self.wanted.record)[HERE]
        for name, value in changes.items():
            object.__setattr__(known, name, value)
        write_records(self.wanted.record, {HERE: known})

    def digest(self, first: int = 0, length: int | None = None) -> str:
        """SHA-256 of what was ever written to a part of the disk, and where; past every cache."""
        do("blockdev", "--flushbufs", self.device)
        sha = hashlib.sha256()
        with self.image.open("rb") as disk:
            size = os.fstat(disk.fileno()).st_size
            end, start = size if length is None else first + length, first
            # A disk is mostly holes, which need not be read.
            while (start := data_from(disk.fileno(), start, end)) < end:
                stop = min(end, os.lseek(disk.fileno(), start, os.SEEK_HOLE))
                sha.update(
                    f"{start}-{stop}".encode() + os.pread(disk.fileno(), stop - start, start)
                )
                start = stop
        return sha.hexdigest()


def data_from(file: int, start: int, end: int) -> int:
    """Where the next data are; ``end`` when there are none before that."""
    try:
        return min(end, os.lseek(file, start, os.SEEK_DATA))
    except OSError:
        return end


@contextlib.contextmanager
def loop(image: Path) -> Iterator[str]:
    device = do("losetup", "--find", "--show", image).strip()
    try:
        yield device
    finally:
        subprocess.run(["partx", "--delete", device], check=False, capture_output=True)
        do("losetup", "--detach", device)
