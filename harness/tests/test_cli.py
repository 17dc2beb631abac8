"""The command line: its help, and what it refuses before anything is begun."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from harness import transport
from harness.commands import past_runs, plan, pytest_run, runs
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
from harness.drill import planning
from harness.settings import ROOT
from harness.tests.cli_runs import Ended, answers, cutover
from harness.tests.fault_examples import whole_cluster

__all__ = ["answers", "cutover"]

SMALL = ("--cluster", "scenarios/clusters/small.yaml")
COMMANDS = ("gate", "plan", "doctor", "report", "verify", "history", "lint", "test")
ALLOWED = "--allow-disruption"


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


def test_titles_begin_in_one_column_however_long_a_name_is(cutover: Callable[..., Ended]) -> None:
    listed = json.loads(cutover("drill", "--list", "--json").out)["drills"]
    lines = cutover("drill", "--list").out.splitlines()
    begins = {line.index(it["title"]) for line, it in zip(lines, listed, strict=True)}
    assert begins == {max(len(it["name"]) for it in listed) + 2}


def test_help_fills_the_lines_of_a_paragraph(
    cutover: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert "Ctrl-C undoes the fault and ends with a verdict" in cutover("drill", "--help").out


def test_a_plan_says_what_a_drill_must_hold_and_what_to_do_where_it_cannot_look(
    cutover: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(*_: object) -> object:
        raise ConfigError("cannot use the kubeconfig x", remedy="name one")

    monkeypatch.setattr(planning, "plan", silent)
    monkeypatch.setattr(plan, "connect", lambda _: nullcontext(whole_cluster()))
    said = cutover("plan", "lose-machine").out
    assert "Until Kubernetes noticed ≤ 90 s\n" in said
    assert "!         cannot use the kubeconfig x\n            what to do: name one\n" in said


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


def test_ctrl_c_before_a_command_has_begun_is_not_proven(tmp_path: Path) -> None:
    """Also where a library, as pydantic does, turns the interrupt into an error of its own."""
    (tmp_path / "typer.py").write_text(
        "import os, signal\n"
        "try:\n    os.kill(os.getpid(), signal.SIGINT)\n"
        "except KeyboardInterrupt:\n    raise ValueError from None\n"
    )
    ended = subprocess.run(
        [sys.executable, "-m", "harness", "gate", "1"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    said = "cutover: stopped before it began; nothing was touched\n"
    assert (ended.returncode, ended.stderr) == (Exit.NOT_PROVEN, said)


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
