"""The command line: how each command ends, and what it prints where."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from harness import checks, probes, transport
from harness.commands import cli, past_runs, pytest_run, runs
from harness.core.errors import (
    ConfigError,
    HarnessError,
    InjectFailed,
    LabError,
    NotProven,
    Refused,
    TransportError,
    Unhealed,
)
from harness.core.model import Exit
from harness.settings import ROOT
from harness.tests.stage import CHECKS, REQUIREMENT, FakeProbe, reach, write_project

CONFTEST = """
from pytest_bdd import given, parsers, then

pytest_plugins = ("harness.pytest_gate.plugin", "harness.pytest_gate.allure_bridge")

@given("answers")
def answers(run):
    run.observe("answers")

@then(parsers.parse("{check} is required"))
def required(run, check):
    run.require(check)
"""
FEATURE = """
@week1 @req:W1-A
Feature: Answers
  Scenario: All answer in time
    Given answers
    Then answers are fast enough is required
"""
COMMANDS = ("gate", "plan", "doctor", "report", "verify", "history", "lint", "test")


@dataclass
class Ended:
    """How a command ended, and what it said."""

    status: int
    out: str
    err: str


@pytest.fixture
def cutover(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Ended]:
    """Run the command in this process."""

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["cutover", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capfd.readouterr()
        return Ended(int(end.value.code or 0), said.out, said.err)

    return run


@pytest.fixture
def answers(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A small project in place of this one; what its probe will see."""
    table: dict[str, Any] = {"one": 3}
    write_project(pytester.path, feature=FEATURE, requirements=[REQUIREMENT])
    pytester.makeconftest(CONFTEST)

    @contextmanager
    def connect(_: object) -> Iterator[Any]:
        yield reach()

    monkeypatch.setattr(transport, "connect", connect)
    monkeypatch.setattr(probes, "PROBES", {"answers": FakeProbe(table)})
    for module in (checks, past_runs):
        monkeypatch.setattr(module, "CHECKS", CHECKS)
    for command in (pytest_run, runs, past_runs):
        monkeypatch.setattr(command, "ROOT", pytester.path)
    return table


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
    cutover("gate", "1", *SMALL)
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


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("gate",), "which week?"),
        (("gate", "77"), "no gate for week 77"),
        (("gate", "one"), "Invalid value"),
        (("gate", "1", "--cluster", "nowhere"), "there is no cluster profile"),
        (("report", "nothing"), "there is no run nothing"),
        (("plan", "77"), "no gate for week 77"),
        (("conquer",), "No such command"),
    ],
)
def test_wrong_usage_ends_with_two_and_says_what_is_wrong(
    cutover: Callable[..., Ended], arguments: tuple[str, ...], words: str
) -> None:
    ended = cutover(*arguments)
    assert ended.status == 2
    assert words in ended.err


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


ALLOWED = "--allow-disruption"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("drill", "lose-machine", "--machine", "nosuch", ALLOWED), "no machine nosuch"),
        (("drill", "nosuch", ALLOWED), "nosuch"),
        (("plan", "lose-machine", "--machine", "nosuch"), "no machine nosuch"),
        (("plan", "nosuch"), "nosuch"),
        (("gate", "1", "--only", "NO-SUCH"), "not due by week 1: NO-SUCH"),
        (("gate", "--resume", "nosuch"), "there is no run nosuch"),
        (("soak", "--resume", "nosuch", ALLOWED), "there is no run nosuch"),
        (("replay", "nosuch", ALLOWED), "there is no run nosuch"),
        (("heal", "nosuch"), "there is no run nosuch"),
        (("report", "nosuch"), "there is no run nosuch"),
        (("provision", "disk", "--machine", "nosuch"), "no machine nosuch"),
    ],
)
def test_a_name_that_does_not_exist_is_wrong_usage_before_anything_is_begun(
    cutover: Callable[..., Ended],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    words: str,
) -> None:
    def begun(*_: object, **__: object) -> None:
        raise AssertionError("a cluster was reached for")

    monkeypatch.setattr(pytest_run, "held", begun)
    monkeypatch.setattr(transport, "connect", begun)
    ended = cutover(*arguments, "--json")
    assert ended.status == Exit.USAGE
    assert words in ended.err
    assert "Exit:" not in ended.err
    said = json.loads(ended.out)
    assert words in said["error"]
    assert said["exit"] == Exit.USAGE


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example_and_json(
    cutover: Callable[..., Ended], command: str
) -> None:
    ended = cutover(command, "--help")
    assert ended.status == 0
    assert f"Example: ./cutover {command}" in ended.out
    assert "--json" in ended.out


@pytest.mark.parametrize("command", ["disk", "nodes"])
def test_provisioning_has_help_with_an_example_and_says_that_nothing_happens_without_yes(
    cutover: Callable[..., Ended], command: str
) -> None:
    ended = cutover("provision", command, "--help")
    assert ended.status == 0
    assert f"Example: ./cutover provision {command}" in ended.out
    assert all(option in ended.out for option in ("--yes", "--json", "--machine", "--cluster"))


def test_provisioning_a_machine_that_is_not_declared_is_wrong_usage(
    cutover: Callable[..., Ended],
) -> None:
    ended = cutover("provision", "disk", "--machine", "nobody")
    assert ended.status == 2
    assert "no machine nobody" in ended.err


DISRUPTIVE = ("drill", "soak", "replay")


@pytest.mark.parametrize("command", [*DISRUPTIVE, "heal", "plan"])
def test_what_breaks_and_heals_has_help_with_an_example(
    cutover: Callable[..., Ended], command: str
) -> None:
    ended = cutover(command, "--help")
    assert ended.status == 0
    assert f"Example: ./cutover {command}" in ended.out
    assert ("--allow-disruption" in ended.out) == (command in DISRUPTIVE)


@pytest.mark.parametrize("words", [("drill", "lose-machine"), ("soak",), ("replay", "latest")])
def test_nothing_is_broken_without_the_option_that_allows_it(
    cutover: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setattr(runs, "run_folder", lambda *_: None)
    monkeypatch.setattr(runs, "chosen_turns", lambda *_: ())
    ended = cutover(*words)
    assert ended.status == Exit.REFUSED
    assert "it needs --allow-disruption" in ended.err


def test_nothing_is_broken_where_the_profile_does_not_allow_it(
    cutover: Callable[..., Ended],
) -> None:
    ended = cutover("drill", "lose-machine", "--cluster", "contabo", "--allow-disruption")
    assert ended.status == Exit.REFUSED
    assert "does not allow disruption" in ended.err


@pytest.mark.parametrize("words", [("drill", "lose-face"), ("drill",), ("soak", "--for", "8")])
def test_a_drill_or_a_duration_that_does_not_exist_is_wrong_usage(
    cutover: Callable[..., Ended], words: tuple[str, ...]
) -> None:
    assert cutover(*words, "--allow-disruption").status == Exit.USAGE


def test_drills_are_listed_with_what_they_are(cutover: Callable[..., Ended]) -> None:
    assert "A machine loses its power" in cutover("drill", "--list").out
    listed = json.loads(cutover("drill", "--list", "--json").out)["drills"]
    assert {"lose-machine", "rolling-restart"} <= {drill["name"] for drill in listed}


def test_an_error_is_json_too_when_json_was_asked_for(cutover: Callable[..., Ended]) -> None:
    ended = cutover("report", "nothing", "--json")
    assert json.loads(ended.out)["exit"] == 2


def test_every_error_has_its_exit_status() -> None:
    wanted = {
        ConfigError: Exit.USAGE,
        Refused: Exit.REFUSED,
        Unhealed: Exit.UNHEALED,
        NotProven: Exit.NOT_PROVEN,
        TransportError: Exit.NOT_PROVEN,
        LabError: Exit.NOT_PROVEN,
        InjectFailed: Exit.NOT_PROVEN,
    }
    direct = set(HarnessError.__subclasses__())
    assert direct == set(wanted)
    for kind, status in wanted.items():
        assert Exit.of(kind("x")) is status


@pytest.mark.parametrize("problem", [RuntimeError("broken"), KeyboardInterrupt()])
def test_a_harness_that_breaks_or_is_stopped_proves_nothing(
    cutover: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch, problem: BaseException
) -> None:
    def broken(*_: object) -> None:
        raise problem

    monkeypatch.setattr(past_runs, "run_folder", broken)
    assert cutover("report").status == 3


def test_this_projects_own_features_gates_and_steps_have_no_mistake(
    cutover: Callable[..., Ended],
) -> None:
    ended = cutover("lint", "--json")
    assert ended.status == 0, ended.out


def test_a_plan_lists_the_drills_in_their_order(cutover: Callable[..., Ended]) -> None:
    rows = json.loads(cutover("plan", "10", "--json").out)["drills"]
    assert [rows[it]["drill"] for it in (0, -1)] == ["kill-pods", "lose-primary-machine"]
    said = cutover("plan", "10").out
    assert "Drills, in this order: together up to" in said
    assert (
        said.index("kill-pods\n")
        < said.index("lose-machine\n")
        < said.index("lose-primary-machine\n")
    )
    assert "Drills" not in cutover("plan", "1").out


def test_a_plan_names_targets_scenarios_and_gaps(cutover: Callable[..., Ended]) -> None:
    rows = json.loads(cutover("plan", "1", "--json").out)["requirements"]
    by_id = {row["id"]: row for row in rows}
    assert "etcd members = 3" in by_id["W1-ETCD"]["targets"]
    assert by_id["W1-LB"]["gap"].startswith("not applicable: ")
