"""Commands on machines that several faults and their undo share."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from harness.core.errors import InjectFailed
from harness.faults import answers
from harness.faults.fault import server_beside
from harness.faults.model import MARK, Argv
from harness.transport import Reach

# The command finds the pod when it runs: another pod may have replaced it before the undo.
_IN_TOOLBOX = (
    'pod=$("$@" --namespace "$SPACE" get pods --selector "$LABEL" '
    "--field-selector status.phase=Running --output name | head -n 1) && "
    '"$@" --namespace "$SPACE" exec "$pod" -- '
)

_SAID_LINES = 8

# For a unit that has ended by itself, systemctl reports that there is no such unit.
_STOP = (
    'systemctl stop "$1" || test "$(systemctl show --property=ActiveState --value "$1")" = inactive'
)


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
    if answers.is_active(reach, place, unit):
        return ""
    journal = ("journalctl", "--quiet", "--output=cat", f"_SYSTEMD_UNIT={unit}")
    said = (answers.unless(reach, place, *journal, no=(1,)) or "").splitlines()
    last_first = dict.fromkeys(reversed(said))
    return "\n".join(reversed(list(last_first)[:_SAID_LINES]))


def must_go_on(reach: Reach, place: str, fault: str) -> None:
    """InjectFailed with the unit's last output when the fault's unit has ended by itself."""
    said = last_words(reach, place, fault)
    if said:
        raise InjectFailed(f"the fault's unit {_unit(fault)} on {place} ended early: {said}")


def _unit(fault: str) -> str:
    return f"{MARK}fault-{fault}.service"


def ceph(reach: Reach, machine: str, *words: str) -> tuple[str, Argv]:
    """Where ``ceph WORDS`` runs without the API of ``machine``, and the command.

    If the profile asks Ceph through the machines, it runs on ``machine`` itself.
    """
    asked = ("ceph", "--connect-timeout", "8", *words)
    declared = reach.profile.ceph
    if declared.through == "machines":
        return machine, asked
    script = _IN_TOOLBOX + " ".join(asked)
    set_to = (f"SPACE={declared.toolbox_namespace}", f"LABEL={declared.toolbox_label}")
    inside = ("env", *set_to, "sh", "-c", script, "toolbox", *reach.profile.commands.kubectl)
    return server_beside(reach, machine).name, inside


def pods_path(namespace: str, selector: str = "") -> str:
    """The API path that lists the pods with these labels."""
    query = f"?labelSelector={quote(selector, safe='')}" if selector else ""
    return f"/api/v1/namespaces/{namespace}/pods{query}"
