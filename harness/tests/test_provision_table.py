"""Partition tables are read as they were written, and damaged ones are none."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.bench.scripts import disk_reader, disk_rules
from harness.tests import gpt
from harness.tests.gpt import LINUX_DATA, Entry

GUID = "3b6e1a52-7c1f-4a63-9c0b-5d2e8f901a44"
SECTORS = 8192
Tables = st.dictionaries(
    st.integers(1, 128), st.tuples(st.integers(1, 5000), st.integers(1, 5000)), max_size=4
)


@contextlib.contextmanager
def written(entries: Mapping[int, tuple[int, int]]) -> Iterator[int]:
    """A file in memory with a table, open for the reader and for writing."""
    with open(os.memfd_create("disk"), "r+b", buffering=0) as file:  # noqa: PTH123 (no path)
        file.truncate(SECTORS * 512)
        parts = {number: Entry(*ends) for number, ends in entries.items()}
        gpt.write(Path(f"/proc/self/fd/{file.fileno()}"), parts, guid=GUID, sectors=SECTORS)
        yield file.fileno()


def sound(disk: int) -> dict[str, Any]:
    """What the rules judge a table by, with a kernel that has understood it."""
    parts = [(it["number"], it["first"], it["last"]) for it in disk_reader.partitions(disk, 512)]
    return {
        "sectors": SECTORS,
        "mbr_types": disk_reader.mbr_types(disk),
        "gpt": disk_reader.gpt(disk, SECTORS, 512),
        "partitions": parts,
        "kernel": {number: (first, last) for number, first, last in parts},
    }


def flaws(disk: Mapping[str, Any]) -> list[str]:
    return list(disk_rules.table_flaws(disk, lambda it: f"partition {it}"))


@settings(max_examples=30)
@given(Tables)
def test_every_table_is_read_as_it_was_written(entries: dict[int, tuple[int, int]]) -> None:
    with written(entries) as disk:
        said, parts = disk_reader.gpt(disk, SECTORS, 512), disk_reader.partitions(disk, 512)
        assert disk_reader.mbr_types(disk) == [0xEE]
    assert (said["guid"], said["copy_equal"], said["alternate"]) == (GUID, True, SECTORS - 1)
    assert {it["number"]: (it["first"], it["last"]) for it in parts} == entries
    assert {it["type"] for it in parts} <= {LINUX_DATA.lower()}


@settings(max_examples=50)
@given(st.integers(512, 512 + 91) | st.integers(1024, 1024 + 128 * 128 - 1), st.integers(0, 7))
def test_a_table_with_one_wrong_bit_is_no_table(place: int, bit: int) -> None:
    with written({1: (2048, 4095)}) as disk:
        (byte,) = os.pread(disk, 1, place)
        os.pwrite(disk, bytes([byte ^ 1 << bit]), place)
        for read in (disk_reader.header, disk_reader.gpt):
            with pytest.raises(ValueError, match="GPT"):
                read(disk, 1 if read is disk_reader.header else SECTORS, 512)
        with pytest.raises(ValueError, match="GPT"):
            disk_reader.partitions(disk, 512)


def test_a_copy_that_says_otherwise_is_told() -> None:
    with written({1: (2048, 4095)}) as disk:
        with written({1: (2048, 5000)}) as other:
            copy = os.pread(other, 33 * 512, 8159 * 512)
        os.pwrite(disk, copy, 8159 * 512)
        assert disk_reader.gpt(disk, SECTORS, 512)["copy_equal"] is False
        assert flaws(sound(disk)) == ["the table's copy in sector 8191 is damaged"]


@settings(max_examples=50)
@given(Tables)
def test_a_table_is_sound_only_when_its_partitions_lie_apart_on_the_disk(
    entries: dict[int, tuple[int, int]],
) -> None:
    with written(entries) as disk:
        found = flaws(sound(disk))
    taken = [set(range(first, last + 1)) for first, last in entries.values()]
    apart = sum(map(len, taken)) == len(set().union(*taken)) and all(taken)
    assert (not found) == apart, found


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mbr_types": None}, "no protective one"),
        ({"mbr_types": [0xEE, 0x83]}, "no protective one"),
        ({"sectors": 8191}, "it shrank"),
        ({"kernel": {}}, "the kernel knows no partition"),
        ({"kernel": {1: (2048, 4094)}}, "the kernel knows 1: 2048–4094"),
        ({"partitions": [(1, 2048, 9000)]}, "leaves the disk"),
    ],
)
def test_each_flaw_of_a_table_has_its_own_words(changes: dict[str, Any], words: str) -> None:
    with written({1: (2048, 4095)}) as disk:
        assert flaws(sound(disk)) == []
        assert any(words in it for it in flaws(sound(disk) | changes))


def test_what_lies_in_an_area_is_found_from_its_begin_and_from_the_disks() -> None:
    label = disk_reader.BLUESTORE
    with open(os.memfd_create("disk"), "r+b", buffering=0) as file:  # noqa: PTH123 (no path)
        disk, gib = file.fileno(), disk_reader.GIB
        file.truncate(12 * gib)
        assert disk_reader.labels(disk, 12 * gib) == []
        os.pwrite(disk, label, 10 * gib)
        assert disk_reader.labels(disk, 12 * gib) == [10]
        assert disk_reader.labels(disk, 11 * gib, gib) == []
        os.pwrite(disk, label, 3 * gib)
        assert disk_reader.labels(disk, 9 * gib, 2 * gib) == [1]
        assert not disk_reader.nested(disk, gib, gib)
        os.pwrite(disk, disk_reader.GPT, 2 * gib - 512)
        assert disk_reader.nested(disk, gib, gib)
        assert not disk_reader.nested(disk, gib, gib, end=False)
