"""Runs commands or Ansible tasks on all machines in parallel, through ansible-runner.

Commands collect evidence. A machine that hangs does not delay the others, and a command that hangs
does not delay the rest of its machine: the commands run in parallel there, in one session.
Ansible's ``raw`` needs nothing on a machine and leaves nothing there. Tasks are for provisioning.
Both get a private folder that is removed afterwards, only the harness's configuration, pinned host
keys, and a deadline, at which Ansible is killed.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shlex
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from harness.core.declared import Machine
from harness.core.errors import TransportError
from harness.settings import SshAccess
from harness.transport import login
from harness.transport.ansible_events import CommandAnswers, Hear, TaskResults, hear_event
from harness.transport.protocols import AnsibleTask, Completed

Answers: TypeAlias = "Mapping[tuple[str, str], Completed | TransportError]"
_CONNECT_S = 10
_EACH_S = 20
_LONGEST = 1 << 20  # bytes of one output: its end is kept
_SIDE_BY_SIDE = """
folder=$(mktemp -d) || exit
trap 'rm -rf "$folder"' EXIT
run() {{
  number=$1
  shift
  "$@" > "$folder/$number.out" 2> "$folder/$number.err" < /dev/null
  echo $? > "$folder/$number.status"
}}
{calls}
wait
number=0
while [ $number -lt {number} ]; do
  printf '\\n%s %s\\n' {mark} $number
  tail --bytes={longest} "$folder/$number.out"
  printf '\\n%s err\\n' {mark}
  tail --bytes={longest} "$folder/$number.err"
  printf '\\n%s %s\\n' {mark} "$(cat "$folder/$number.status")"
  number=$((number + 1))
done
"""
_PART = r"\n{mark} {number}\n(.*?)\n{mark} err\n(.*?)\n{mark} (\d+)\n"


class AnsibleFleet:
    """The machines of an inventory, all at once."""

    def __init__(self, access: SshAccess, machines: Iterable[Machine]) -> None:
        self._hosts = {machine.name: _by_ssh(access, machine) for machine in machines}

    def everywhere(self, commands: Mapping[str, Sequence[str]], *, within_s: float) -> Answers:
        """Run the commands in parallel on every machine; their results, by (machine, command).

        A command that takes longer than 20 s is killed: its status is 137. The last MiB of each
        output is kept. A command that could not be run has an error in its place: nothing is raised
        and nothing left out. Takes ``within_s`` seconds at most.
        """
        return play(self._hosts, commands, within_s=within_s)

    def apply(
        self,
        tasks: Sequence[Mapping[str, object]],
        variables: Mapping[str, object],
        *,
        machines: Sequence[str],
        check: bool,
        within_s: float,
    ) -> Mapping[str, Sequence[AnsibleTask] | TransportError]:
        """Run Ansible's tasks; with ``check`` they only report what they would change.

        By machine: the tasks that were not skipped, in order, or why there is no whole answer.
        Nothing is raised and nothing left out. Takes ``within_s`` seconds at most.
        """
        hosts = {name: self._hosts[name] for name in machines}
        return apply(hosts, tasks, variables, check=check, within_s=within_s)


def apply(
    hosts: Mapping[str, Mapping[str, object]],
    tasks: Sequence[Mapping[str, object]],
    variables: Mapping[str, object],
    *,
    check: bool,
    within_s: float,
) -> Mapping[str, Sequence[AnsibleTask] | TransportError]:
    """The same, on hosts as an Ansible inventory describes them: name to variables."""
    heard = TaskResults()
    deadline = time.monotonic() + within_s
    options = "--diff --check" if check else "--diff"
    less = any(_user(values) != login.ROOT for values in hosts.values())
    playbook = {"tasks": list(tasks), "vars": dict(variables), "become": less}
    hosts = {name: {**login.becoming(within_s), **values} for name, values in hosts.items()}
    _watched(hosts, playbook, heard.event, within_s=within_s, options=options)
    return {
        host: heard.results.get(host, ()) if host in heard.ended else heard.why_not(host, deadline)
        for host in hosts
    }


def play(
    hosts: Mapping[str, Mapping[str, object]],
    commands: Mapping[str, Sequence[str]],
    *,
    within_s: float,
) -> Answers:
    """The same, on hosts as an Ansible inventory describes them: name to variables."""
    heard = CommandAnswers()
    deadline = time.monotonic() + within_s
    user = next((_user(values) for values in hosts.values()), login.ROOT)  # one for all
    mark = secrets.token_hex(8)  # on a line of its own, nothing that is asked prints it
    task = _task(commands.values(), user, mark)
    _watched(hosts, {"tasks": [task]}, heard.event, within_s=within_s)
    told: dict[tuple[str, str], Completed | TransportError] = {}
    for host in hosts:
        said = heard.answers.get(host) or heard.why_not(host, deadline)
        for number, name in enumerate(commands):
            told[host, name] = _part(_as_root(user, said, host), number, host, mark)
    return told


def _watched(
    hosts: Mapping[str, Mapping[str, object]],
    playbook: Mapping[str, object],
    hear: Hear,
    *,
    within_s: float,
    options: str = "",
) -> None:
    """Run a play to its end or to its deadline; what it says goes to ``hear``."""
    deadline = time.monotonic() + within_s
    with tempfile.TemporaryDirectory(prefix="cutover-", ignore_cleanup_errors=True) as folder:
        work = threading.Thread(
            target=_run,
            args=(Path(folder), hosts, playbook, hear, deadline, options),
            name="ansible",
            daemon=True,
        )
        work.start()
        # ansible-runner looks at the deadline once a second, and then kills.
        work.join(within_s + 3)
        _end(Path(folder))


def _run(
    folder: Path,
    hosts: Mapping[str, Mapping[str, object]],
    playbook: Mapping[str, object],
    hear: Hear,
    deadline: float,
    options: str,
) -> None:
    _configuration(folder).touch()  # keeps Ansible from reading another configuration
    import ansible_runner  # loads for half a second, which runs without a failure need not wait for

    ansible_runner.run(
        private_data_dir=str(folder),
        inventory={"all": {"hosts": {name: dict(values) for name, values in hosts.items()}}},
        playbook=[{"hosts": "all", "gather_facts": False, "strategy": "free", **playbook}],
        envvars=_environment(folder),
        settings={"pexpect_timeout": 1, "suppress_ansible_output": True},
        forks=len(hosts),
        event_handler=lambda said: hear_event(hear, said),
        # Also keeps ansible-runner from replacing the harness's handler of Ctrl-C.
        cancel_callback=lambda: time.monotonic() > deadline,
        quiet=True,
        cmdline=options or None,
    )


def _end(folder: Path) -> None:
    """Kill what a play in this folder left behind.

    ansible-runner kills its own process group, but Ansible's workers have sessions of their own. A
    worker that writes to its dead parent would wait for ever.
    """
    ours = f"ANSIBLE_CONFIG={_configuration(folder)}\0".encode()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if ours in (process / "environ").read_bytes():
                os.kill(int(process.name), signal.SIGKILL)


def _configuration(folder: Path) -> Path:
    return folder / "ansible.cfg"


def _as_root(user: str, said: Completed | TransportError, host: str) -> Completed | TransportError:
    if isinstance(said, Completed):
        try:
            login.must_be_root(user, said, host)
        except TransportError as denied:
            return denied
    return said


def _user(values: Mapping[str, object]) -> str:
    return str(values.get("ansible_user", login.ROOT))


def _task(commands: Iterable[Sequence[str]], user: str, mark: str) -> Mapping[str, object]:
    """One task for all commands in parallel; each is killed when it takes too long."""
    calls = [
        f"run {number} {login.limit(_EACH_S)} {shlex.join(argv)} &"
        for number, argv in enumerate(commands)
    ]
    script = _SIDE_BY_SIDE.format(
        calls="\n".join(calls), number=len(calls), mark=mark, longest=_LONGEST
    )
    within_s = _EACH_S + _CONNECT_S
    return {
        "name": "commands",
        "ansible.builtin.raw": login.command_line(user, ["sh", "-c", script], within_s),
        "changed_when": False,
        "failed_when": False,
        "timeout": within_s + _CONNECT_S,
    }


def _part(
    said: Completed | TransportError, number: int, host: str, mark: str
) -> Completed | TransportError:
    """The result of one of the commands."""
    if not isinstance(said, Completed):
        return said
    found = re.search(_PART.format(number=number, mark=mark), said.stdout, re.DOTALL)
    if found is None:
        return TransportError(f"{host}: garbled: {said.stdout[-200:]!r} {said.stderr[-200:]!r}")
    out, err, status = found.groups()
    return Completed(status=int(status), stdout=out, stderr=err)


def _environment(folder: Path) -> Mapping[str, str]:
    home = str(folder / "home")
    return {
        "ANSIBLE_CONFIG": str(_configuration(folder)),
        "ANSIBLE_HOME": home,
        "ANSIBLE_LOCAL_TEMP": home,
        "ANSIBLE_HOST_KEY_CHECKING": "true",
        "ANSIBLE_PIPELINING": "true",
        # The files that modules need on a machine are removed when they end.
        "ANSIBLE_REMOTE_TEMP": "/tmp",
        "ANSIBLE_RETRY_FILES_ENABLED": "false",
        "ANSIBLE_TIMEOUT": str(_CONNECT_S),
        # ansible-runner drops a longer answer completely.
        "MAX_EVENT_RES": str(_LONGEST * 100),
        "LC_ALL": "C.UTF-8",
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", ""))),
    }


def _by_ssh(access: SshAccess, machine: Machine) -> Mapping[str, object]:
    options = {
        "UserKnownHostsFile": shlex.quote(str(access.known_hosts)),
        "GlobalKnownHostsFile": os.devnull,
        "StrictHostKeyChecking": "yes",
        "IdentitiesOnly": "yes",
        "BatchMode": "yes",
        "ControlMaster": "no",
        "ControlPath": "none",
        "ServerAliveInterval": "5",
    }
    return {
        "ansible_connection": "ssh",
        "ansible_host": machine.address,
        "ansible_port": access.port,
        "ansible_user": access.user,
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_ssh_private_key_file": str(access.key),
        "ansible_ssh_args": " ".join(("-F none", *(f"-o {k}={v}" for k, v in options.items()))),
        # A terminal would merge the outputs and end lines in CR LF.
        "ansible_ssh_use_tty": False,
    }
