"""What the script in the pods of claims writes and reads: each way of being wrong has its name."""

from __future__ import annotations

import fcntl
from pathlib import Path
from tempfile import NamedTemporaryFile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.probes.scripts import claim_script as script
from harness.tests.probe_rig import MACHINES

ONE, TWO, THREE = MACHINES
BLOCK = script.BLOCK
WHO = script.owner(7, ONE)


# --- blocks ---------------------------------------------------------------------------------------


def test_a_block_that_belongs_there_is_right_and_nowhere_zero_for_long() -> None:
    block = script.block(WHO, 3 * BLOCK, 2)
    assert script.verdict(block, WHO, 3 * BLOCK, 2) == ""
    assert len(block) == BLOCK
    assert bytes(32) not in block


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (b"", "lost: the file ends before it"),
        (script.block(WHO, 0, 2)[:100], "lost: only 100 bytes of it are there"),
        (bytes(BLOCK), "zeroed"),
        (script.block(WHO, 0, 1), "stale: generation 1"),
        (script.block(WHO, 0, 3), "invented: generation 3"),
        (script.block(WHO, BLOCK, 2), f"swapped: it belongs at offset {BLOCK}"),
        (script.block(script.owner(7, TWO), 0, 2), "of another writer"),
        (script.block(script.owner(8, ONE), 0, 2), "of another writer"),
    ],
)
def test_each_way_of_being_wrong_has_its_name(found: bytes, says: str) -> None:
    assert script.verdict(found, WHO, 0, 2) == says


@settings(max_examples=5)
@given(st.integers(0, BLOCK * 8 - 1))
def test_every_single_bit_counts(bit: int) -> None:
    found = bytearray(script.block(WHO, BLOCK, 1))
    found[bit // 8] ^= 1 << bit % 8
    says = script.verdict(bytes(found), WHO, BLOCK, 1)
    assert says == f"changed: 1 bits differ, the first at byte {BLOCK + bit // 8}"


def test_what_is_written_is_read_and_what_follows_its_end_is_told(tmp_path: Path) -> None:
    path = str(tmp_path / "data")
    script.write(path, 7, ONE, {"0": 1, "1": 1, "2": 1})
    script.write(path, 7, ONE, {"1": 2})
    assert script.verify(path, 7, ONE, [1, 2, 1]) == {"right": 3, "wrong": 0, "first": []}
    assert script.verify(path, 7, ONE, [1, 1, 1])["first"] == ["block 1 is invented: generation 2"]
    assert script.verify(path, 7, ONE, [1, 2])["first"] == ["it goes on after its end"]


def test_blocks_that_are_written_again_and_again_are_known_afterwards(tmp_path: Path) -> None:
    path = str(tmp_path / "data")
    done = script.churn(path, 7, ONE, 4, 0.05)
    assert done["writes"] == max(done["generations"])
    written = [generation for generation in done["generations"] if generation]
    assert script.verify(path, 7, ONE, written)["right"] == len(written) > 0


# --- files, lines and quotas ----------------------------------------------------------------------


def test_small_files_that_are_missing_changed_or_nobodys_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    script.scatter(str(folder), 7, ONE, 20)
    assert script.gather(str(folder), 7, ONE, 20) == {"right": 20, "wrong": 0, "first": []}
    assert min(path.stat().st_size for path in folder.iterdir()) >= 1
    (folder / "00020").touch()
    assert script.gather(str(folder), 7, ONE, 20)["first"] == ["00020 was written by no machine"]
    (folder / "00003").unlink()
    (folder / "00004").write_bytes(b"")
    found = script.gather(str(folder), 7, ONE, 20)["first"]
    assert found == ["00003 is missing", "00004 holds other bytes"]


@settings(max_examples=20)
@given(st.data())
def test_lines_are_lost_torn_or_twice_and_never_pass(data: st.DataObject) -> None:
    lines = [script.line(7, writer, number) for writer in MACHINES for number in range(3)]
    place = data.draw(st.integers(0, len(lines) - 1))
    how = data.draw(st.sampled_from(["lost", "twice", "torn"]))
    changed = {"lost": b"", "twice": lines[place] * 2, "torn": lines[place][:-20] + b"\n"}[how]
    there = b"".join([*lines[:place], changed, *lines[place + 1 :]])
    with NamedTemporaryFile() as file:
        file.write(there)
        file.flush()
        found = script.read_lines(file.name, 7, list(MACHINES), 3)
    assert found[how] == 1
    assert found["right"] == len(lines) - 1


def test_appended_lines_are_there_once_and_the_lock_is_held_for_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, locks = str(tmp_path / "lines"), []
    monkeypatch.setattr(fcntl, "lockf", lambda _, how: locks.append(how))
    for machine in (ONE, TWO):
        script.append(path, 7, machine, 5)
    assert script.read_lines(path, 7, [ONE, TWO], 5)["right"] == 10
    assert locks == [fcntl.LOCK_EX, fcntl.LOCK_UN] * 10


def test_what_the_file_system_refuses_is_told_from_what_went_wrong(tmp_path: Path) -> None:
    missing = {"path": str(tmp_path / "no"), "seed": 7, "writer": ONE, "generations": [1]}
    assert str(script.item(script.verify, missing)["refused"]).startswith("ENOENT (No such file")
    assert "TypeError" in str(script.item(script.verify, {})["error"])

    def slow() -> None:
        raise TimeoutError("not done within 40 s")

    assert script.item(slow, {}) == {"error": "not done within 40 s"}
