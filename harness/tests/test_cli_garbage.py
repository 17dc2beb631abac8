"""Commands over folders that hold no run, or what is left of one: passed over, or named."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.commands import cli, past_runs, runs
from harness.commands import heal as heal_command
from harness.core.model import Exit

Run = Callable[..., tuple[int, str]]
LINE = (
    '{{"run":"run","seq":1,"at":"2026-11-26T12:00:00Z","mono_s":0,"kind":"{kind}",'
    '"subject":"s","data":{data}}}\n'
)
JOURNALS = {
    "empty": b"",
    "binary": bytes(range(256)) * 4,
    "a list": b"[]\n",
    "an object": b"{}\n",
    "torn": b'{"run": "r"',
    "no manifest": LINE.format(kind="observation", data="{}").encode(),
    "a manifest without content": LINE.format(kind="manifest", data="{}").encode(),
    "a manifest that is a list": LINE.format(kind="manifest", data="[]").encode(),
    "numbers for words": b'{"run":1,"seq":1,"at":2,"mono_s":3,"kind":4,"subject":5,"data":6}\n',
    "deep": b"[" * 100_000 + b"\n",
    "a number too long": b"1" * 5_000 + b"\n",
    "evidence that is a folder": (
        b'{"run":"r","seq":1,"at":"2026-11-26T12:00:00Z","mono_s":0,"kind":"k","subject":"s","data":null,"file":"."}\n'
    ),
    "evidence that is a number": (
        b'{"run":"r","seq":1,"at":"2026-11-26T12:00:00Z","mono_s":0,"kind":"k","subject":"s","data":null,"file":1}\n'
    ),
}
VERDICTS = {
    "an object": b"{}",
    "a list": b"[]",
    "binary": bytes(range(256)),
    "empty": b"",
    "deep": b"[" * 100_000,
    "numbers for words": b'{"started":1,"ended":2,"run":3,"requirements":4}',
}
ALLOWED = ("--allow-disruption",)


@pytest.fixture
def reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the runs, in a project in which there is no run."""

    @contextmanager
    def connect(_: object) -> Iterator[Any]:
        yield SimpleNamespace()

    for module in (
        heal_command,
        past_runs,
        runs,
    ):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(heal_command, "connect", connect)
    monkeypatch.setattr(heal_command, "recover_leftovers", lambda _: [])
    monkeypatch.setattr(heal_command, "sweep_namespaces", lambda *_: [])
    monkeypatch.setattr(heal_command, "sweep_folders", lambda *_: [])
    monkeypatch.setattr(heal_command, "sweep_rehearsal", lambda *_: [])
    (tmp_path / "reports").mkdir()
    return tmp_path / "reports"


@pytest.fixture
def cutover(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process: its status, and all that it said."""

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["cutover", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capfd.readouterr()
        words = said.out + said.err
        assert "the harness itself broke" not in words
        assert "Traceback" not in words
        return int(end.value.code or 0), words

    return run


def leave(reports: Path, journal: bytes, verdict: bytes = b"{}", bundle: bytes = b"") -> Path:
    """Leave a folder that looks like a run's."""
    folder = reports / "run"
    folder.mkdir()
    (folder / "journal.jsonl").write_bytes(journal)
    (folder / "verdict.json").write_bytes(verdict)
    (folder / "bundle.tar.zst").write_bytes(bundle)
    return folder


@pytest.mark.parametrize("journal", JOURNALS.values(), ids=JOURNALS)
@pytest.mark.parametrize(
    "command",
    [("report",), ("replay", *ALLOWED), ("heal",), ("verify",)],
    ids=["report", "replay", "heal", "verify"],
)
def test_a_named_run_without_a_readable_journal_is_named_in_the_answer(
    cutover: Run, reports: Path, command: tuple[str, ...], journal: bytes
) -> None:
    leave(reports, journal)
    status, words = cutover(command[0], "run", *command[1:])
    assert status not in {Exit.GO, Exit.REFUSED}
    assert "run" in words


@pytest.mark.parametrize("journal", JOURNALS.values(), ids=JOURNALS)
def test_a_folder_without_a_readable_journal_keeps_no_other_run_from_being_healed(
    cutover: Run, reports: Path, journal: bytes
) -> None:
    leave(reports, journal)
    status, words = cutover("heal")
    assert status == Exit.GO
    assert "left out: run:" in words
    assert "nothing else is left" in words


@pytest.mark.parametrize("journal", JOURNALS.values(), ids=JOURNALS)
@pytest.mark.parametrize("verdict", VERDICTS.values(), ids=VERDICTS)
def test_history_passes_over_a_foreign_folder_with_a_word(
    cutover: Run, reports: Path, journal: bytes, verdict: bytes
) -> None:
    leave(reports, journal, verdict)
    status, words = cutover("history")
    assert status == Exit.GO
    assert "is passed over" in words


@pytest.mark.parametrize("content", VERDICTS.values(), ids=VERDICTS)
def test_a_bundle_that_is_no_archive_is_not_intact(
    cutover: Run, reports: Path, content: bytes
) -> None:
    bundle = leave(reports, b"", bundle=content) / "bundle.tar.zst"
    for name in ("run", str(bundle)):
        status, words = cutover("verify", name)
        assert status == Exit.NO_GO
        assert "archive" in words


def test_a_signature_or_a_bundle_that_is_a_folder_is_told(cutover: Run, reports: Path) -> None:
    folder = leave(reports, b"")
    (folder / "bundle.tar.zst.sig").mkdir()
    assert cutover("verify", "run")[0] == Exit.NO_GO
    (folder / "bundle.tar.zst").unlink()
    (folder / "bundle.tar.zst").mkdir()
    assert cutover("verify", "run")[0] == Exit.USAGE


@pytest.mark.parametrize("content", VERDICTS.values(), ids=VERDICTS)
def test_a_key_to_believe_that_is_none_is_wrong_usage(
    cutover: Run, reports: Path, content: bytes
) -> None:
    leave(reports, b"")
    key = reports / "key.pub"
    key.write_bytes(content)
    for path in (key, reports, reports / "none"):
        status, words = cutover("verify", "run", "--signer", str(path))
        assert status == Exit.USAGE
        assert words.count(str(path)) == 1
        assert "What to do: " in words


NAMES = [
    "../elsewhere",
    "../../../../../../nosuch/run",
    "file",
    "file/run",
    "",
    ".",
    "/",
    "~",
    "a\nb",
    "x" * 5000,
]


@pytest.mark.parametrize("name", NAMES, ids=lambda it: it[:20].replace("\n", "-"))
@pytest.mark.parametrize(
    "command",
    [
        ("report",),
        ("verify",),
        ("heal",),
        ("replay", *ALLOWED),
        ("soak", "--resume", *ALLOWED),
    ],
    ids=lambda it: it[0],
)
def test_a_name_that_is_no_runs_is_wrong_usage(
    cutover: Run, reports: Path, command: tuple[str, ...], name: str
) -> None:
    (reports / "file").write_text("no run")
    words = [*command[1:2], name] if command[0] == "soak" else [name, *command[1:]]
    words += command[2:] if command[0] == "soak" else ()
    status, said = cutover(command[0], *words)
    assert status == Exit.USAGE
    assert "there is no" in said


@pytest.mark.usefixtures("reports")
def test_a_null_byte_in_a_name_is_wrong_usage(cutover: Run) -> None:
    assert cutover("report", "a\0b")[0] == Exit.USAGE
    assert cutover("verify", "a\0b")[0] == Exit.USAGE


@pytest.mark.parametrize("turns", ["1,x", "", ",", "1,,2", "-", "1-3", "٣", "9", "1" * 5_000])
def test_turns_that_are_no_turns_are_wrong_usage(cutover: Run, reports: Path, turns: str) -> None:
    turn = '{"number":1,"pause_s":1,"machine":"a","fault":"lose-machine","hold_s":1,"seed":1}'
    leave(reports, LINE.format(kind="turn", data=turn).encode())
    status, said = cutover("replay", "run", "--turns", turns, *ALLOWED)
    assert status == Exit.USAGE
    assert "turn" in said
