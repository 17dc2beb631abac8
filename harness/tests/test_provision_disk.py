"""The one partition of a plan: what no plan ever does, and what is refused with which words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.provision.disk import Disk, Free, record_of
from harness.provision.partition import LINUX_DATA, Done, Plan, Refusal, flaws_after, plan
from harness.tests.disk_facts import (
    GIB,
    MIB,
    NEW,
    SOUND,
    SYSTEM,
    WANTED,
    a_disk,
    asked,
    part,
)

# --- no plan ever -------------------------------------------------------------------------------


@st.composite
def some_disks(draw: st.DrawFn, *, sound: bool = False) -> Disk:
    """Disks with partitions that follow each other with gaps, or lie anywhere; in any order."""
    sector = draw(st.sampled_from([512, 4096]))
    sectors = draw(st.integers(100_000, 4_000_000))
    numbers = draw(st.lists(st.integers(1, 127), unique=True, max_size=4))
    parts, end = [], 34
    for number in numbers:
        first = end + draw(st.integers(0, 3000))
        end = first + draw(st.integers(1, sectors // 5))
        if not sound:
            first, end = sorted((first, end + draw(st.integers(-sectors // 4, 5000))))
        parts.append(part(number, max(1, first), max(1, end - 1)))
    shorter = draw(st.sampled_from([0, 0, 5] if sound else [0, 5, sectors // 3, -3]))
    return a_disk(*parts, size=sectors * sector, sector=sector, shorter=shorter)


@settings(max_examples=80)
@given(some_disks() | some_disks(sound=True), st.integers(1, 128), st.booleans())
def test_no_plan_overlaps_leaves_the_disk_is_unaligned_or_renumbers(
    disk: Disk, number: int, grow: bool
) -> None:
    try:
        recorded = record_of(disk)
    except ValueError:
        return
    made = asked(disk, recorded, number=number, grow_table=grow)
    if not isinstance(made, Plan):
        return
    step = MIB // disk.sector_bytes
    assert made.first % step == 0
    assert (made.last + 1) % step == 0
    assert made.first <= made.last
    assert made.number == number
    assert all(it.number != number for it in disk.partitions)
    assert all(it.last < made.first for it in disk.partitions)
    table = disk.gpt
    assert table is not None
    assert made.last < disk.sectors - 1 - table.entries_sectors
    assert made.grow == (table.alternate != disk.sectors - 1)
    assert grow or not made.grow


CHANGES = st.sampled_from(
    [
        {"hostname": "m2"},
        {"machine_id": "other"},
        {"serial": "S2"},
        {"size_bytes": 99 * GIB},
        {"claims": ("mounted at /srv",)},
        {"signatures": ("LVM2_member",)},
        {"kernel": {99: (1, 2)}},
        {"free_holds": ("xfs",)},
        {"mbr_types": (0x83,)},
        {"partitions": (part(99, 40, 50),)},
        {"read_only": True},
    ]
)


@settings(max_examples=60)
@given(some_disks(sound=True), CHANGES)
def test_a_sound_disk_gets_its_plan_and_none_once_anything_changed(
    disk: Disk, change: Mapping[str, Any]
) -> None:
    recorded = record_of(disk)
    assert isinstance(asked(disk, recorded, number=128, grow_table=True), Plan)
    changed = replace(disk, **change)
    assert isinstance(asked(changed, recorded, number=128, grow_table=True), Refusal)


def test_the_free_space_after_the_last_partition_becomes_the_new_one() -> None:
    made = asked(SOUND)
    assert made == Plan(
        device="/dev/sda",
        digest="D",
        number=2,
        first=25167872,
        last=50329599,
        type=LINUX_DATA,
        partuuid=NEW,
        grow=False,
    )


@pytest.mark.parametrize("hostname", ["m1.contaboserver.net", "M1"])
def test_a_hostname_in_another_form_is_the_same_machine(hostname: str) -> None:
    assert asked(replace(SOUND, hostname=hostname)) == asked(SOUND)


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "because"),
    [
        ({"hostname": "m2"}, "m1 calls itself m2: this is another machine"),
        ({"hostname": "m2.contaboserver.net"}, "m1 calls itself m2.contaboserver.net: this is an"),
        ({"hostname": "m11"}, "m1 calls itself m11: this is another machine"),
        ({"machine_id": "other"}, "the machine's id is other, recorded is id"),
        ({"serial": ""}, "serial number is none, recorded is S1"),
        ({"size_bytes": 25 * GIB}, "size in bytes is 26843545600, recorded is 25769803776"),
        ({"sector_bytes": 4096}, "sector size is 4096, recorded is 512"),
        ({"whole": False}, "/dev/sda is a partition, no disk"),
        ({"read_only": True}, "/dev/sda is read-only"),
        ({"claims": ("mounted at /srv",)}, "/dev/sda itself is mounted at /srv"),
        ({"claims": ("held by dm-0",)}, "/dev/sda itself is held by dm-0"),
        ({"signatures": ("LVM2_member",)}, "/dev/sda itself is marked as LVM2_member"),
        ({"gpt": None}, "/dev/sda has no intact GPT at its begin, but none"),
        ({"gpt": None, "mbr_types": (0x83,)}, "but an MBR (DOS) table"),
        ({"mbr_types": (0xEE, 0x83)}, "its MBR is no protective one"),
        ({"mbr_types": None}, "its MBR is no protective one"),
        ({"kernel": {}}, "the kernel knows no partition, the table says 1: 2048–25167871"),
        ({"free_holds": ("xfs",)}, "nothing in the free space, seen xfs"),
        ({"partitions": ()}, "/dev/sda1 was recorded and is gone"),
    ],
)
def test_a_disk_that_is_another_or_unsound_is_refused(
    changes: Mapping[str, Any], because: str
) -> None:
    refused = asked(replace(SOUND, **changes))
    assert isinstance(refused, Refusal)
    assert because in "; ".join(refused.reasons)


@pytest.mark.parametrize(
    ("changes", "because"),
    [
        ({"guid": "OTHER"}, "disk GUID is OTHER, recorded is GUID"),
        ({"copy_equal": False}, "the table's copy in sector 50331647 is damaged"),
        ({"alternate": 60_000_000}, "shrank"),
        ({"alternate": 40_000_000}, "it must be moved, and the profile does not allow that"),
    ],
)
def test_a_table_that_is_another_or_damaged_is_refused(
    changes: Mapping[str, Any], because: str
) -> None:
    assert SOUND.gpt is not None
    refused = asked(replace(SOUND, gpt=replace(SOUND.gpt, **changes)))
    assert isinstance(refused, Refusal)
    assert because in "; ".join(refused.reasons)


@pytest.mark.parametrize(
    ("changed", "because"),
    [
        ({"first": 4096}, "/dev/sda1: first sector is 4096, recorded is 2048"),
        ({"last": 25165823}, "/dev/sda1: last sector is 25165823, recorded is 25167871"),
        ({"type": "EF00"}, "/dev/sda1: TYPE is EF00"),
        ({"partuuid": "OTHER"}, "/dev/sda1: PARTUUID is OTHER, recorded is U1"),
    ],
)
def test_a_partition_that_changed_since_it_was_recorded_is_refused(
    changed: Mapping[str, Any], because: str
) -> None:
    refused = asked(a_disk(replace(SYSTEM, **changed)))
    assert isinstance(refused, Refusal)
    assert because in refused.reasons[0]


def test_a_disk_that_nobody_recorded_is_refused() -> None:
    assert plan(SOUND, None, WANTED, partuuid=NEW) == Refusal(
        reasons=("no record says which disk m1 must have",)
    )


def test_free_space_of_another_size_is_refused_with_the_arithmetic() -> None:
    refused = asked(SOUND, at_least_gib=13)
    assert isinstance(refused, Refusal)
    assert refused.reasons == (
        "/dev/sda2 would be 25161728 sectors × 512 bytes = 12.00 GiB; declared are 13 to 1000 GiB",
    )


def test_free_space_elsewhere_than_recorded_is_refused() -> None:
    recorded = replace(record_of(SOUND), free=Free(first=2048, sectors=25161728))
    refused = asked(SOUND, recorded)
    assert isinstance(refused, Refusal)
    assert refused.reasons == (
        "/dev/sda: 25161728 sectors are free from sector 25167872 on;"
        " recorded are 25161728 from 2048 on",
    )


# --- what is there already ----------------------------------------------------------------------


def test_a_recorded_partition_of_the_declared_size_is_done_whatever_it_holds() -> None:
    made = a_disk(SYSTEM, part(2, 25167872, 50329599, holds=("ceph_bluestore",)))
    assert asked(made, record_of(made)) == Done(partition=made.partitions[1], known=True)
    refused = asked(made, record_of(made), at_most_gib=11)
    assert isinstance(refused, Refusal)
    assert "declared are 0.001 to 11 GiB" in refused.reasons[0]


def test_an_unrecorded_partition_is_ours_only_where_and_as_we_would_have_made_it() -> None:
    made = part(2, 25167872, 50329599)
    assert asked(a_disk(SYSTEM, made)) == Done(partition=made, known=False)
    for changed, because in (
        ({"last": 40000511}, "it would be 25167872–50329599"),
        ({"type": "8E00"}, "exists with TYPE 8E00"),
        ({"holds": ("xfs",)}, "holds xfs, but was not recorded"),
    ):
        refused = asked(a_disk(SYSTEM, replace(made, **changed)))
        assert isinstance(refused, Refusal)
        assert because in "; ".join(refused.reasons)


# --- after the act ------------------------------------------------------------------------------


def test_what_is_not_as_planned_afterwards_is_named() -> None:
    planned = asked(SOUND)
    assert isinstance(planned, Plan)
    new = part(2, planned.first, planned.last, partuuid=NEW)
    after = a_disk(SYSTEM, new)
    assert flaws_after(SOUND, after, planned) == ()
    for broken, because in (
        (SOUND, "/dev/sda2 is not in the table"),
        (replace(after, first_mib_sha256="c"), "the first MiB changed"),
        (replace(after, kernel={}), "the kernel knows no partition"),
        (a_disk(replace(SYSTEM, raw="ff"), new), "an entry of the table that was there before"),
        (a_disk(SYSTEM, replace(new, partuuid="X")), f"partuuid is X, planned was {NEW}"),
    ):
        assert because in "; ".join(flaws_after(SOUND, broken, planned))
