"""Partition tables are read as they were written, and damaged ones are none."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.provision import disk_script
from harness.tests import gpt
from harness.tests.gpt import Entry

GUID = "3B6E1A52-7C1F-4A63-9C0B-5D2E8F901A44"
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
