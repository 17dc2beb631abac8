"""A drill or a soak that broke off is taken up again, and what it had kept until then stays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import NotProven
from harness.drill import context, service
from harness.drill.context import Options
from harness.drill.service import DrillService
from harness.faults.disruption_lock import DisruptionLock
from harness.faults.kinds import FAULTS
from harness.ledger.history import HistoryReader
from harness.ledger.recorder import Recorder, recorded
from harness.record.records import Kind
from harness.settings.drills import OF_LOAD, REQUIRED, load_soak
from harness.tests.drill_world import drill
from harness.tests.ledger_rig import ground
from harness.tests.noop_fault import NoOp, Note, NoteUndoStore
from harness.tests.stage import reach
from harness.tests.visited import site

pytestmark = pytest.mark.slow

NOTE = Note()
TARGET = {"at_most": 60, "words": "a number"}
LOADED = {
    "where": "a-machine",
    "ledger": ["http"],
    "load": "ingress",
    "targets": dict.fromkeys((*REQUIRED, *OF_LOAD), TARGET),
}


class Run:
    """Takes in whatever is written."""

    name = "run"

    def write(self, kind: Kind, subject: str, data: Any) -> object:
        return kind, subject, data


@pytest.fixture
def drilling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DrillService]:
    """Whoever asks may, and the cluster is calm; a ledger is kept over fakes, visitors are real."""
    made = reach()
    monkeypatch.setattr(
        service, "permitted", lambda *_, **__: nullcontext(DisruptionLock(made.kube, "run"))
    )
    monkeypatch.setattr(context, "wait_steady", lambda *_: (0.0, ()))
    monkeypatch.setattr(context, "affordable", lambda *_: None)
    monkeypatch.setattr(service, "load_drill", lambda _: drill(NOTE, **LOADED))
    rules = load_soak().model_copy(update={"ledger": ("http",)})
    monkeypatch.setattr(service, "load_soak", lambda: rules)
    monkeypatch.setattr(context, "survivable", lambda *_: None)
    monkeypatch.setattr(context, "undo_store_at", lambda _reach, _place: NoteUndoStore(NOTE))
    monkeypatch.setattr("harness.drill.runner._AGAIN_S", 1.5)
    (tmp_path / "shop").mkdir()
    with site(tmp_path / "shop") as shop, ground(tmp_path, monkeypatch) as writes:

        @contextmanager
        def keeping(
            _reach: Any, *, names: Sequence[str], folder: Path, rate_per_s: float, **_: Any
        ) -> Iterator[Recorder]:
            with recorded(writes.stage, names, folder=folder, rate_per_s=rate_per_s) as books:
                yield books

        monkeypatch.setattr("harness.drill.context.ledger_recorder.recording", keeping)
        monkeypatch.setattr(context, "load_spec", lambda *_: shop.order(per_s=20))
        options = Options(allowed=True, seed=7, machines=("one",))
        yield DrillService(
            reach=made,
            folder=tmp_path / "run",
            options=options,
            hide=lambda _: None,
            progress=lambda _text: None,
        )


def test_a_drill_that_is_resumed_keeps_a_ledger_and_a_load_of_its_own(
    drilling: DrillService, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupting(NoOp):
        def active(self, reach: Any) -> bool:
            raise KeyboardInterrupt

    monkeypatch.setitem(FAULTS, "no-op", Interrupting)
    stopped = drilling.carry_out("break-the-note", Run())
    assert stopped.by_hand
    assert stopped.tallies["break-the-note/one/http"]
    left = {it: it.read_bytes() for it in drilling.folder.rglob("*") if it.is_file()}
    assert {it.name for it in left} >= {"book", "seconds.jsonl", "said.txt"}
    monkeypatch.setitem(FAULTS, "no-op", NoOp)
    outcome: Any = drilling.carry_out("break-the-note", Run())
    (run,) = outcome.value["runs"]
    assert "error" not in run
    assert outcome.tallies["break-the-note/one/http"]["ok"] > 0
    assert run["load"]["troubles"] == []
    assert run["load"]["phases"]["again"]["answered"] > 0
    assert {it: it.read_bytes() for it in left} == left
    again = drilling.folder / "ledger/break-the-note/one.2/book"
    assert "end" in {what for what, *_ in HistoryReader(again)}


def test_a_part_of_a_soak_that_broke_off_before_it_was_begun_is_begun_again(
    drilling: DrillService, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unserved(*_: Any) -> None:
        raise NotProven("not one request of the load was answered")

    with monkeypatch.context() as patch:
        patch.setattr(context, "offering", unserved)
        with pytest.raises(NotProven, match="not one request"):
            drilling.soak("part 1", [], Run())
    outcome: Any = drilling.soak("part 1", [], Run())
    assert outcome.value["ended"] is None
    assert outcome.tallies["part 1/everything/http"]["ok"] > 0
    books = (drilling.folder / "ledger").rglob("book")
    assert {it.parent.name for it in books} == {"everything", "everything.2"}
