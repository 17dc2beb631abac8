"""The one partition of a plan: what no plan ever does, and what is refused with which words."""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import ConfigError, NotProven, Refused, TransportError
from harness.model import Exit
from harness.provision import disk_script, disks, provide, records
from harness.provision.disk import Disk, Free, Partition, Recorded, Table, disk_of, record_of
from harness.provision.outcome import Line, State, status_of
from harness.provision.partition import LINUX_DATA, Done, Plan, Refusal, flaws_after, plan
from harness.settings import NewPartition
from harness.tests import gpt
from harness.tests.gpt import Entry
from harness.transport import Completed
from harness.transport.fake import FakeShell

MIB = 1 << 20
GIB = 1 << 30
GUID = "3B6E1A52-7C1F-4A63-9C0B-5D2E8F901A44"
NEW = "11111111-2222-3333-4444-555555555555"
WANTED = NewPartition(
    device="/dev/sda", number=2, at_least_gib=0.001, at_most_gib=1000, record=Path("/nowhere")
)


def a_disk(
    *parts: Partition, size: int = 24 * GIB, sector: int = 512, shorter: int = 0, **changes: Any
) -> Disk:
    """A sound disk; the copy of its table is ``shorter`` sectors before its end."""
    sectors = size // sector
    table = Table(
        guid="GUID",
        alternate=sectors - 1 - shorter,
        first_usable=34,
        last_usable=sectors - 34 - shorter,
        copy_equal=True,
        entries_sectors=-(-128 * 128 // sector),
    )
    usual: dict[str, Any] = {
        "machine": "m1",
        "hostname": "m1",
        "machine_id": "id",
        "device": "/dev/sda",
        "whole": True,
        "read_only": False,
        "serial": "S1",
        "size_bytes": size,
        "sector_bytes": sector,
        "mbr_types": (0xEE,),
        "table": table,
        "partitions": parts,
        "kernel": {it.number: (it.first, it.last) for it in parts},
        "claims": (),
        "signatures": (),
        "free_holds": (),
        "first_mib": ("a", "b"),
        "digest": "D",
    }
    return Disk(**{**usual, **changes})


def part(number: int, first: int, last: int, **changes: Any) -> Partition:
    usual = {"type": LINUX_DATA, "partuuid": f"U{number}", "raw": f"{number:02x}", "holds": ()}
    return Partition(number=number, first=first, last=last, **{**usual, **changes})


SYSTEM = part(1, 2048, 25167871)
SOUND = a_disk(SYSTEM)


def asked(disk: Disk, recorded: Recorded | None = None, **declared: Any) -> Plan | Done | Refusal:
    wanted = WANTED.model_copy(update=declared)
    return plan(disk, recorded or record_of(SOUND), wanted, partuuid=NEW)


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
    table = disk.table
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


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "because"),
    [
        ({"hostname": "m2"}, "m1 calls itself m2: this is another machine"),
        ({"machine_id": "other"}, "the machine's id is other, recorded is id"),
        ({"serial": ""}, "serial number is none, recorded is S1"),
        ({"size_bytes": 25 * GIB}, "size in bytes is 26843545600, recorded is 25769803776"),
        ({"sector_bytes": 4096}, "sector size is 4096, recorded is 512"),
        ({"whole": False}, "/dev/sda is a partition, no disk"),
        ({"read_only": True}, "/dev/sda is read-only"),
        ({"claims": ("mounted at /srv",)}, "/dev/sda itself is mounted at /srv"),
        ({"claims": ("held by dm-0",)}, "/dev/sda itself is held by dm-0"),
        ({"signatures": ("LVM2_member",)}, "/dev/sda itself is marked as LVM2_member"),
        ({"table": None}, "/dev/sda has no intact GPT at its begin, but none"),
        ({"table": None, "mbr_types": (0x83,)}, "but an MBR (DOS) table"),
        ({"mbr_types": (0xEE, 0x83)}, "its MBR is no protective one"),
        ({"mbr_types": None}, "its MBR is no protective one"),
        ({"kernel": {}}, "the kernel knows no partition, the table says 1: 2048–25167871"),
        ({"free_holds": ("xfs",)}, "the free space holds xfs: whose is it?"),
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
    assert SOUND.table is not None
    refused = asked(replace(SOUND, table=replace(SOUND.table, **changes)))
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
        (replace(after, first_mib=("a", "c")), "the first MiB changed"),
        (replace(after, kernel={}), "the kernel knows no partition"),
        (a_disk(replace(SYSTEM, raw="ff"), new), "an entry of the table that was there before"),
        (a_disk(SYSTEM, replace(new, partuuid="X")), f"partuuid is X, planned was {NEW}"),
    ):
        assert because in "; ".join(flaws_after(SOUND, broken, planned))


# --- what a machine tells -----------------------------------------------------------------------


def told_of(disk: Disk) -> dict[str, Any]:
    """A disk as the script tells it."""
    document = asdict(disk)
    document["gpt"] = document.pop("table")
    document["boot_code_sha256"], document["first_mib_sha256"] = document.pop("first_mib")
    return document


def shell(*answers: Mapping[str, Any] | str) -> FakeShell:
    """A machine whose python3 answers one after the other."""
    left = [it if isinstance(it, str) else json.dumps(it) for it in answers]
    return FakeShell(
        {("m1", "python3"): lambda *_: Completed(status=0, stdout=left.pop(0), stderr="")}
    )


def test_a_disk_comes_through_as_it_is() -> None:
    assert disks.look(shell(told_of(SOUND)), "m1", "/dev/sda") == SOUND
    assert disk_of("m1", json.loads(json.dumps(told_of(SOUND)))) == SOUND


@pytest.mark.parametrize(
    ("answer", "error", "because"),
    [
        ("", TransportError, "python3 ended with status 0"),
        ({}, TransportError, "not whole: 'gpt'"),
        ({"stopped": "/dev/sda is no block device"}, Refused, "no block device"),
        ({"error": "No such file"}, TransportError, "No such file"),
    ],
)
def test_what_is_no_disk_is_an_error_and_never_a_plan(
    answer: Any, error: type[Exception], because: str
) -> None:
    with pytest.raises(error, match=because):
        disks.look(shell(answer), "m1", "/dev/sda")


def test_a_partition_that_was_made_otherwise_is_not_proven_and_the_old_table_is_named() -> None:
    made = asked(SOUND)
    assert isinstance(made, Plan)
    answer = {"after": told_of(SOUND), "kept": "/var/lib/cutover/x.gpt", "partx": ""}
    with pytest.raises(NotProven, match="is not in the table") as caught:
        disks.carry_out(shell(answer), SOUND, made)
    assert "--load-backup=/var/lib/cutover/x.gpt" in caught.value.remedy


# --- record, plan, act --------------------------------------------------------------------------


def after_of(disk: Disk) -> Disk:
    made = asked(disk)
    assert isinstance(made, Plan)
    new = part(2, made.first, made.last, partuuid=NEW)
    return a_disk(SYSTEM, new)


@pytest.fixture
def wanted(tmp_path: Path) -> NewPartition:
    return WANTED.model_copy(update={"record": tmp_path / "disks.yaml"})


def test_a_record_is_written_once_and_then_only_compared(wanted: NewPartition) -> None:
    for state in (State.RECORDED, State.OK):
        (line,) = provide.record(shell(told_of(SOUND)), wanted, ["m1"])
        assert line.state is state
    assert records.read(wanted.record) == {
        "m1": replace(record_of(SOUND), partitions=(replace(SYSTEM, raw="", holds=()),))
    }
    with pytest.raises(Refused, match="says otherwise of the disk of m1"):
        provide.record(shell(told_of(replace(SOUND, serial="S2"))), wanted, ["m1"])
    (line,) = provide.record(shell(told_of(replace(SOUND, table=None))), wanted, ["m1"])
    assert line.exit is Exit.REFUSED


def test_a_record_that_says_something_unknown_is_a_configuration_error(
    wanted: NewPartition,
) -> None:
    wanted.record.write_text("disks: {m1: {serial: 1}}")
    with pytest.raises(ConfigError, match="machine_id"):
        records.read(wanted.record)


def test_without_yes_nothing_but_looking_is_done(wanted: NewPartition) -> None:
    provide.record(shell(told_of(SOUND)), wanted, ["m1"])
    machine = shell(told_of(SOUND))
    (line,) = provide.provide(machine, wanted, ["m1"], yes=False)
    assert (line.state, line.exit) == (State.PLANNED, Exit.REFUSED)
    assert line.says[-1] == "not done: it needs --yes"
    assert len(machine.calls) == 1


def test_another_cluster_is_refused_before_anything_is_done(wanted: NewPartition) -> None:
    def refuse() -> None:
        raise Refused("another cluster")

    provide.record(shell(told_of(SOUND)), wanted, ["m1"])
    machine = shell(told_of(SOUND))
    with pytest.raises(Refused, match="another cluster"):
        provide.provide(machine, wanted, ["m1"], yes=True, before_acting=refuse)
    assert len(machine.calls) == 1


def test_what_is_made_is_recorded_with_its_partuuid(
    wanted: NewPartition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uuid.uuid4", lambda: uuid.UUID(NEW))
    provide.record(shell(told_of(SOUND)), wanted, ["m1"])
    done = {"after": told_of(after_of(SOUND)), "kept": "/x", "partx": ""}
    (line,) = provide.provide(shell(told_of(SOUND), done), wanted, ["m1"], yes=True)
    assert (line.state, line.exit, line.partuuid) == (State.DONE, Exit.GO, NEW)
    assert [it.partuuid for it in records.read(wanted.record)["m1"].partitions] == ["U1", NEW]


def test_one_machine_that_is_refused_keeps_every_other_from_being_touched(
    wanted: NewPartition,
) -> None:
    two = replace(SOUND, machine="m2", hostname="m2", claims=("swapped on",))
    records.write(wanted.record, {"m1": record_of(SOUND), "m2": record_of(SOUND)})
    machines = FakeShell(
        {
            (name, "python3"): Completed(status=0, stdout=json.dumps(told_of(disk)), stderr="")
            for name, disk in (("m1", SOUND), ("m2", two))
        }
    )
    lines = provide.provide(machines, wanted, ["m1", "m2"], yes=True)
    assert [line.state for line in lines] == [State.PLANNED, State.REFUSED]
    assert len(machines.calls) == 2
    assert status_of(lines) is Exit.REFUSED


def test_a_machine_that_fails_while_another_is_done_is_no_refusal(
    wanted: NewPartition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uuid.uuid4", lambda: uuid.UUID(NEW))
    two = replace(SOUND, machine="m2", hostname="m2")
    records.write(wanted.record, {"m1": record_of(SOUND), "m2": record_of(SOUND)})
    done = {"after": told_of(after_of(SOUND)), "kept": "/x", "partx": ""}
    answers = {
        "m1": [told_of(SOUND), done],
        "m2": [told_of(two), {"stopped": "/dev/sda is locked by another program"}],
    }

    def answer(name: str) -> Any:
        left = [json.dumps(it) for it in answers[name]]
        return lambda *_: Completed(status=0, stdout=left.pop(0), stderr="")

    machines = FakeShell({(name, "python3"): answer(name) for name in answers})
    lines = provide.provide(machines, wanted, ["m1", "m2"], yes=True)
    assert [line.state for line in lines] == [State.DONE, State.REFUSED]
    assert status_of(lines) is Exit.NOT_PROVEN


def test_what_failed_outranks_what_was_refused() -> None:
    lines = [
        Line(machine="m", state=State.REFUSED, says=(), exit=status)
        for status in (Exit.GO, Exit.REFUSED, Exit.NOT_PROVEN)
    ]
    assert status_of(lines[:1]) is Exit.GO
    assert status_of(lines[:2]) is Exit.REFUSED
    assert status_of(lines) is Exit.NOT_PROVEN


# --- reading a table ----------------------------------------------------------------------------

Tables = st.dictionaries(
    st.integers(1, 128), st.tuples(st.integers(1, 5000), st.integers(1, 5000)), max_size=4
)


@contextlib.contextmanager
def written(entries: Mapping[int, tuple[int, int]]) -> Iterator[Any]:
    """A file in memory with a table, open for ``disk_script`` and for writing."""
    with open(os.memfd_create("disk"), "r+b", buffering=0) as file:  # noqa: PTH123 (no path)
        file.truncate(8192 * 512)
        parts = {number: Entry(*ends) for number, ends in entries.items()}
        gpt.write(Path(f"/proc/self/fd/{file.fileno()}"), parts, guid=GUID, sectors=8192)
        yield file


@settings(max_examples=30)
@given(Tables)
def test_every_table_is_read_as_it_was_written(entries: dict[int, tuple[int, int]]) -> None:
    with written(entries) as disk:
        table, said = disk_script.header(disk, 1, 512), disk_script.gpt(disk, 8192, 512)
        assert disk_script.mbr_types(disk) == [0xEE]
    assert table is not None
    assert said is not None
    assert (said["guid"], said["copy_equal"], said["alternate"]) == (GUID, True, 8191)
    read = {it["number"]: (it["first"], it["last"]) for it in disk_script.partitions(table)}
    assert read == entries


@settings(max_examples=50)
@given(st.integers(512, 512 + 91) | st.integers(1024, 1024 + 128 * 128 - 1), st.integers(0, 7))
def test_a_table_with_one_wrong_bit_is_no_table(place: int, bit: int) -> None:
    with written({1: (2048, 4095)}) as disk:
        (byte,) = disk_script.at(disk, place, 1)
        disk.seek(place)
        disk.write(bytes([byte ^ 1 << bit]))
        assert disk_script.gpt(disk, 8192, 512) is None


def test_a_copy_that_says_otherwise_is_told() -> None:
    with written({1: (2048, 4095)}) as disk:
        with written({1: (2048, 5000)}) as other:
            copy = disk_script.at(other, 8159 * 512, 33 * 512)
        disk.seek(8159 * 512)
        disk.write(copy)
        said = disk_script.gpt(disk, 8192, 512)
    assert said is not None
    assert said["copy_equal"] is False
