"""The command line: how a gate and what is read of its run end, and what they print where."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from harness.settings import ROOT
from harness.tests.cli_runs import FEATURE, Ended, answers, cutover
from harness.tests.stage import REQUIREMENT, write_project

__all__ = ["answers", "cutover"]

SMALL = ("--cluster", "scenarios/clusters/small.yaml")


def test_a_gate_says_go_and_ends_with_zero(
    cutover: Callable[..., Ended], answers: dict[str, Any]
) -> None:
    ended = cutover("gate", "1", *SMALL)
    assert ended.status == 0
    assert ended.out.splitlines()[-1] == "GO: 1 of 1 requirement is proven."
    assert "s] W1-A         All answer in time: passed" in ended.err
    assert answers == {"one": 3}


def test_a_gate_says_no_go_and_ends_with_one(
    cutover: Callable[..., Ended], answers: dict[str, Any]
) -> None:
    answers["one"] = 42
    ended = cutover("gate", "1", *SMALL)
    assert ended.status == 1
    assert ended.out.splitlines()[-1].startswith("NO-GO: 0 of 1")


@pytest.mark.usefixtures("answers")
def test_with_json_a_gate_prints_its_verdict_and_nothing_else(
    cutover: Callable[..., Ended],
) -> None:
    ended = cutover("gate", "1", "--json", *SMALL)
    assert json.loads(ended.out)["decision"] == "GO"


@pytest.mark.usefixtures("answers")
def test_pytests_own_words_are_kept_beside_the_journal(
    cutover: Callable[..., Ended], pytester: pytest.Pytester
) -> None:
    cutover("gate", "1", *SMALL)
    assert "1 passed" in (pytester.path / "reports/latest/pytest.log").read_text()


def test_a_report_is_drawn_again_with_the_same_status(
    cutover: Callable[..., Ended], answers: dict[str, Any], pytester: pytest.Pytester
) -> None:
    answers["one"] = 42
    cutover("gate", "1", *SMALL)
    page = pytester.path / "reports/latest/report.html"
    before = page.read_bytes()
    page.unlink()
    assert cutover("report", "latest").status == 1
    assert page.read_bytes() == before


@pytest.mark.usefixtures("answers")
def test_a_report_of_a_run_whose_folder_is_read_only_says_so(
    cutover: Callable[..., Ended], pytester: pytest.Pytester
) -> None:
    cutover("gate", "1", *SMALL)
    folder = (pytester.path / "reports/latest").resolve()
    before = sorted(folder.iterdir())
    folder.chmod(0o500)
    # Without its capabilities root may not write there either.
    plain = ("setpriv", "--bounding-set=-all") if os.geteuid() == 0 else ()
    ended = subprocess.run(
        [*plain, sys.executable, "-m", "harness", "report", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    folder.chmod(0o700)
    assert ended.returncode == 2
    assert f"cannot write {folder}/verdict.json: Permission denied" in ended.stderr
    assert "or copy it and name the copy" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert sorted(folder.iterdir()) == before


@pytest.mark.usefixtures("answers")
def test_a_damaged_journal_proves_nothing(
    cutover: Callable[..., Ended], pytester: pytest.Pytester
) -> None:
    cutover("gate", "1", *SMALL)
    journal = pytester.path / "reports/latest/journal.jsonl"
    journal.write_text("nonsense\n" + journal.read_text())
    ended = cutover("report")
    assert ended.status == 3
    assert "line 1 is damaged" in ended.err


@pytest.mark.usefixtures("answers")
def test_history_lists_runs_and_what_they_measured(cutover: Callable[..., Ended]) -> None:
    assert "What to do: ./cutover gate WEEK makes one" in cutover("report").err
    cutover("gate", "1", *SMALL)
    assert "What to do: ./cutover history lists them" in cutover("report", "other").err
    cutover("gate", "1", "--only", "W1-A", *SMALL)
    whole, part = json.loads(cutover("history", "--only", "W1-A", "--json").out)["runs"]
    assert (whole["partial"], part["partial"]) == (False, True)
    assert whole["measured"] == {"answer_ms": 3}
    told = cutover("history").out
    for text in ("1 of 1", "verdicts   ✓✓", "first red  never", "0 changes in 2 runs"):
        assert text in told, text
    assert "answer_ms: 3 ms to 3 ms" in cutover("history", "--only", "W1-A").out
    assert "there is no run of other in" in cutover("history", "--cluster", "other").out


@pytest.mark.usefixtures("answers")
def test_history_counts_only_what_applies(
    cutover: Callable[..., Ended], pytester: pytest.Pytester
) -> None:
    absent = {**REQUIREMENT, "id": "W1-B", "needs": ["ingress"]}
    write_project(pytester.path, feature=FEATURE, requirements=[REQUIREMENT, absent])
    cutover("gate", "1", *SMALL)
    (row,) = json.loads(cutover("history", "--json").out)["runs"]
    assert row["proven"] == "1 of 1"


@pytest.mark.usefixtures("answers")
def test_what_keeps_a_gate_from_starting_is_said_once(
    cutover: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUTOVER_SIGNING_KEY", "/nowhere/signing.key")
    ended = cutover("gate", "1", *SMALL)
    assert ended.status == 2
    says = "cannot use the signing key /nowhere/signing.key"
    assert ended.err.count(says) == 1, ended.err
    assert ended.err.startswith(f"cutover: {says}")


@pytest.mark.usefixtures("answers")
def test_a_hint_of_a_run_is_said_although_its_verdict_stands(
    cutover: Callable[..., Ended], pytester: pytest.Pytester
) -> None:
    (pytester.path / "reports/latest").mkdir(parents=True)
    ended = cutover("gate", "1", *SMALL)
    assert ended.status == 0
    assert "reports/latest does not point to this run" in ended.err
