"""The new partition on real disks: loop devices that are looked at and changed like any other."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.errors import NotProven, Refused
from harness.model import Exit
from harness.provision import disks, provide, records
from harness.provision.disk import Disk
from harness.provision.outcome import Line, State
from harness.provision.partition import LINUX_DATA, Plan, plan
from harness.settings import NewPartition
from harness.transport import Completed

HERE = os.uname().nodename
GIB = 1 << 30
MIB = 1 << 20
SECTOR = 512


class LocalShell:
    """Commands on this very machine, as if it were a remote one."""

    def run(
        self, machine: str, argv: Sequence[str], *, stdin: str = "", within_s: float = 30.0
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
        words, input=stdin, capture_output=True, text=True, check=True, timeout=30
    ).stdout


@dataclass
class Bench:
    """A disk of 3 GiB with a first partition of 1 GiB, and what an operator declared of it."""

    image: Path
    device: str
    wanted: NewPartition

    def part(self, number: int) -> str:
        return f"{self.device}p{number}"

    def table(self, *changes: str) -> None:
        """Change the partition table behind everybody's back, and tell the kernel."""
        do("sgdisk", *changes, self.device)
        subprocess.run(["partx", "--update", self.device], check=False, capture_output=True)

    def look(self) -> Disk:
        return disks.look(LocalShell(), HERE, self.device)

    def record(self) -> Line:
        (line,) = provide.record(LocalShell(), self.wanted, [HERE])
        return line

    def provide(self, *, yes: bool = True) -> Line:
        (line,) = provide.provide(LocalShell(), self.wanted, [HERE], yes=yes)
        return line

    def declare(self, **changes: Any) -> None:
        self.wanted = self.wanted.model_copy(update=changes)

    def correct(self, **changes: Any) -> None:
        """Let the record say something else of this disk."""
        known = records.read(self.wanted.record)[HERE]
        for name, value in changes.items():
            object.__setattr__(known, name, value)
        records.write(self.wanted.record, {HERE: known})

    def digest(self, first: int = 0, length: int | None = None) -> str:
        """SHA-256 of a part of the disk, past every cache."""
        do("sync")
        do("blockdev", "--flushbufs", self.device)
        sha = hashlib.sha256()
        with Path(self.device).open("rb") as disk:
            disk.seek(first)
            left = length
            while chunk := disk.read(MIB if left is None else min(MIB, left)):
                sha.update(chunk)
                left = None if left is None else left - len(chunk)
        return sha.hexdigest()


@contextlib.contextmanager
def loop(image: Path) -> Iterator[str]:
    device = do("losetup", "--find", "--show", image).strip()
    try:
        yield device
    finally:
        subprocess.run(["partx", "--delete", device], check=False, capture_output=True)
        do("losetup", "--detach", device)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    image = tmp_path / "disk"
    do("truncate", "--size", "3G", image)
    do("sgdisk", "--new=1:1M:+1G", image)
    with loop(image) as device:
        do("partx", "--update", device)
        seeded = os.urandom(4 * MIB)
        with Path(f"{device}p1").open("r+b") as part:
            part.write(seeded)
        yield Bench(
            image,
            device,
            NewPartition(
                device=device, number=2, at_least_gib=1.9, at_most_gib=2, record=tmp_path / "record"
            ),
        )


# --- what is made -------------------------------------------------------------------------------


def test_a_clean_disk_gets_its_second_partition_and_the_first_keeps_every_byte(
    bench: Bench,
) -> None:
    assert bench.record().state is State.RECORDED
    first, code, rest = (1 * MIB, GIB), (0, 446), (34 * SECTOR, MIB - 34 * SECTOR)
    before = bench.look()
    digests = [bench.digest(*area) for area in (first, code, rest)]
    entry = do("sgdisk", "--info=1", bench.device)

    planned = bench.provide(yes=False)
    assert (planned.state, planned.exit) == (State.PLANNED, Exit.REFUSED)
    assert bench.look().digest == before.digest

    made = bench.provide()
    assert (made.state, made.exit) == (State.DONE, Exit.GO), made.says
    assert [bench.digest(*area) for area in (first, code, rest)] == digests
    assert do("sgdisk", "--info=1", bench.device) == entry
    assert "No problems found" in do("sgdisk", "--verify", bench.device)
    assert made.partuuid == do(
        "blkid", "--probe", "--match-tag=PART_ENTRY_UUID", "--output=value", bench.part(2)
    ).strip().upper()
    assert int(do("blockdev", "--getsize64", bench.part(2))) == 2 * GIB - 2 * MIB
    (disk,) = records.read(bench.wanted.record).values()
    assert [it.partuuid for it in disk.partitions][1] == made.partuuid


def test_the_second_time_nothing_is_to_be_done(bench: Bench) -> None:
    bench.record()
    bench.provide()
    whole, record = bench.digest(), bench.wanted.record.read_bytes()
    again = bench.provide()
    assert (again.state, again.exit) == (State.OK, Exit.GO)
    assert "nothing to do" in again.says[0]
    assert (bench.digest(), bench.wanted.record.read_bytes()) == (whole, record)


def test_a_partition_that_was_made_but_not_recorded_is_recorded_the_next_time(
    bench: Bench,
) -> None:
    bench.record()
    old = bench.wanted.record.read_bytes()
    made = bench.provide()
    bench.wanted.record.write_bytes(old)
    assert "--yes adds it" in bench.provide(yes=False).says[0]
    assert bench.provide().state is State.OK
    (disk,) = records.read(bench.wanted.record).values()
    assert disk.partitions[1].partuuid == made.partuuid


def test_a_disk_that_was_made_larger_has_its_table_grown(bench: Bench) -> None:
    do("truncate", "--size", "4G", bench.image)
    do("losetup", "--set-capacity", bench.device)
    bench.declare(at_least_gib=2.9, at_most_gib=3)
    bench.record()
    whole = bench.digest()
    refused = bench.provide()
    assert refused.exit is Exit.REFUSED
    assert "not the disk's last one" in refused.says[0]
    assert bench.digest() == whole

    bench.declare(grow_table=True)
    assert any("+ the table's copy in sector" in text for text in bench.provide(yes=False).says)
    assert bench.provide().state is State.DONE
    assert "No problems found" in do("sgdisk", "--verify", bench.device)
    table = bench.look().table
    assert table is not None
    assert table.alternate == 4 * GIB // SECTOR - 1


def test_with_three_partitions_the_new_one_comes_after_the_last(bench: Bench) -> None:
    # As cloud images have them: the system's number is the first, and it lies last.
    bench.table("--delete=1", "--new=14:1M:+8M", "--new=15:0:+64M", "--new=1:0:+1G")
    bench.record()
    bench.declare(at_least_gib=1.8)
    digests = [(it.number, it.raw) for it in bench.look().partitions]
    assert bench.provide().state is State.DONE
    found = {it.number: it for it in bench.look().partitions}
    assert found[2].first > max(found[number].last for number in (1, 14, 15))
    assert [(n, found[n].raw) for n, _ in digests] == digests


def test_a_mounted_system_partition_is_no_obstacle_and_stays_mounted(
    bench: Bench, tmp_path: Path
) -> None:
    do("mkfs.ext4", "-q", bench.part(1))
    (tmp_path / "mnt").mkdir()
    do("mount", bench.part(1), tmp_path / "mnt")
    try:
        (tmp_path / "mnt/file").write_text("still here")
        bench.record()
        assert bench.provide().state is State.DONE
        assert (tmp_path / "mnt/file").read_text() == "still here"
        assert Path(bench.part(2)).is_block_device()
    finally:
        do("umount", tmp_path / "mnt")
    do("fsck.ext4", "-f", "-n", bench.part(1))


# --- what is refused, with not one byte written ----------------------------------------------------

Spoil = Callable[[Bench], None]


def no_free_space(bench: Bench) -> None:
    bench.table("--new=3:0:0")


def free_space_in_the_middle_only(bench: Bench) -> None:
    bench.table("--new=3:-8M:0")


def dos_table(bench: Bench) -> None:
    do("sgdisk", "--zap-all", bench.device)
    mbr = bytearray(64)
    mbr[0:16] = bytes([0, 0, 2, 0, 0x83, 0, 0, 0]) + (2048).to_bytes(4, "little") * 2
    with Path(bench.device).open("r+b") as disk:
        disk.seek(446)
        disk.write(mbr + b"\x55\xaa")


def hybrid_mbr(bench: Bench) -> None:
    do("sgdisk", "--hybrid=1", bench.device)


def damaged_copy(bench: Bench) -> None:
    with Path(bench.device).open("r+b") as disk:
        disk.seek(-512, os.SEEK_END)
        disk.write(bytes(512))


def another_guid(bench: Bench) -> None:
    bench.table(f"--disk-guid={uuid.uuid4()}")


def another_size(bench: Bench) -> None:
    do("truncate", "--size", "4G", bench.image)
    do("losetup", "--set-capacity", bench.device)


def another_partuuid(bench: Bench) -> None:
    bench.table(f"--partition-guid=1:{uuid.uuid4()}")


def another_type(bench: Bench) -> None:
    bench.table("--typecode=1:8200")


def first_partition_gone(bench: Bench) -> None:
    do("partx", "--delete", bench.device)
    do("sgdisk", "--delete=1", bench.device)


def smaller_second_partition(bench: Bench) -> None:
    bench.table("--new=2:0:+512M")


def second_partition_of_another_type(bench: Bench) -> None:
    planned = bench.look()
    free = provide.plan(
        planned, records.read(bench.wanted.record)[HERE], bench.wanted, partuuid=str(uuid.uuid4())
    )
    assert isinstance(free, Plan)
    bench.table("--set-alignment=1", f"--new=2:{free.first}:{free.last}", "--typecode=2:8e00")


def lvm_on_the_whole_disk(bench: Bench) -> None:
    with Path(bench.device).open("r+b") as disk:
        disk.seek(SECTOR)
        disk.write(b"LABELONE" + bytes(16) + b"LVM2 001" + bytes(SECTOR - 32))


def lvm_in_the_free_space(bench: Bench) -> None:
    device = do("losetup", "--find", "--show", f"--offset={GIB + MIB}", bench.image).strip()
    try:
        do("pvcreate", "--config", "devices{use_devicesfile=0}", "-ff", "-y", device)
    finally:
        do("losetup", "--detach", device)


def file_system_in_the_free_space(bench: Bench) -> None:
    do("mkfs.ext4", "-q", "-F", "-E", f"offset={GIB + MIB}", bench.image, "100M")


def stale_label_of_bluestore_in_the_free_space(bench: Bench) -> None:
    with Path(bench.device).open("r+b") as disk:
        # The copy at 1 GiB, which zeroing the first blocks leaves.
        disk.seek(2 * GIB + MIB)
        disk.write(b"bluestore block device\n")


def a_partition_that_the_kernel_does_not_know(bench: Bench) -> None:
    do("partx", "--delete", "--nr", "1:1", bench.device)


@pytest.mark.parametrize(
    ("spoil", "because"),
    [
        (no_free_space, "p3 was not recorded"),
        (free_space_in_the_middle_only, "p3 was not recorded"),
        (dos_table, "no intact GPT at its begin, but an MBR"),
        (hybrid_mbr, "its MBR is no protective one"),
        (damaged_copy, "the table's copy in sector 6291455 is damaged"),
        (another_guid, "disk GUID is"),
        (another_size, "size in bytes is 4294967296, recorded is 3221225472"),
        (another_partuuid, "p1: PARTUUID is"),
        (another_type, "p1: TYPE is"),
        (first_partition_gone, "p1 was recorded and is gone"),
        (smaller_second_partition, "it would be 2099200–6289407"),
        (second_partition_of_another_type, "p2 exists with TYPE E6D6D379"),
        (lvm_on_the_whole_disk, "LVM2_member"),
        (file_system_in_the_free_space, "the free space holds ext"),
        (stale_label_of_bluestore_in_the_free_space, "BlueStore label at 1 GiB"),
        (a_partition_that_the_kernel_does_not_know, "the kernel knows no partition"),
    ],
)
def test_a_disk_that_is_not_as_recorded_is_refused_and_not_one_byte_is_written(
    bench: Bench, spoil: Spoil, because: str
) -> None:
    bench.record()
    spoil(bench)
    before = bench.digest()
    refused = bench.provide()
    assert (refused.state, refused.exit) == (State.REFUSED, Exit.REFUSED), refused.says
    assert because in "; ".join(refused.says)
    assert bench.digest() == before
