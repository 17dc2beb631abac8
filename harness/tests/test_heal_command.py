"""`heal`: no journal keeps what is found from being taken back, or hides what it left."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import typer

from harness.commands import heal as command
from harness.commands.heal import heal
from harness.drill.recovery import RecoveryResult
from harness.gate import Manifest
from harness.record.journal import Journal
from harness.tests.stage import manifest
from harness.tests.test_preflight import cluster
from harness.transport import Reach

LEFT = {"armed": [{"id": "f00d", "fault": "cut-off", "target": "one"}], "strays": []}
NOTHING: dict[str, Any] = {"armed": [], "strays": []}


@pytest.fixture(autouse=True)
def _at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(command, "ROOT", tmp_path)
    monkeypatch.setattr(command, "load_profile", lambda _name: cluster().profile)


def healed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], run: str | None, left: Any
) -> dict[str, Any]:
    @contextmanager
    def connect(_profile: object) -> Iterator[Reach]:
        yield cluster(left=left)

    monkeypatch.setattr(command, "connect", connect)
    with pytest.raises(typer.Exit):
        heal(run, "small", as_json=True)
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def journal(root: Path, *records: tuple[str, Any], plan: Manifest | None = None) -> str:
    plan = plan or manifest()
    with Journal.create(root / "reports" / plan.run, plan.run) as kept:
        kept.append("manifest", plan.run, plan.model_dump(mode="json", by_alias=True))
        for event, data in records:
            kept.append("fault", "f00d", {"event": event, **data})
    return plan.run


def test_what_is_found_is_taken_back_though_a_journal_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run = journal(tmp_path, ("injected", {"fault": "cut-off"}))  # of another version: no target
    told = healed(monkeypatch, capsys, None, LEFT)
    assert [(it["what"], it["trouble"]) for it in told["mended"]] == [("cut-off of one", None)]
    assert told["exit"] == 0
    (unread,) = told["unread"]
    record = "record 2 (fault): KeyError: 'target'"
    assert unread == f"{run}: the journal of {run} cannot be read: {record}"


def test_a_run_that_was_named_and_cannot_be_read_is_not_said_to_have_left_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run = journal(tmp_path)
    path = tmp_path / "reports" / run / "journal.jsonl"
    path.write_text("nonsense\n" + path.read_text())
    told = healed(monkeypatch, capsys, run, NOTHING)
    (mended,) = told["mended"]
    assert (mended["what"], mended["place"]) == ("its journal", run)
    assert "line 1 is damaged" in mended["trouble"]
    assert told["exit"] == 5


def test_a_fault_whose_arming_failed_and_that_was_taken_back_has_left_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    armed = ("armed", {"fault": "cut-off", "undo": {}})
    run = journal(tmp_path, armed, ("healed", {}), ("heal-proved", {}))
    told = healed(monkeypatch, capsys, run, NOTHING)
    assert (told["mended"], told["unread"], told["exit"]) == ([], [], 0)


def run_that_left(root: Path, number: int, undo: Any) -> str:
    plan = manifest(run=f"20261124T12000{number}Z-week01-7f3a")
    armed = ("armed", {"fault": "cut-off", "undo": undo})
    return journal(root, armed, ("injected", {"fault": "cut-off", "target": "one"}), plan=plan)


def test_no_journal_keeps_another_ones_faults_from_being_mended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """One of another version, one that is empty, one that is none at all, a file for a folder."""
    good = {
        "id": "f00d",
        "fault": "cut-off",
        "target": "one",
        "place": "one",
        "commands": [["nft", "list"]],
        "lease_s": 30,
    }
    run_that_left(tmp_path, 1, good)
    foreign = run_that_left(tmp_path, 2, {"commands": "none of today's"})
    for name, text in (("20270101T000000Z-empty", ""), ("20270102T000000Z-binary", "\x00\xff")):
        folder = tmp_path / "reports" / name
        folder.mkdir()
        (folder / "journal.jsonl").write_bytes(text.encode("latin-1"))
    (tmp_path / "reports/20270103T000000Z-folder/journal.jsonl").mkdir(parents=True)
    told = healed(monkeypatch, capsys, None, NOTHING)
    mended = {it["what"]: it["trouble"] for it in told["mended"]}
    assert mended["cut-off f00d"] == "its journal does not contain a readable undo"
    assert "cannot check whether" in mended["cut-off of one"]
    assert len(told["unread"]) == 3
    assert all(foreign not in it for it in told["unread"])
    assert told["exit"] == 5


def test_what_was_taken_back_is_told_though_the_reports_cannot_be_drawn_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    good = {
        "id": "f00d",
        "fault": "cut-off",
        "target": "one",
        "place": "one",
        "commands": [],
        "lease_s": 30,
    }
    run = run_that_left(tmp_path, 1, good)
    monkeypatch.setattr(
        command,
        "recover_from_journal",
        lambda *_: [RecoveryResult(what="it", place="one", fault="f00d")],
    )
    monkeypatch.setattr(command, "draw", lambda *_: next(iter(())))
    told = healed(monkeypatch, capsys, run, NOTHING)
    assert told["mended"][0]["trouble"] is None
    assert "its reports cannot be drawn again: StopIteration" in told["unread"][0]
