"""The journal survives what happens to machines, and says so when it was damaged."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import ConfigError, NotProven, Refused
from harness.record.journal import INLINE_BYTES, Journal, JournalReader, Record

RUN = "20261124T120000Z-week01-7f3a"


def _write(folder: Path, *values: object) -> list[Record]:
    with Journal.create(folder, RUN) as journal:
        return [journal.append("note", str(number), value) for number, value in enumerate(values)]


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    written = _write(tmp_path / "run", {"a": 1}, None, ["ü", 2.5], "x" * (INLINE_BYTES + 1))
    assert list(JournalReader(tmp_path / "run")) == written


def test_each_line_names_its_run_number_times_kind_and_subject(tmp_path: Path) -> None:
    _write(tmp_path / "run", {"a": 1})
    line = json.loads((tmp_path / "run/journal.jsonl").read_text())
    assert line.keys() == {"run", "seq", "at", "mono_s", "kind", "subject", "data"}
    assert line["at"].endswith("Z")


def test_a_torn_last_line_is_dropped_and_reported(tmp_path: Path) -> None:
    written = _write(tmp_path / "run", 1, 2)
    with (tmp_path / "run/journal.jsonl").open("ab") as file:
        file.write(b'{"run": "2026')
    reader = JournalReader(tmp_path / "run")
    assert list(reader) == written
    assert reader.torn_bytes == 13


@given(cut=st.integers(min_value=0, max_value=400))
def test_a_journal_cut_anywhere_still_reads_up_to_there(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    folder = tmp_path_factory.mktemp("cut") / "run"
    written = _write(folder, 1, 2, 3)
    path = folder / "journal.jsonl"
    path.write_bytes(path.read_bytes()[:cut])
    read = list(JournalReader(folder))
    assert read == written[: len(read)]


def test_a_reopened_journal_goes_on_and_records_what_was_torn(tmp_path: Path) -> None:
    _write(tmp_path / "run", 1)
    with (tmp_path / "run/journal.jsonl").open("ab") as file:
        file.write(b"{torn")
    with Journal.reopen(tmp_path / "run") as journal:
        journal.append("note", "later", 2)
    reader = JournalReader(tmp_path / "run")
    assert [(it.seq, it.kind) for it in reader] == [(1, "note"), (2, "torn"), (3, "note")]
    assert reader.torn_bytes == 0


def test_a_large_value_is_kept_beside_the_journal_under_its_hash(tmp_path: Path) -> None:
    (record,) = _write(tmp_path / "run", ["x" * INLINE_BYTES])
    assert record.file is not None
    assert (tmp_path / "run" / record.file).exists()
    assert (tmp_path / "run/journal.jsonl").stat().st_size < 500


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda text: text.replace('"seq":2', '"seq":3'), id="a line is missing"),
        pytest.param(lambda text: text.replace("7f3a", "ffff", 1), id="a line is of another run"),
        pytest.param(lambda text: "{}\n" + text, id="a line is no record"),
        pytest.param(lambda text: "nonsense\n" + text, id="a line is not JSON"),
    ],
)
def test_any_other_damage_makes_it_worthless(tmp_path: Path, damage: object) -> None:
    _write(tmp_path / "run", 1, 2, 3)
    path = tmp_path / "run/journal.jsonl"
    assert callable(damage)
    path.write_text(damage(path.read_text()))
    with pytest.raises(NotProven):
        list(JournalReader(tmp_path / "run"))


@pytest.mark.parametrize("content", [b"changed", None])
def test_evidence_that_was_changed_or_lost_is_noticed(
    tmp_path: Path, content: bytes | None
) -> None:
    (record,) = _write(tmp_path / "run", "x" * (INLINE_BYTES + 1))
    evidence = tmp_path / "run" / str(record.file)
    evidence.unlink() if content is None else evidence.write_bytes(content)
    with pytest.raises(NotProven, match="missing or was changed"):
        list(JournalReader(tmp_path / "run"))


@pytest.mark.parametrize("value", [{1, 2}, float("nan"), object()])
def test_what_json_cannot_hold_is_refused_and_leaves_no_line(tmp_path: Path, value: object) -> None:
    with Journal.create(tmp_path / "run", RUN) as journal:
        with pytest.raises((TypeError, ValueError)):
            journal.append("note", "bad", value)
        journal.append("note", "good", 1)
    assert [it.subject for it in JournalReader(tmp_path / "run")] == ["good"]


def test_threads_may_write_at_once(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "run", RUN) as journal:
        threads = [Thread(target=journal.append, args=("note", str(n), n)) for n in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(int(str(it.data)) for it in JournalReader(tmp_path / "run")) == list(range(20))


def test_a_run_never_overwrites_another(tmp_path: Path) -> None:
    _write(tmp_path / "run", 1)
    with pytest.raises(ConfigError, match="exists already"):
        Journal.create(tmp_path / "run", RUN)


def test_a_journal_has_one_writer_at_a_time(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "run", "r") as journal:
        journal.append("note", "a", 1)
        with pytest.raises(ConfigError, match="another process writes"):
            Journal.reopen(tmp_path / "run")
    with Journal.reopen(tmp_path / "run") as journal:
        assert journal.append("note", "b", 2).seq == 2


def test_what_comes_too_late_is_written_into_nobody_elses_file(tmp_path: Path) -> None:
    """The number of a closed file is the next one's; a late line would garble a socket's talk."""
    with Journal.create(tmp_path / "run", RUN) as journal:
        number = journal._file
        journal.close()
        others = [(tmp_path / str(name)).open("wb") for name in range(number + 1)]
        try:
            assert number in [it.fileno() for it in others]
            with pytest.raises(NotProven, match="is closed"):
                journal.append("note", "late", 1)
            journal.close()
            for it in others:
                it.write(b"whole")
                it.close()
        finally:
            for it in others:
                it.close()
    assert {path.read_bytes() for path in tmp_path.glob("[0-9]*")} == {b"whole"}


def test_a_journal_that_another_process_writes_is_neither_read_nor_cut(tmp_path: Path) -> None:
    """Its torn last line may be one that is just being written."""
    path = tmp_path / "run/journal.jsonl"
    with Journal.create(tmp_path / "run", RUN) as journal:
        journal.append("note", "1", 1)
        with path.open("ab") as file:
            file.write(b'{"half')
        before = path.read_bytes()
        asked: list[object] = []
        with pytest.raises(ConfigError, match="another process writes"):
            Journal.reopen(tmp_path / "run", accept=asked.append)
        assert (path.read_bytes(), asked) == (before, [])


def test_a_journal_whose_run_may_not_go_on_stays_as_it_is(tmp_path: Path) -> None:
    _write(tmp_path / "run", 1, 2)
    path = tmp_path / "run/journal.jsonl"
    with path.open("ab") as file:
        file.write(b"{torn")
    before = path.read_bytes()

    def refuse(records: Iterable[Record]) -> None:
        assert [it.data for it in records] == [1, 2]
        raise Refused("it is a day old")

    with pytest.raises(Refused, match="a day old"):
        Journal.reopen(tmp_path / "run", accept=refuse)
    assert path.read_bytes() == before
    with Journal.reopen(tmp_path / "run") as journal:  # the lock is free again
        assert journal.append("note", "3", 3).seq == 4
