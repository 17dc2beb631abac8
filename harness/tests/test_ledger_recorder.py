"""Keeping a ledger: writers that fail, hang or die are told, and nothing is acknowledged twice."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from harness.core.errors import ConfigError, NeverSent, NotProven
from harness.core.waiting import until
from harness.ledger import recorder as module
from harness.ledger.checker import Found
from harness.ledger.history import HistoryReader
from harness.ledger.read_back import judge
from harness.ledger.recorder import Recorder, recorded, recording
from harness.ledger.result import FAULT
from harness.ledger.writers import Writer
from harness.tests.ledger_rig import ground
from harness.tests.probe_rig import reach

KINDS = ("postgres", "bank", "cephfs", "http", "objects")


class Memory:
    """A writer that keeps its writes in a list which its kind shares; ``does`` comes first."""

    def __init__(
        self, name: str, there: list[Found], does: Callable[[int], object] = lambda _: None
    ) -> None:
        self.name = name
        self.there = there
        self.does = does
        self.reads: Callable[[], object] = lambda: None
        self.go_on = threading.Event()
        self.closed = False

    def send(self, seq: int) -> None:
        self.does(seq)
        self.there.append((self.name, seq))

    def read(self) -> Sequence[Found]:
        self.reads()
        return list(self.there)

    def abandon(self) -> None:
        self.go_on.set()

    def close(self) -> None:
        self.closed = True


def books(folder: Path, *writers: Writer) -> Recorder:
    return Recorder({"memory": writers}, folder=folder / "ledger", run="run", rate_per_s=500)


def wait_for(made: Recorder, number: int) -> None:
    until(lambda: made.acknowledged["memory"] >= number, within_s=60, every_s=0.01, what="so many")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWERS_WITHIN_S", 1.0)
    monkeypatch.setattr(module, "_ENDS_WITHIN_S", 2.5)
    monkeypatch.setattr(module, "_COUNTS_EVERY_S", 0.01)


def test_what_is_acknowledged_is_tallied_with_phases(tmp_path: Path) -> None:
    there: list[Found] = []
    with closing(books(tmp_path, Memory("memory/0", there), Memory("memory/1", there))) as made:
        made.start()
        made.steady()
        wait_for(made, 10)
        made.mark()
        wait_for(made, made.acknowledged["memory"] + 10)
        made.mark("fault taken back")
        assert made.silent_s["memory"] < 10
        tally = made.tally()["memory"]
    assert (tally.ok, tally.found, tally.lost) == (len(there), len(there), 0)
    assert [phase.name for phase in tally.phases] == [FAULT, "fault taken back"]
    assert tally.phases[0].ok >= 10
    assert (tally.troubles, tally.unread) == ((), "")


def test_a_write_that_never_left_failed_and_any_other_error_leaves_it_open(tmp_path: Path) -> None:
    def does(seq: int) -> None:
        if seq == 1:
            raise NeverSent("no way")
        if seq == 2:
            raise ZeroDivisionError

    with closing(books(tmp_path, Memory("memory/0", [], does))) as made:
        made.start()
        wait_for(made, 3)
        tally = made.tally()["memory"]
    assert (tally.fail, tally.info, tally.lost, tally.unexpected) == (1, 1, 0, 0)


def test_a_write_without_an_answer_in_time_is_left_open_and_the_next_is_sent(
    tmp_path: Path,
) -> None:
    def does(seq: int) -> None:
        if seq == 1:
            writer.go_on.wait(30)

    writer = Memory("memory/0", [], does)
    with closing(books(tmp_path, writer)) as made:
        made.start()
        wait_for(made, 3)
        tally = made.tally()["memory"]
    assert (tally.info, tally.lost, tally.unexpected) == (1, 0, 0)
    assert tally.gap_s >= 0.2


def test_a_writer_whose_book_is_full_ends_and_is_a_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Memory("memory/0", [])
    with closing(books(tmp_path, writer)) as made:

        def full(_: int) -> None:
            raise OSError(28, "No space left on device")

        made.start()
        wait_for(made, 2)
        monkeypatch.setattr("harness.ledger.history.os.fsync", full)
        until(
            lambda: not any(thread.is_alive() for thread in made._threads),
            within_s=30,
            every_s=0.01,
            what="the writer ends",
        )
        sent = len(writer.there)
        monkeypatch.undo()
        with pytest.raises(NotProven, match="No space left"):
            made.tally()
    assert writer.closed
    assert len(writer.there) == sent
    (said,) = made._troubles["memory"]
    assert "memory/0: writing ended early" in said


def test_a_thread_that_does_not_end_is_a_trouble(tmp_path: Path) -> None:
    begun, release = threading.Event(), threading.Event()

    def does(seq: int) -> None:
        if seq == 3:
            begun.set()

    writer = Memory("memory/0", [], does)
    with closing(books(tmp_path, writer)) as made:
        made.start()
        begun.wait(5)
        thread = threading.Thread(target=release.wait, name="memory/0: writing", daemon=True)
        thread.start()
        made._threads.append(thread)
        tally = made.tally()["memory"]
        release.set()
    assert tally.troubles == ("memory/0: writing did not end",)


def test_a_reading_is_tried_again_and_only_a_whole_one_counts(tmp_path: Path) -> None:
    tries: list[int] = []

    def reads() -> None:
        tries.append(1)
        if len(tries) < 3:
            raise ConnectionResetError("by peer")

    writer = Memory("memory/0", [])
    writer.reads = reads
    with closing(books(tmp_path, writer)) as made:
        made.start()
        wait_for(made, 3)
        tally = made.tally()["memory"]
    assert (len(tries), tally.lost, tally.troubles) == (3, 0, ())
    assert [it.name for it in (tmp_path / "ledger").glob("*.found")] == ["memory-0.found"]


def test_the_last_reading_is_the_latest_and_not_the_last_by_name(tmp_path: Path) -> None:
    """The write is gone when the eleventh writer reads, whose file comes before the third one's."""
    there: list[Found] = []
    writers = [Memory(f"memory/{number}", there) for number in range(11)]
    writers[10].reads = there.clear
    with closing(books(tmp_path, *writers)) as made:
        made.start()
        wait_for(made, 20)
        result = made.tally()["memory"]
    assert (result.lost, result.found) == (result.ok, 0)


def test_what_nobody_can_read_is_said_with_why(tmp_path: Path) -> None:
    def reads() -> None:
        raise ConnectionResetError("by peer")

    writer = Memory("memory/0", [])
    writer.reads = reads
    with closing(books(tmp_path, writer)) as made:
        made.start()
        wait_for(made, 3)
        tally = made.tally(within_s=0.1)["memory"]
    assert tally.unread == "the writes were never read back"
    assert tally.troubles == ("memory/0 could not read: ConnectionResetError: by peer",)


def test_a_kind_without_an_acknowledged_write_never_gets_steady(tmp_path: Path) -> None:
    def does(seq: int) -> None:
        raise NeverSent(f"no way for {seq}")

    with closing(books(tmp_path, Memory("memory/0", [], does))) as made:
        made.start()
        with pytest.raises(NotProven, match=r"no write of memory.*no way for"):
            made.steady(within_s=0.2)


def test_a_book_that_was_cut_off_says_so_in_every_tally(tmp_path: Path) -> None:
    with closing(books(tmp_path, Memory("memory/0", []))) as made:
        made.start()
        wait_for(made, 3)
        made.tally()
    path = tmp_path / "ledger" / "book"
    path.write_bytes(path.read_bytes().rpartition(b"end")[0] + b"en")
    tally = judge(tmp_path / "ledger", ["memory"], {})["memory"]
    assert tally.lost == 0
    assert [it.partition(":")[0] for it in tally.troubles] == [
        "the history's last line is torn",
        "the history has no end",
    ]


@pytest.fixture
def all_kinds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    monkeypatch.setattr(module, "ANSWERS_WITHIN_S", 10.0)
    monkeypatch.setattr(module, "_ENDS_WITHIN_S", 15.0)
    with (
        ground(tmp_path, monkeypatch) as made,
        recorded(made.stage, KINDS, folder=tmp_path / "ledger", rate_per_s=20) as ledger,
    ):
        yield ledger


def test_all_kinds_together_are_clean_on_a_ground_that_loses_nothing(all_kinds: Recorder) -> None:
    all_kinds.mark()
    until(lambda: min(all_kinds.acknowledged.values()) > 10, within_s=60, every_s=0.05, what="more")
    for kind, tally in all_kinds.tally().items():
        assert (tally.lost, tally.duplicated, tally.unexpected, tally.stale) == (0, 0, 0, 0), kind
        assert (tally.found, tally.troubles, tally.wrong_totals) == (tally.ok, (), 0)
        assert (tally.totals > 0) is (kind == "bank")
    events = list(HistoryReader(all_kinds.folder / "book"))
    assert [event[0] for event in events if event[0] in ("stop", "end")] == ["stop", "end"]


def test_a_kind_that_does_not_exist_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match="no writer tape"),
        recording(reach(), names=("tape",), folder=tmp_path, run="run", seed=1, hide=len),
    ):
        pass
