"""`heal`: no journal keeps what is found from being taken back, or hides what it left."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import typer

from harness.commands import heal as command
from harness.commands.heal import heal
from harness.core.errors import Refused, Unreachable
from harness.drill import recovery
from harness.drill.recovery import RecoveryResult
from harness.faults import disruption_lock
from harness.gate import Manifest
from harness.record.journal import Journal
from harness.tests.stage import manifest
from harness.tests.test_preflight import cluster
from harness.transport import Reach

LEFT = {"armed": [{"id": "f00d", "fault": "cut-off", "target": "one"}], "leftovers": []}
NOTHING: dict[str, Any] = {"armed": [], "leftovers": []}


@pytest.fixture(autouse=True)
def at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(command, "ROOT", tmp_path)
    monkeypatch.setattr(command, "load_profile", lambda _name: cluster().profile)


def healed(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    run: str | None,
    left: Any,
    removed: list[str] | None = None,
    **declared: Any,
) -> dict[str, Any]:
    @contextmanager
    def connect(_profile: object) -> Iterator[Reach]:
        yield cluster(left=left, **declared)

    monkeypatch.setattr(command, "connect", connect)
    with pytest.raises(typer.Exit):
        heal(run, "small", removed, as_json=True)
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


def declare(monkeypatch: pytest.MonkeyPatch, name: str = "switch", **ways: Any) -> None:
    """The remains of a rehearsed move are found and removed in these ways."""
    move = replace(recovery._MOVES[name], **ways)
    monkeypatch.setattr(recovery, "_MOVES", {**recovery._MOVES, name: move})


RESTORE = {"event": "begun", "kind": "restore", "name": "demo"}


def run_that_made(root: Path, *records: Any) -> str:
    plan = manifest()
    with Journal.create(root / "reports" / plan.run, plan.run) as kept:
        kept.append("manifest", plan.run, plan.model_dump(mode="json", by_alias=True))
        for data in records:
            kept.append("made", f"{data['kind']} of {data['name']}", data)
    return plan.run


@pytest.mark.parametrize(
    ("left", "trouble", "status"), [((), None, 0), (("psql: no answer",), "psql: no answer", 5)]
)
def test_what_a_killed_restore_and_rehearsal_made_is_removed_once(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    left: tuple[str, ...],
    trouble: str | None,
    status: int,
) -> None:
    asked: list[str] = []

    def restored(_reach: Reach, customer: str, _tell: object) -> tuple[str, ...]:
        asked.append(customer)
        return left

    def rehearsal(_reach: Reach) -> tuple[str, ...]:
        asked.append("rehearsal")
        return left

    monkeypatch.setattr(recovery, "remove_restored", restored)
    declare(monkeypatch, remove=rehearsal)
    monkeypatch.setattr(disruption_lock, "held", lambda *_: nullcontext())
    rehearsed = {"event": "begun", "kind": "rehearsal", "name": "switch"}
    run_that_made(tmp_path, RESTORE, rehearsed)
    told = healed(monkeypatch, capsys, None, NOTHING)
    assert [(it["what"], it["trouble"]) for it in told["mended"]] == [
        ("the restore of demo", trouble),
        ("the rehearsal of switch", trouble),
    ]
    assert (told["exit"], asked) == (status, ["demo", "rehearsal"])
    healed(monkeypatch, capsys, None, NOTHING)
    assert len(asked) == (2 if trouble is None else 4)


def test_a_restore_that_was_removed_at_its_end_has_left_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run_that_made(tmp_path, RESTORE, RESTORE | {"event": "removed"})
    told = healed(monkeypatch, capsys, None, NOTHING)
    assert (told["mended"], told["exit"]) == ([], 0)


SWITCH = {"source_at": {"host": "10.0.0.1"}, "target_at": {"host": "10.0.0.2"}}
REMAINS = ["the database cutover_rehearsal of source", "the slot cutover_forward of source"]


class Databases:
    """Both servers, with what a rehearsal left there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **lock: Any) -> None:
        self.left: list[str] = [*REMAINS]
        self.stays: list[str] = []
        declare(monkeypatch, remains=lambda _: self.left, remove=self.remove)
        monkeypatch.setattr(disruption_lock, "held", Mock(return_value=nullcontext(), **lock))

    def remove(self, _reach: Reach) -> list[str]:
        self.left = [*self.stays]
        return self.stays


@pytest.mark.parametrize(("stays", "status"), [([], 0), (["source: no answer"], 5)])
def test_a_killed_rehearsal_is_found_at_the_databases_without_its_journal(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    stays: list[str],
    status: int,
) -> None:
    databases = Databases(monkeypatch)
    databases.stays = stays
    told = healed(monkeypatch, capsys, None, NOTHING, switch=SWITCH)
    (mended,) = told["mended"]
    assert mended["what"] == f"a rehearsal whose harness is gone: {', '.join(REMAINS)}"
    assert (mended["trouble"], told["exit"]) == (stays[0] if stays else None, status)
    assert databases.left == stays
    databases.stays = []
    databases.remove(cluster())
    assert healed(monkeypatch, capsys, None, NOTHING, switch=SWITCH)["mended"] == []


def test_a_rehearsal_under_way_stays(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    databases = Databases(monkeypatch, side_effect=Refused("run-1 holds the Lease"))
    told = healed(monkeypatch, capsys, None, NOTHING, switch=SWITCH)
    assert (told["mended"], told["exit"], databases.left) == ([], 0, REMAINS)
    assert told["unread"] == ["the databases: run-1 holds the Lease"]


def silent(_: Reach) -> list[str]:
    raise Unreachable("postgres as postgres: connection refused")


def broken(_: Reach) -> list[str]:
    raise ValueError("a defect of the harness")


@pytest.mark.parametrize(
    ("look", "why"),
    [
        (silent, "postgres as postgres: connection refused"),
        (broken, "ValueError: a defect of the harness"),
    ],
)
def test_databases_that_do_not_answer_are_left_and_keep_nothing_from_being_healed(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    look: Any,
    why: str,
) -> None:
    run = run_that_made(tmp_path)
    declare(monkeypatch, remains=look)
    for named in (None, run):
        told = healed(monkeypatch, capsys, named, LEFT, switch=SWITCH)
        assert [(it["what"], it["trouble"]) for it in told["mended"]] == [
            ("cut-off of one", None),
            ("what a rehearsal of the switch left", f"not known: {why}"),
        ]
        assert (told["unread"], told["exit"]) == ([], 5)


def test_a_dump_is_removed_from_the_pod_that_its_record_names(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Another pod is the primary since: the one that `dump:` means now has nothing."""
    monkeypatch.setattr(disruption_lock, "held", lambda *_: nullcontext())
    declare(monkeypatch, "dump", remove=lambda _: [])
    at = {"place": "saasodoo/db-1", "folder": "/data/cutover_rehearsal"}
    run_that_made(tmp_path, {"event": "begun", "kind": "rehearsal", "name": "dump", **at})
    asked: list[object] = []

    def remove(_: Reach, place: str, folder: str) -> list[str]:
        asked.append((place, folder))
        return [] if len(asked) > 1 else [f"{folder} of {place}: no such pod"]

    monkeypatch.setattr(recovery, "remove_folder", remove)
    for trouble in ("/data/cutover_rehearsal of saasodoo/db-1: no such pod", None):
        told = healed(monkeypatch, capsys, None, NOTHING)
        assert [it["trouble"] for it in told["mended"]] == [trouble]
    assert asked == [(at["place"], at["folder"])] * 2


def everywhere(_profile: object) -> bool:
    return True


def test_a_switch_that_cannot_be_asked_does_not_hide_what_a_dump_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(disruption_lock, "held", lambda *_: nullcontext())
    declare(monkeypatch, remains=silent)
    left = ["the folder /dumps/cutover_rehearsal of one"]

    def remove(_: Reach) -> list[str]:
        left.clear()
        return []

    declare(monkeypatch, "dump", is_declared=everywhere, remains=lambda _: [*left], remove=remove)
    told = healed(monkeypatch, capsys, None, NOTHING, switch=SWITCH)
    assert [it["trouble"] is None for it in told["mended"]] == [False, True]
    assert (left, told["exit"]) == ([], 5)


def test_a_rehearsal_under_way_does_not_hide_a_server_that_cannot_be_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Databases(monkeypatch, side_effect=Refused("run-1 holds the Lease"))
    declare(monkeypatch, "dump", is_declared=everywhere, remains=silent)
    told = healed(monkeypatch, capsys, None, NOTHING, switch=SWITCH)
    assert [it["what"] for it in told["mended"]] == ["what a rehearsal of the dump left"]
    assert told["unread"] == ["the databases: run-1 holds the Lease"]
    assert told["exit"] == 5
