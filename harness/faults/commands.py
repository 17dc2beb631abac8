"""Commands on machines: where one runs, a fault's acts, and reading what a command said.

The status of a program that is missing (127), was killed (137) or failed in another way is no
evidence. Only the status that the program documents for "no" means no.
"""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Collection, Iterable

from harness.core.declared import Machine
from harness.core.errors import ConfigError, InjectFailed, TransportError
from harness.faults.model import API, LOCAL, MARK, Act, Argv
from harness.settings import ROOT
from harness.transport import Completed, Reach

_READ_WITHIN_S = 10.0
# The status of systemctl for a unit that is not active, and for an unknown unit.
_NOT_ACTIVE = (3, 4)
_SAID_LINES = 8

# For a unit that has ended by itself, systemctl reports that there is no such unit.
_STOP = (
    'systemctl stop "$1" || test "$(systemctl show --property=ActiveState --value "$1")" = inactive'
)


def peer(reach: Reach, machine: str) -> Machine:
    """Another machine, as observer; ConfigError when there is none."""
    for other in reach.profile.cluster().machines:
        if other.name != machine:
            return other
    raise ConfigError(
        f"expected another machine that observes {machine}, seen none: it is the only one",
        remedy="this fault needs a cluster of at least two machines",
    )


def server_beside(reach: Reach, machine: str) -> Machine:
    """Another machine that is a server; ConfigError when there is none."""
    for other in reach.profile.cluster().servers:
        if other.name != machine:
            return other
    raise ConfigError(
        f"expected another server beside {machine}, seen none: it is the only one",
        remedy="this fault needs a cluster of at least two servers",
    )


def perform(reach: Reach, act: Act) -> None:
    """Carry one act out; InjectFailed with the command's output when it failed."""
    if act.place == API:
        _ask_api(reach, act)
        return
    if act.place == LOCAL:
        done = run_here(act.argv, act.within_s)
    else:
        done = reach.shell.run(act.place, act.argv, stdin=act.stdin, within_s=act.within_s)
    if done.status != 0:
        said = (done.stderr or done.stdout).strip()[-300:]
        raise InjectFailed(
            f"{act.place}: `{shlex.join(act.argv)[:120]}` ended with {done.status}: {said}"
        )


def run_here(argv: Argv, within_s: float) -> Completed:
    """Run an operator's command on this computer, in the project's folder."""
    try:
        done = subprocess.run(
            argv,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Completed(status=-1, stdout="", stderr=str(error))
    return Completed(status=done.returncode, stdout=done.stdout, stderr=done.stderr)


def _ask_api(reach: Reach, act: Act) -> None:
    verb, path = act.argv
    if verb == "DELETE":
        reach.kube.delete(path)
    elif verb == "POST":
        reach.kube.create(path, json.loads(act.stdin))
    else:
        raise InjectFailed(f"a fault may not send {verb} {path} to the API")


def read(reach: Reach, machine: str, *argv: str, within_s: float = _READ_WITHIN_S) -> str:
    """The output of a command that must succeed; TransportError when it fails."""
    found = unless(reach, machine, *argv, no=(), within_s=within_s)
    assert found is not None
    return found


def unless(
    reach: Reach, machine: str, *argv: str, no: Collection[int], within_s: float = _READ_WITHIN_S
) -> str | None:
    """The output of a command, or None when its status is one of ``no``.

    TransportError for any other status: the command failed.
    """
    done = reach.shell.run(machine, argv, within_s=within_s)
    if done.status == 0:
        return done.stdout
    if done.status in no:
        return None
    said = (done.stderr or done.stdout).strip()[-200:]
    raise TransportError(f"{machine}: `{shlex.join(argv)}` ended with {done.status}: {said}")


def is_active(reach: Reach, machine: str, unit: str) -> bool:
    """True if systemd reports the unit as active; TransportError when systemd did not answer."""
    return unless(reach, machine, "systemctl", "is-active", unit, no=_NOT_ACTIVE) is not None


def kubectl(reach: Reach, *words: str) -> Argv:
    """A kubectl command, as a server runs it."""
    return (*reach.profile.commands.kubectl, *words)


def start_again(*units: str) -> Argv:
    """Start units, even if they have failed or started too often for systemd."""
    script = 'systemctl reset-failed "$@"; exec systemctl start --no-block "$@"'
    return ("sh", "-c", script, "start", *units)


def in_unit(fault: str, *argv: str, properties: Iterable[str] = ()) -> Argv:
    """Start a program in the fault's own unit; it runs on by itself."""
    settings = (f"--property={it}" for it in properties)
    return ("systemd-run", f"--unit={_unit(fault)}", "--collect", *settings, *argv)


def stop_unit(fault: str) -> Argv:
    """Stop the fault's unit with all its processes; succeeds when it has already ended."""
    return ("sh", "-c", _STOP, "stop", _unit(fault))


def last_words(reach: Reach, place: str, fault: str) -> str:
    """The last output of the fault's unit; empty while it runs.

    Without systemd's own messages; repeated lines appear once.
    """
    unit = _unit(fault)
    if is_active(reach, place, unit):
        return ""
    journal = ("journalctl", "--quiet", "--output=cat", f"_SYSTEMD_UNIT={unit}")
    said = (unless(reach, place, *journal, no=(1,)) or "").splitlines()
    last_first = dict.fromkeys(reversed(said))
    return "\n".join(reversed(list(last_first)[:_SAID_LINES]))


def must_go_on(reach: Reach, place: str, fault: str) -> None:
    """InjectFailed with the unit's last output when the fault's unit has ended by itself."""
    said = last_words(reach, place, fault)
    if said:
        raise InjectFailed(f"the fault's unit {_unit(fault)} on {place} ended early: {said}")


def _unit(fault: str) -> str:
    return f"{MARK}fault-{fault}.service"
