"""The new partition on real disks: loop devices that are looked at and changed like any other."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import uuid
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.errors import Refused
from harness.core.model import Exit
from harness.provision import MachineState, apply
from harness.provision.disk import read_records
from harness.provision.partition import Plan, plan
from harness.settings import NewPartition
from harness.tests.devices.loop_disk import (
    GIB,
    HERE,
    LVM,
    MIB,
    SECTOR,
    SWAP,
    Bench,
    LocalShell,
    do,
    loop,
)
from harness.tests.gpt import Entry


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    # In memory: a disk of bytes in a file of this machine's disk is refused.
    with a_bench(Path("/dev/shm"), tmp_path) as bench:
        yield bench


@contextlib.contextmanager
def a_bench(folder: Path, tmp_path: Path) -> Iterator[Bench]:
    image = folder / f"cutover-provision-{os.getpid()}.img"
    with contextlib.ExitStack() as undo:
        undo.callback(image.unlink)
        do("truncate", "--size", "3G", image)
        device = undo.enter_context(loop(image))
        wanted = NewPartition(
            device=device, number=2, at_least_gib=1.9, at_most_gib=2, record=tmp_path / "record"
        )
        bench = Bench(image, device, wanted, undo)
        bench.table({1: Entry(2048, 2099199)})
        with Path(device).open("r+b") as disk:
            disk.write(os.urandom(440))  # as a boot loader has it
            disk.seek(34 * SECTOR)
            disk.write(os.urandom(5 * MIB))
        yield bench


# --- what is made -------------------------------------------------------------------------------


def test_a_clean_disk_gets_its_second_partition_and_the_first_keeps_every_byte(
    bench: Bench,
) -> None:
    assert bench.record().state is MachineState.RECORDED
    first, code, rest = (1 * MIB, GIB), (0, 446), (34 * SECTOR, MIB - 34 * SECTOR)
    before = bench.look()
    digests = [bench.digest(*area) for area in (first, code, rest)]
    entry = do("sgdisk", "--info=1", bench.device)

    planned = bench.provide(yes=False)
    assert (planned.state, planned.exit) == (MachineState.PLANNED, Exit.REFUSED)
    assert bench.look().digest == before.digest

    made = bench.provide()
    assert (made.state, made.exit) == (MachineState.DONE, Exit.GO), made.says
    assert [bench.digest(*area) for area in (first, code, rest)] == digests
    assert do("sgdisk", "--info=1", bench.device) == entry
    assert "No problems found" in do("sgdisk", "--verify", bench.device)
    assert (
        made.partuuid
        == do("blkid", "--probe", "--match-tag=PART_ENTRY_UUID", "--output=value", bench.part(2))
        .strip()
        .upper()
    )
    assert int(do("blockdev", "--getsize64", bench.part(2))) == 2 * GIB - 2 * MIB
    (disk,) = read_records(bench.wanted.record).values()
    assert [it.partuuid for it in disk.partitions][1] == made.partuuid


def test_the_second_time_nothing_is_to_be_done_and_what_was_not_recorded_is(bench: Bench) -> None:
    bench.record()
    unaware = bench.wanted.record.read_bytes()
    bench.provide()
    whole, record = bench.digest(), bench.wanted.record.read_bytes()
    again = bench.provide()
    assert (again.state, again.exit) == (MachineState.OK, Exit.GO)
    assert "nothing to do" in again.says[0]
    assert (bench.digest(), bench.wanted.record.read_bytes()) == (whole, record)
    # As when the harness is killed between the two.
    bench.wanted.record.write_bytes(unaware)
    assert "--yes adds it" in bench.provide(yes=False).says[0]
    assert bench.provide().state is MachineState.OK
    assert (bench.digest(), bench.wanted.record.read_bytes()) == (whole, record)


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
    assert bench.provide().state is MachineState.DONE
    assert "No problems found" in do("sgdisk", "--verify", bench.device)
    table = bench.look().gpt
    assert table is not None
    assert table.alternate == 4 * GIB // SECTOR - 1


def test_with_three_partitions_the_new_one_comes_after_the_last(bench: Bench) -> None:
    # As cloud images have them: the system's number is the first, and it lies last.
    efi, boot = Entry(2048, 18431), Entry(18432, 149503)
    bench.table({14: efi, 15: boot, 1: Entry(149504, 2246655)})
    bench.record()
    bench.declare(at_least_gib=1.8)
    digests = [(it.number, it.raw) for it in bench.look().partitions]
    assert bench.provide().state is MachineState.DONE
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
        assert bench.provide().state is MachineState.DONE
        assert (tmp_path / "mnt/file").read_text() == "still here"
        assert Path(bench.part(2)).is_block_device()
    finally:
        do("umount", tmp_path / "mnt")
    do("fsck.ext4", "-f", "-n", bench.part(1))


# --- what is refused, with not one byte written -------------------------------------------------

Spoil = Callable[[Bench], None]


def no_free_space(bench: Bench) -> None:
    bench.table({3: Entry(2099200, 6291422)})


def free_space_in_the_middle_only(bench: Bench) -> None:
    bench.table({3: Entry(6275072, 6291422)})


def dos_table(bench: Bench) -> None:
    hybrid_mbr(bench)
    with Path(bench.device).open("r+b") as disk:
        disk.seek(SECTOR)
        disk.write(bytes(SECTOR))


def hybrid_mbr(bench: Bench) -> None:
    with Path(bench.device).open("r+b") as disk:
        disk.seek(446 + 4)
        disk.write(bytes([0x83]))


def damaged_copy(bench: Bench) -> None:
    with Path(bench.device).open("r+b") as disk:
        disk.seek(-512, os.SEEK_END)
        disk.write(bytes(512))


def another_guid(bench: Bench) -> None:
    bench.table({}, guid=str(uuid.uuid4()))


def another_size(bench: Bench) -> None:
    do("truncate", "--size", "4G", bench.image)
    do("losetup", "--set-capacity", bench.device)


def another_partuuid(bench: Bench) -> None:
    bench.table({1: Entry(2048, 2099199)})


def another_type(bench: Bench) -> None:
    first = bench.entries[1]
    assert first is not None
    bench.table({1: replace(first, type=SWAP)})


def first_partition_gone(bench: Bench) -> None:
    bench.table({1: None})


def smaller_second_partition(bench: Bench) -> None:
    bench.table({2: Entry(2099200, 3147775)})


def second_partition_of_another_type(bench: Bench) -> None:
    bench.table({2: Entry(2099200, 6289407, type=LVM)})


def lvm_on_the_whole_disk(bench: Bench) -> None:
    with Path(bench.device).open("r+b") as disk:
        disk.seek(SECTOR)
        disk.write(lvm_label())


def lvm_label() -> bytes:
    """The label of a physical volume, in the second sector of what it is on."""
    body = struct.pack("<I8s32s", 32, b"LVM2 001", uuid.uuid4().hex.encode()).ljust(492, b"\0")
    checksum = zlib.crc32(body, 0xF597A6CF ^ 0xFFFFFFFF) ^ 0xFFFFFFFF
    return b"LABELONE" + struct.pack("<QI", 1, checksum) + body


def lvm_in_the_free_space(bench: Bench) -> None:
    with Path(bench.device).open("r+b") as disk:
        disk.seek(GIB + MIB + SECTOR)
        disk.write(lvm_label())


def file_system_in_the_free_space(bench: Bench) -> None:
    do("mkfs.ext4", "-q", "-F", "-E", f"offset={GIB + MIB}", bench.image, "100M")


def stale_label_of_bluestore_in_the_free_space(bench: Bench) -> None:
    with Path(bench.device).open("r+b") as disk:
        # The copy at 1 GiB, which zeroing the first blocks leaves.
        disk.seek(2 * GIB + MIB)
        disk.write(b"bluestore block device\n")


def a_table_in_the_free_space(bench: Bench) -> None:
    with Path(bench.device).open("r+b") as disk:
        disk.seek(GIB + MIB + SECTOR)
        disk.write(b"EFI PART")


def a_loop_device_past_the_table(bench: Bench) -> None:
    over = do("losetup", "--find", "--show", f"--offset={GIB + 2 * MIB}", bench.device).strip()
    bench.undo.callback(do, "losetup", "--detach", over)


def another_serial(bench: Bench) -> None:
    bench.correct(serial="QM00002")


def another_machine(bench: Bench) -> None:
    bench.correct(machine_id="5d2e8f901a44")


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
        (another_serial, "serial number is none, recorded is QM00002"),
        (another_machine, "recorded is 5d2e8f901a44"),
        (a_loop_device_past_the_table, "itself is under loop"),
        (another_partuuid, "p1: PARTUUID is"),
        (another_type, "p1: TYPE is"),
        (first_partition_gone, "p1 was recorded and is gone"),
        (smaller_second_partition, "it would be 2099200–6289407"),
        (second_partition_of_another_type, "p2 exists with TYPE E6D6D379"),
        (lvm_on_the_whole_disk, "LVM2_member"),
        (lvm_in_the_free_space, "expected nothing in the free space, seen LVM2_member"),
        (file_system_in_the_free_space, "expected nothing in the free space, seen ext"),
        (stale_label_of_bluestore_in_the_free_space, "BlueStore label at 1 GiB"),
        (a_table_in_the_free_space, "expected nothing in the free space, seen a GPT of its own"),
        (a_partition_that_the_kernel_does_not_know, "the kernel knows no partition"),
    ],
    ids=lambda it: it.__name__ if callable(it) else "refused",
)
def test_a_disk_that_is_not_as_recorded_is_refused_and_not_one_byte_is_written(
    bench: Bench, spoil: Spoil, because: str
) -> None:
    bench.record()
    spoil(bench)
    before = bench.digest()
    refused = bench.provide()
    assert (refused.state, refused.exit) == (MachineState.REFUSED, Exit.REFUSED), refused.says
    assert because in "; ".join(refused.says)
    assert bench.digest() == before


def test_a_disk_of_bytes_in_a_file_of_this_machines_disk_is_refused(tmp_path: Path) -> None:
    with a_bench(Path("/var/tmp"), tmp_path) as bench:
        line = bench.record()
        assert line.exit is Exit.REFUSED
        assert "on a disk of this machine" in "; ".join(line.says)


def test_a_disk_that_changes_between_plan_and_act_is_refused_and_not_one_byte_is_written(
    bench: Bench,
) -> None:
    bench.record()
    seen = bench.look()
    recorded = read_records(bench.wanted.record)[HERE]
    made = plan(seen, recorded, bench.wanted, partuuid=str(uuid.uuid4()).upper())
    assert isinstance(made, Plan)
    with Path(bench.device).open("rb") as disk:
        fcntl.flock(disk, fcntl.LOCK_EX)
        before = bench.digest()
        with pytest.raises(Refused, match="locked by another program"):
            apply.carry_out(LocalShell(), seen, made)
        assert bench.digest() == before
    file_system_in_the_free_space(bench)
    before = bench.digest()
    with pytest.raises(Refused, match="not what it was when the plan was made"):
        apply.carry_out(LocalShell(), seen, made)
    assert bench.digest() == before
