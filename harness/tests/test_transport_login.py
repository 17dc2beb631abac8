"""Whoever logs in is root by sudo: every way to a machine, against a server in this process.

Its sudo is a stand-in that obeys the rules which `provision nodes` writes, asks for a password for
anything else, and passes nothing of the environment on.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.bench import bench
from harness.core.declared import Machine
from harness.core.errors import Denied, TimedOut, TransportError
from harness.core.waiting import until
from harness.faults import observers
from harness.faults.commands import perform
from harness.faults.fault import Fault
from harness.faults.model import Act
from harness.faults.undo_store import NodeUndoStore
from harness.probes.host_facts import HostFacts
from harness.settings import SshAccess, load_needs
from harness.settings.machines import MachineSettings
from harness.tests.fault_examples import EXAMPLES, whole_cluster
from harness.tests.ssh_server import SshServer, ssh_server
from harness.transport import Completed, Reach
from harness.transport.ansible import AnsibleFleet
from harness.transport.login import command_line, limit
from harness.transport.ssh import SshShell

pytestmark = pytest.mark.slow

# Real sudo matches the words behind the program, joined by spaces, with fnmatch as well.
SUDO = """#!{python} -IS
import fnmatch, os, sys
words = sys.argv[1:]
if words[:2] != ["-n", "--"]:
    sys.exit("sudo: a terminal is required to read the password")
command = words[2:]
if not any(fnmatch.fnmatchcase(" ".join(command), rule) for rule in {rules!r}):
    sys.exit("sudo: a password is required")
with open({log!r}, "a") as log:
    log.write(repr(command) + "\\n")
os.execve(command[0], command, {{"PATH": {path!r}, "AS_ROOT": "1"}})
"""


class Rig:
    """A machine to which `cutover` logs in."""

    def __init__(self, server: SshServer, access: SshAccess, machine: Machine, home: Path) -> None:
        self.access, self.machine, self._home = access, machine, home
        self._bin = home / "bin"
        self._bin.mkdir()
        self.log = home / "sudo.log"
        server.programs = self._bin
        self.allow(*load_needs().sudo)
        self.shell = SshShell(access, [machine])

    def allow(self, *rules: str) -> None:
        text = SUDO.format(
            python=sys.executable, rules=rules, log=str(self.log), path=os.environ["PATH"]
        )
        (self._bin / "sudo").write_text(text)
        (self._bin / "sudo").chmod(0o755)

    def reach(self) -> Reach:
        whole = whole_cluster()
        here = MachineSettings.model_validate({"name": "m1", "address": "127.0.0.1"})
        profile = whole.profile.model_copy(update={"machines": (here,)})
        return replace(whole, profile=profile, shell=self.shell)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with ssh_server(tmp_path, "cutover") as (server, access, machine):
        made = Rig(server, access, machine, tmp_path)
        yield made
        made.shell.close()


def test_a_command_runs_as_root_with_its_arguments_its_input_and_its_status(rig: Rig) -> None:
    odd = ("a b", "$HOME", "it's", "x;y", "*", "", "two\nlines")
    said = rig.shell.run("m1", ("printf", "%s|", *odd))
    assert said.stdout == "|".join(odd) + "|"
    counted = rig.shell.run("m1", ("sh", "-c", "echo $AS_ROOT; wc -c; exit 7"), stdin="x" * 100_000)
    assert (counted.status, counted.stdout.split()) == (7, ["1", "100000"])


@pytest.mark.parametrize("user", ["root", "cutover"])
def test_programs_and_sudo_itself_speak_english_in_any_login_language(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: str
) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    with ssh_server(tmp_path, user) as (server, access, machine):
        rig = Rig(server, access, machine, tmp_path)
        assert rig.shell.run("m1", ("sh", "-c", "echo $LC_ALL")).stdout == "C\n"
        (tmp_path / "bin/sudo").write_text("#!/bin/sh\necho sudo speaks $LC_ALL >&2; exit 3\n")
        said = rig.shell.run("m1", ("true",)).stderr
        assert said == ("" if user == "root" else "sudo speaks C\n")
        rig.shell.close()


@given(st.floats(min_value=-1e6, max_value=1e6))
def test_a_limit_is_never_none_and_never_shorter_than_what_is_left(seconds: float) -> None:
    number = int(limit(seconds).rpartition(" ")[2])
    assert number >= max(1, seconds)
    assert number < max(seconds, 1) + 1


def test_a_command_for_which_no_time_is_left_is_not_sent(rig: Rig, tmp_path: Path) -> None:
    rig.shell.run("m1", ("true",))
    made = tmp_path / "made"
    with pytest.raises(TimedOut):
        rig.shell.run("m1", ("touch", str(made)), within_s=0)
    rig.shell.run("m1", ("true",))
    assert not made.exists()


def test_whoever_logs_in_as_root_needs_no_sudo(tmp_path: Path) -> None:
    with ssh_server(tmp_path) as (_, access, machine):
        shell = SshShell(access, [machine])
        assert shell.run("m1", ("sh", "-c", "echo ${AS_ROOT-none}")).stdout == "none\n"
        shell.close()


def test_lines_are_heard_while_they_come(rig: Rig) -> None:
    heard: list[str] = []
    rig.shell.run("m1", ("sh", "-c", "echo one; echo two"), hear=heard.append)
    assert heard == ["one", "two"]


def test_a_command_that_outlives_its_deadline_is_killed_as_root(rig: Rig, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    with pytest.raises(TimedOut):
        rig.shell.run("m1", ("sh", "-c", f"echo $$ > {pid}; exec tail -f /dev/null"), within_s=2)
    command = Path(f"/proc/{pid.read_text().strip()}")
    until(lambda: not command.exists(), within_s=10, what="the command is gone")


@pytest.mark.parametrize(
    ("rules", "says"), [((), "a password is required"), (("/usr/bin/id",), "a password is")]
)
def test_whoever_may_not_become_root_is_denied_and_no_command_has_run(
    rig: Rig, rules: tuple[str, ...], says: str
) -> None:
    rig.allow(*rules)
    with pytest.raises(Denied, match=says) as denied:
        rig.shell.run("m1", ("true",))
    assert "provision nodes" in denied.value.remedy
    assert not rig.log.exists()


def test_a_machine_without_sudo_is_denied(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "bin/sudo").write_text("#!/bin/sh\necho 'sh: 1: sudo: not found' >&2; exit 127\n")
    with pytest.raises(Denied, match="sudo: not found"):
        rig.shell.run("m1", ("true",))


def test_a_command_that_fails_and_speaks_of_sudo_is_no_denial(rig: Rig) -> None:
    script = "echo 'sudo: unable to resolve host m1' >&2; exit 1"
    assert rig.shell.run("m1", ("sh", "-c", script)).status == 1


# --- what is asked and done through it -----------------------------------------------------------


def test_a_probe_looks_through_it(rig: Rig) -> None:
    found = HostFacts().observe(rig.reach(), "m1")
    assert isinstance(found, dict)
    assert found
    assert "host_facts" not in rig.log.read_text()  # the script is input: sudo's log has no text


def test_the_undo_store_answers_through_it(rig: Rig) -> None:
    left = NodeUndoStore(rig.reach(), "m1").left()
    assert left.place == "m1"


def test_what_our_own_line_is_can_still_be_asked(rig: Rig) -> None:
    said = rig.shell.run("m1", ("printenv", "SSH_CONNECTION"))
    assert said.stdout.split() == ["127.0.0.1", "1", "127.0.0.1", f"{rig.access.port}"]


def test_another_machine_knocks_through_it(rig: Rig) -> None:
    assert observers.port_state(rig.reach(), "m1", "tcp", "127.0.0.1", rig.access.port) == "open"


def test_the_benchs_guard_answers_through_it(rig: Rig) -> None:
    with pytest.raises(TransportError, match="the guard broke: KeyError"):
        bench.ask_guard(rig.reach(), "m1", "look", {}, within_s=20)


def test_an_act_of_a_fault_is_done_through_it(rig: Rig, tmp_path: Path) -> None:
    note = tmp_path / "note"
    script = 'cat > "$1"; echo $AS_ROOT >> "$1"'
    act = Act(place="m1", argv=("sh", "-c", script, "act", str(note)), stdin="broken\n")
    perform(rig.reach(), act)
    assert note.read_text() == "broken\n1\n"


@pytest.mark.parametrize("fault", EXAMPLES, ids=lambda fault: fault.name)
def test_the_rules_allow_all_that_a_fault_does_and_undoes(fault: Fault) -> None:
    whole = whole_cluster()
    done = [act.argv for act in fault.acts(whole) if act.place in ("one", "two")]
    for argv in (*done, *fault.undo(whole)[1]):
        command = command_line("cutover", argv, 30).partition(" -n -- ")[2]
        assert any(fnmatchcase(command, rule) for rule in load_needs().sudo)


# --- Ansible -------------------------------------------------------------------------------------


def test_evidence_is_collected_as_root_and_who_may_not_is_told(rig: Rig) -> None:
    fleet = AnsibleFleet(rig.access, [rig.machine])
    script = ["sh", "-c", "echo $AS_ROOT"]
    assert fleet.everywhere({"a": script}, within_s=120) == {
        ("m1", "a"): Completed(status=0, stdout="1\n", stderr="")
    }
    rig.allow()
    told = fleet.everywhere({"a": script}, within_s=120)
    assert isinstance(told["m1", "a"], Denied)


def test_tasks_are_carried_out_as_root(rig: Rig) -> None:
    tasks = [
        {"name": "who", "ansible.builtin.command": {"argv": ["sh", "-c", "test $AS_ROOT = 1"]}}
    ]
    fleet = AnsibleFleet(rig.access, [rig.machine])
    told = fleet.apply(tasks, {}, machines=["m1"], check=False, within_s=120)
    (step,) = told["m1"]  # type: ignore[misc]
    assert (step.failed, step.changed) == (False, True)
    assert "BECOME-SUCCESS" in rig.log.read_text()
