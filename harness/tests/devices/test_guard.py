"""The guard on real devices: each trap is refused for its own reason, with not one byte written."""

from __future__ import annotations

import os
import signal
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from harness.bench.bench import GUARD
from harness.bench.scripts.facts_script import look
from harness.bench.scripts.guard_script import GuardRefused, hold
from harness.core.waiting import until
from harness.tests.devices import block
from harness.tests.devices.block import GIB, MIB, Disk, disk, elsewhere, ours, run, running

# A trap is set and says how the guard's question changes.
Trap: TypeAlias = Callable[[Disk], AbstractContextManager[dict[str, Any]]]
LABEL = b"bluestore block device\n"
BIOS_BOOT = "21686148-6449-6E6F-744E-656564454649"
OTHER = "00000000-1111-2222-3333-444444444444"


def asked(**changes: Any) -> Trap:
    return lambda _: nullcontext(changes)


def written(*pieces: tuple[int, int, bytes]) -> Trap:
    """Bytes on a partition (0: the disk) at a place."""

    @contextmanager
    def trap(one: Disk) -> Iterator[dict[str, Any]]:
        for number, at, data in pieces:
            one.write(number, at, data)
        yield {}

    return trap


def made(*argv: str) -> Trap:
    """What a command makes of the partition."""

    @contextmanager
    def trap(one: Disk) -> Iterator[dict[str, Any]]:
        run(*argv, one.part(2))
        yield {}

    return trap


@contextmanager
def symlink(one: Disk) -> Iterator[dict[str, Any]]:
    path = Path(f"/dev/cutover-guard-{os.getpid()}")
    path.symlink_to(one.part(2))
    try:
        yield {"path": str(path)}
    finally:
        path.unlink()


@contextmanager
def bind_mount(one: Disk) -> Iterator[dict[str, Any]]:
    run("mount", "--bind", one.part(1), one.part(2))
    try:
        yield {}
    finally:
        run("umount", one.part(2))


@contextmanager
def regular_file(one: Disk) -> Iterator[dict[str, Any]]:
    yield {"path": str(one.file)}


@contextmanager
def whole_disk(one: Disk) -> Iterator[dict[str, Any]]:
    yield {"path": one.device}


@contextmanager
def first_partition(one: Disk) -> Iterator[dict[str, Any]]:
    yield {"path": one.part(1)}


@contextmanager
def read_only(one: Disk) -> Iterator[dict[str, Any]]:
    run("blockdev", "--setro", one.part(2))
    try:
        yield {}
    finally:
        run("blockdev", "--setrw", one.part(2))


def mounted(private: bool) -> Trap:
    @contextmanager
    def trap(one: Disk) -> Iterator[dict[str, Any]]:
        run("mkfs.ext4", "-q", one.part(2))
        place = one.file.with_suffix(".mnt")
        place.mkdir(exist_ok=True)
        command = f"mount -o ro,noload {one.part(2)} {place}"
        view = "unshare --mount sh -ec" if private else "sh -ec"
        try:
            with elsewhere(f"exec {view} '{command}; echo ok; read end; umount {place}'"):
                yield {}
        finally:
            place.rmdir()

    return trap


@contextmanager
def taken(one: Disk) -> Iterator[dict[str, Any]]:
    fd = os.open(one.part(2), os.O_RDONLY | os.O_EXCL)
    try:
        yield {}
    finally:
        os.close(fd)


@contextmanager
def loop_over_it(one: Disk) -> Iterator[dict[str, Any]]:
    over = run("losetup", "--find", "--show", one.part(2)).strip()
    try:
        yield {}
    finally:
        run("losetup", "--detach", over)


@contextmanager
def loop_over_a_file(_: Disk) -> Iterator[dict[str, Any]]:
    """The allowed partition is itself made of a file that lies on this machine's disk."""
    with disk(folder=Path("/var/tmp"), name="cutover-inner") as inner:
        yield inner.record


@contextmanager
def osd_of_ceph(one: Disk) -> Iterator[dict[str, Any]]:
    yield {"osd_partitions": [one.part(2)]}


@contextmanager
def ceph_in_the_label(one: Disk) -> Iterator[dict[str, Any]]:
    one.change(2, label="Ceph data")
    yield {}


@contextmanager
def overlapping(one: Disk) -> Iterator[dict[str, Any]]:
    """The table gives a part of the recorded partition to the first one, too."""
    one.change(1, last=one.entries[2].first + 8)
    yield {}


@contextmanager
def twin(one: Disk) -> Iterator[dict[str, Any]]:
    """Two partitions of one PARTUUID."""
    one.change(1, partuuid=one.record["partuuid"])
    yield {}


@contextmanager
def without_gpt(one: Disk) -> Iterator[dict[str, Any]]:
    one.write(0, 512, bytes(512))
    yield {}


@contextmanager
def damaged_gpt(one: Disk) -> Iterator[dict[str, Any]]:
    # An attribute of the second entry: none of them is set. A byte of its PARTUUID may be 0xff.
    one.write(0, 1024 + 128 + 48, b"\xff")
    yield {}


@contextmanager
def damaged_copy(one: Disk) -> Iterator[dict[str, Any]]:
    one.write(0, one.file.stat().st_size - 512, bytes(512))
    yield {}


def lvm() -> bytes:
    """A physical volume's label in its second sector, checksum and all."""
    rest = struct.pack("<I8s", 32, b"LVM2 001") + b"a" * 32 + bytes(448)
    crc = zlib.crc32(rest, 0xF597A6CF ^ 0xFFFFFFFF) ^ 0xFFFFFFFF
    return b"LABELONE" + struct.pack("<QI", 1, crc) + rest


def md() -> bytes:
    """Version 1.2 of an md superblock, 4 KiB from the begin."""
    block = bytearray(256)
    struct.pack_into("<IIII", block, 0, 0xA92B4EFC, 1, 0, 0)
    block[16:32], block[32:36] = b"0123456789abcdef", b"data"
    struct.pack_into("<Q", block, 144, 8)
    total = sum(struct.unpack("<64I", block))
    struct.pack_into("<I", block, 216, (total & 0xFFFFFFFF) + (total >> 32) & 0xFFFFFFFF)
    return bytes(block)


def zfs() -> list[tuple[int, int, bytes]]:
    """Uberblocks of the first two labels."""
    places = [label + 128 * 1024 + 1024 * n for label in (0, 256 * 1024) for n in range(8)]
    return [(2, place, struct.pack("<QQ", 0x00BAB10C, 5000)) for place in places]


LUKS = b"LUKS\xba\xbe" + struct.pack(">H", 1) + b"aes" + bytes(29)
TRAPS: dict[str, tuple[Trap, str]] = {
    "another PARTUUID": (asked(partuuid=OTHER), "PARTUUID"),
    "another size": (asked(size_bytes=5 * MIB), "size:"),
    "another start": (asked(start_bytes=MIB), "start:"),
    "another size of the disk": (asked(disk_bytes=MIB), "size of its disk"),
    "another serial number": (asked(serial="QM00013"), "serial number"),
    "nothing recorded": (asked(partuuid=None), "partuuid is not recorded"),
    "a wrong machine": (asked(machine="vmi2887199"), "wrong machine: this is"),
    "a wrong machine-id": (asked(machine_id="0" * 32), "wrong machine: its machine-id"),
    "a symlink": (symlink, "is a symlink"),
    "a bind mount": (bind_mount, "it is partition 1"),
    "a file": (regular_file, "is not a block device"),
    "a character device": (asked(path="/dev/null"), "is not a block device"),
    "no device": (asked(path="/dev/cutover-nothing"), "No such file"),
    "a whole disk": (whole_disk, "is a whole disk"),
    "a disk with partitions": (whole_disk, "it is divided into"),
    "sda1": (first_partition, "it is partition 1, and partition 2 is recorded"),
    "a read-only device": (read_only, "it is read-only"),
    "a small device": (asked(least_bytes=5 * GIB), "too small"),
    "a mounted device": (mounted(private=False), "it is mounted at"),
    "a mount that another process sees": (mounted(private=True), "it is mounted at"),
    "a device that is taken": (taken, "exclusive open failed"),
    "ext4": (made("mkfs.ext4", "-q"), "ext4"),
    "swap": (made("mkswap"), "swap"),
    "LVM": (written((2, 512, lvm())), "LVM2_member"),
    "md": (written((2, 4096, md())), "linux_raid_member"),
    "LUKS": (written((2, 0, LUKS)), "crypto_LUKS"),
    "ZFS": (written(*zfs()), "zfs_member"),
    "a label of BlueStore": (written((2, 0, LABEL)), "label lies at 0 GiB of the partition"),
    "one at the disk's begin": (written((0, 0, LABEL)), "label lies at 0 GiB of the disk"),
    "a GPT at the begin": (written((2, 512, b"EFI PART")), "GPT lies on the partition"),
    "a PARTLABEL of ceph": (ceph_in_the_label, "PARTLABEL says 'Ceph data'"),
    "a PARTUUID twice": (twin, "2 times"),
    "no GPT": (without_gpt, "the disk has no GPT"),
    "a damaged GPT": (damaged_gpt, "are damaged"),
    "a damaged copy of it": (damaged_copy, "the table's copy"),
    "partitions that overlap": (overlapping, "overlap"),
    "a hybrid MBR": (written((0, 446 + 16 + 4, b"\x83")), "no protective one"),
    "a loop device over it": (loop_over_it, "loop devices over it"),
    "a file of this machine's disk": (loop_over_a_file, "bytes lie in the file"),
    "an OSD's device": (osd_of_ceph, "ceph osd metadata names"),
    "Ceph not asked": (asked(osd_partitions=None), "not known whether"),
}


def springs(one: Disk, trap: Trap, words: str) -> None:
    """Assert that the guard refuses for this reason and writes nothing."""
    with trap(one) as changes:
        before = one.digest()
        answer = one.answer(**changes)
        after = one.digest()
    assert any(words in why for why in answer["refused"]), answer
    assert "output" not in answer
    assert before == after


@pytest.mark.parametrize("name", TRAPS)
def test_a_trap_is_refused_for_its_own_reason_with_nothing_written(name: str) -> None:
    with disk() as one:
        springs(one, *TRAPS[name])


@pytest.mark.parametrize(("number", "gib"), [(2, 1), (2, 10), (0, 1), (0, 10), (2, 100), (2, 1000)])
def test_a_stale_label_of_bluestore_deep_in_the_disk_is_found(number: int, gib: int) -> None:
    with disk((gib + 1) * GIB) as one:
        where = "partition" if number else "disk"
        # With its first copy wiped, neither blkid nor wipefs sees it.
        trap = written((number, gib * GIB, LABEL))
        springs(one, trap, f"label lies at {gib} GiB of the {where}")


def test_a_boot_partition_is_refused_even_when_it_is_recorded() -> None:
    with disk(32 * MIB, kind=BIOS_BOOT) as one:
        springs(one, asked(), "it is a boot partition")


def test_a_device_that_changes_between_check_and_open_is_refused() -> None:
    with disk() as one:
        before = look(one.record | {"exclusive": True})
        copy = one.file.with_suffix(".copy")
        run("cp", "--sparse=always", one.file, copy)
        try:
            run("partx", "--delete", one.device)
            run("losetup", "--detach", one.device)
            # Another disk under the same name: same table, same PARTUUID, same size.
            run("losetup", one.device, copy)
            block.attach(one)
            was = one.digest()
            with pytest.raises(
                GuardRefused, match="it changed between looking and opening: device"
            ):
                hold(one.record, before)
            assert one.digest() == was
        finally:
            copy.unlink()


def test_a_file_system_made_between_check_and_open_is_refused() -> None:
    with disk() as one:
        before = look(one.record | {"exclusive": True})
        run("mkfs.ext4", "-q", one.part(2))
        was = one.digest()
        with pytest.raises(GuardRefused, match="something has signed it: ext4"):
            hold(one.record, before)
        assert one.digest() == was


def test_a_clean_recorded_partition_is_let_through_and_fio_measures_it() -> None:
    with disk() as one:
        first, before = one.file.read_bytes()[: 3 * MIB], one.digest()
        answer = one.answer()
        assert (answer["status"], answer["errors"]) == (0, "")
        assert '"fdatasync"' in answer["output"]
        assert answer["version"].startswith("fio-")
        # It really wrote, and nowhere but on its partition.
        assert one.digest() != before
        assert one.file.read_bytes()[: 3 * MIB] == first


def test_while_fio_runs_nobody_else_can_have_the_device() -> None:
    with disk() as one, running(one):
        with pytest.raises(OSError, match="busy"):
            os.open(one.part(2), os.O_RDONLY | os.O_EXCL)
        assert "busy" in "".join(one.answer()["refused"])


def gone() -> None:
    until(lambda: not ours(0), within_s=5, every_s=0.05, what="no fio is left")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_guard_that_is_ended_leaves_no_fio(number: int) -> None:
    with disk() as one, running(one) as guard:
        guard.send_signal(number)
        gone()


def test_a_guard_that_nobody_listens_to_leaves_no_fio() -> None:
    with disk() as one, running(one) as guard:
        assert guard.stdout is not None
        guard.stdout.close()
        gone()


def test_fio_that_takes_too_long_is_ended_and_said_to_be() -> None:
    with disk() as one:
        answer = one.answer(job=block.JOB.format(runtime_s=60), limit_s=1)
        assert answer["stopped"] == "fio's time is over"
        gone()


def test_a_stop_ends_the_guards_of_its_token_alone() -> None:
    with disk() as one, running(one, token="cutover-one") as guard:
        for token, found in (("cutover-other", 0), ("cutover-one", 1)):
            argv = ["/usr/bin/python3", "-I", "-S", "-", "stop", f'{{"token": "{token}"}}']
            said = run(*argv, stdin=GUARD.text.encode())
            assert f'"found": {found}' in said
        guard.communicate(timeout=10)
        gone()
