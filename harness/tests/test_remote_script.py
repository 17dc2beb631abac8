"""Programs that are sent elsewhere: what they get, and each way in which no answer comes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from harness.backup import manifest
from harness.bench import bench
from harness.core.errors import Garbled, ScriptFailed, ScriptNotRun, Unreachable
from harness.faults import reachability_script
from harness.probes import backups, claim_workload
from harness.probes.scripts import footprint_script
from harness.provision import apply
from harness.tests.fake_transport import FakeKube, FakeShell
from harness.transport import Completed
from harness.transport.remote_script import PYTHON, RemoteScript

SCRIPT = RemoteScript(reachability_script)


@dataclass(frozen=True, slots=True)
class Found:
    processes: int


def machine(status: int = 0, stdout: str = "", stderr: str = "") -> FakeShell:
    done = Completed(status=status, stdout=stdout, stderr=stderr, took_s=1.5)
    return FakeShell({("*", "python3"): done, ("*", "nice"): done})


def test_texts_are_words_and_everything_else_is_json() -> None:
    shell = machine(stdout='"open"\n')
    told = SCRIPT.on(shell, "one", "ask", {"port": 22}, None, 1.5, within_s=5, read=object)
    assert (told.value, told.status, told.took_s) == ("open", 0, 1.5)
    assert shell.calls == [("one", (*PYTHON, "ask", '{"port": 22}', "null", "1.5"))]


def test_a_script_that_is_nice_gives_way_to_everything_else() -> None:
    shell = machine(stdout="1")
    RemoteScript(reachability_script, nice=True).on(shell, "one", within_s=5, read=object)
    assert shell.calls == [("one", ("nice", *PYTHON))]


def test_the_answer_is_the_last_line_and_those_before_are_heard() -> None:
    heard: list[str] = []
    told = SCRIPT.on(
        machine(stdout="50 %\n[1, 2]\n"), "one", within_s=5, read=object, hear=heard.append
    )
    assert (told.value, heard) == ([1, 2], ["50 %", "[1, 2]"])


@pytest.mark.parametrize(
    ("status", "stderr"),
    [
        (127, "sh: python3: not found"),
        (126, "sh: python3: Permission denied"),
        (1, "  File '<stdin>', line 9\nSyntaxError: future feature annotations is not defined"),
    ],
)
def test_a_machine_without_a_fit_python_has_not_run_the_script(status: int, stderr: str) -> None:
    with pytest.raises(ScriptNotRun) as raised:
        SCRIPT.on(machine(status, stderr=stderr), "one", within_s=5, read=object)
    assert stderr.strip() in str(raised.value)
    assert raised.value.remedy == "install python3, 3.8 or newer, on one"


@pytest.mark.parametrize("status", [1, 2, -1])
def test_a_script_that_ends_with_another_status_has_failed_whatever_it_says(status: int) -> None:
    with pytest.raises(ScriptFailed, match=rf"one: reachability_script .*{status}: OSError: no"):
        SCRIPT.on(
            machine(status, stdout="{}", stderr="OSError: no"), "one", within_s=5, read=object
        )


def test_a_status_that_is_an_answer_needs_the_answer_too() -> None:
    told = SCRIPT.on(machine(3, stdout="{}"), "one", within_s=5, read=object, statuses=(0, 3))
    assert (told.value, told.status) == ({}, 3)
    with pytest.raises(ScriptFailed, match="status 3: Traceback"):
        SCRIPT.on(machine(3, stderr="Traceback"), "one", within_s=5, read=object, statuses=(0, 3))


@pytest.mark.parametrize("stdout", ["", "Welcome!", '{"processes": '])
def test_what_is_no_json_is_garbled(stdout: str) -> None:
    with pytest.raises(Garbled, match="one: the answer of reachability_script is garbled"):
        SCRIPT.on(machine(stdout=stdout), "one", within_s=5, read=object)


def test_an_answer_of_another_shape_is_garbled_and_says_where() -> None:
    told = SCRIPT.on(machine(stdout='{"processes": 3}'), "one", within_s=5, read=Found)
    assert told.value == Found(3)
    with pytest.raises(Garbled, match="processes: Input should be a valid integer"):
        SCRIPT.on(machine(stdout='{"processes": "many"}'), "one", within_s=5, read=Found)
    with pytest.raises(Garbled, match="processes: Field required"):
        SCRIPT.on(machine(stdout="{}"), "one", within_s=5, read=Found)


def test_a_machine_that_is_not_reached_says_so_itself() -> None:
    with pytest.raises(Unreachable, match="no route"):
        SCRIPT.on(
            FakeShell({("*", "python3"): Unreachable("no route")}), "one", within_s=5, read=object
        )


def test_a_pod_is_asked_as_a_machine_is() -> None:
    done = Completed(status=0, stdout='{"processes": 3}', stderr="")
    kube = FakeKube(in_pods={("pod", "python3"): done})
    told = SCRIPT.in_pod(kube, "space", "pod", "ask", within_s=5, read=Found)
    assert told.value == Found(3)
    without = FakeKube(
        in_pods={("pod", "python3"): Completed(status=127, stdout="", stderr="none")}
    )
    with pytest.raises(ScriptNotRun, match=r"space/pod: .*status 127") as raised:
        SCRIPT.in_pod(without, "space", "pod", within_s=5, read=object)
    assert "image" in raised.value.remedy


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (RemoteScript(footprint_script), ()),
        (claim_workload._SCRIPT, ("size", "5", "[]")),
        (backups._SNAPSHOT_SCRIPT, ("program", "true")),
        (manifest.FETCH, ("drop", '{"folder": "/no/such"}')),
        (bench.GUARD, ("look", '{"path": "/no/such"}')),
        (apply._SCRIPT, ('{"device": "/no/such"}',)),
    ],
    ids=lambda it: it.name if isinstance(it, RemoteScript) else "",
)
def test_a_program_of_several_modules_runs_where_nothing_of_ours_is(
    script: RemoteScript, words: Sequence[str]
) -> None:
    def run(argv: Sequence[str], stdin: str) -> Completed:
        ended = subprocess.run(
            [sys.executable, *argv[1:]],
            input=stdin,
            capture_output=True,
            text=True,
            cwd="/",
            timeout=30,
            check=False,
        )
        return Completed(status=ended.returncode, stdout=ended.stdout, stderr=ended.stderr)

    shell = FakeShell({("*", "python3"): run, ("*", "nice"): lambda argv, it: run(argv[1:], it)})
    assert script.on(shell, "one", *words, within_s=30, read=object).value is not None
