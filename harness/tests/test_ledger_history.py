"""The book is on the disk before a write is sent, survives being cut, and tells of damage."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import NotProven
from harness.ledger.history import History, HistoryReader

RUN = "20261124T120000Z-week09-7f3a"


def written(path: Path, writes: int = 3) -> Path:
    with History(path, RUN) as book:
        for seq in range(writes):
            book.invoke("postgres/0", seq)
            book.settle("ok", "postgres/0", seq)
        book.mark("fault injected")
    return path


def test_what_is_read_is_what_was_written_in_order(tmp_path: Path) -> None:
    reader = HistoryReader(written(tmp_path / "book", 2))
    events = list(reader)
    assert [event[:3] for event in events] == [
        ("invoke", "postgres/0", 0),
        ("ok", "postgres/0", 0),
        ("invoke", "postgres/0", 1),
        ("ok", "postgres/0", 1),
        ("mark", "fault injected", 0),
        ("end", "-", 0),
    ]
    times = [event[3] for event in events]
    assert times == sorted(times)
    assert (reader.run, reader.closed, reader.torn_bytes) == (RUN, True, 0)
    assert abs(reader.wall_s + times[0] / 1e6 - (tmp_path / "book").stat().st_mtime) < 60


def test_a_write_is_on_the_disk_before_it_may_be_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.fstat(file).st_size))
    with History(tmp_path / "book", RUN) as book:
        for seq in range(20):
            book.invoke("http/0", seq)
            on_disk = (tmp_path / "book").read_bytes()[: synced[-1]]
            assert on_disk.splitlines()[-1].startswith(b"invoke http/0 %d " % seq)


def test_writers_that_wait_at_the_same_time_share_one_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs, busy, go = [], threading.Event(), threading.Event()

    def slowly(file: int) -> None:
        syncs.append(file)
        if len(syncs) == 2:  # the first writer's; the line that begins the book was the first
            busy.set()
            go.wait(5)

    monkeypatch.setattr(os, "fsync", slowly)
    with History(tmp_path / "book", RUN) as book:
        writers = [threading.Thread(target=book.invoke, args=(f"w/{n}", 0)) for n in range(9)]
        writers[0].start()
        assert busy.wait(5)
        for writer in writers[1:]:
            writer.start()
        while book._noted < 1 + len(writers):
            pass
        go.set()
        for writer in writers:
            writer.join(5)
        assert len(syncs) == 3


def test_a_torn_last_line_is_dropped_and_said(tmp_path: Path) -> None:
    path = written(tmp_path / "book")
    whole = list(HistoryReader(path))
    with path.open("ab") as file:
        file.write(b"invoke postgres/0 3 17")
    reader = HistoryReader(path)
    assert list(reader) == whole
    assert reader.torn_bytes == 22


@given(cut=st.integers(min_value=0, max_value=400))
def test_a_book_cut_anywhere_reads_up_to_there(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    path = written(tmp_path_factory.mktemp("cut") / "book")
    whole, content = list(HistoryReader(path)), path.read_bytes()
    path.write_bytes(content[:cut])
    if b"\n" not in content[:cut]:
        with pytest.raises(NotProven, match="does not begin"):
            HistoryReader(path)
        return
    reader = HistoryReader(path)
    read = list(reader)
    assert read == whole[: len(read)]
    assert reader.closed is (cut >= len(content))
    assert reader.torn_bytes == len(content[:cut].rpartition(b"\n")[2])


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("invoke postgres/0 1 ", "invoke postgres/0 ", "does not have 5 words"),
        ("invoke postgres/0 1 ", "invoke postgres/0 x ", "invalid literal"),
        ("begin", "again", "does not begin as a history"),
        (f"begin {RUN} 1", f"begin {RUN} 2", "of version 1"),
    ],
)
def test_damage_is_never_read_over(tmp_path: Path, old: str, new: str, says: str) -> None:
    path = written(tmp_path / "book")
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(NotProven, match=says):
        list(HistoryReader(path))


def test_nothing_may_be_sent_once_the_disk_has_refused_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = History(tmp_path / "book", RUN)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NotProven, match="No space left on device"):
        book.invoke("http/0", 0)
    monkeypatch.undo()
    with pytest.raises(NotProven, match="cannot be written"):
        book.invoke("http/0", 1)
    with pytest.raises(NotProven, match="cannot be written"):
        book.close()
    book.close()


def test_a_closed_book_takes_no_more_lines(tmp_path: Path) -> None:
    book = History(tmp_path / "book", RUN)
    book.close()
    with pytest.raises(NotProven, match="is closed"):
        book.settle("ok", "http/0", 0)
    assert [event[0] for event in HistoryReader(tmp_path / "book")] == ["end"]


def test_a_book_is_never_written_over(tmp_path: Path) -> None:
    path = written(tmp_path / "book")
    with pytest.raises(FileExistsError):
        History(path, RUN)
