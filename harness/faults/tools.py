"""Commands that several faults run on machines, and that undo runs there too."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from harness.errors import InjectFailed
from harness.faults import answers
from harness.faults.fault import server_beside
from harness.faults.model import MARK, Argv
from harness.transport import Reach

# The pod is looked for when the command runs: undo may run when another one took its place.
_IN_TOOLBOX = (
    'pod=$("$@" --namespace "$SPACE" get pods --selector "$LABEL" '
    "--field-selector status.phase=Running --output name | head -n 1) && "
    '"$@" --namespace "$SPACE" exec "$pod" -- '
)

_SAID_LINES = 8

# systemctl says of a unit that has ended by itself that there is none.
_STOP = (
    'systemctl stop "$1" || test "$(systemctl show --property=ActiveState --value "$1")" = inactive'
)


def kubectl(reach: Reach, *words: str) -> Argv:
    """A command of kubectl, as a server runs it."""
    return (*reach.profile.commands.kubectl, *words)


def start_again(*units: str) -> Argv:
    """Start units, however often they have failed or were started before."""
    script = 'systemctl reset-failed "$@"; exec systemctl start --no-block "$@"'
    return ("sh", "-c", script, "start", *units)


def in_unit(fault: str, *argv: str, properties: Iterable[str] = ()) -> Argv:
    """Start a program in a unit that belongs to the fault of this id; it goes on by itself."""
    settings = (f"--property={it}" for it in properties)
    return ("systemd-run", f"--unit={_unit(fault)}", "--collect", *settings, *argv)


def stop_unit(fault: str) -> Argv:
    """End the fault's unit and all that runs in it, whether it has ended by itself or not."""
    return ("sh", "-c", _STOP, "stop", _unit(fault))


def last_words(reach: Reach, place: str, fault: str) -> str:
    """What the fault's unit said before it ended; nothing while it runs.

    Not what systemd says of it; and what is said with every attempt, once.
    """
    unit = _unit(fault)
    if answers.is_active(reach, place, unit):
        return ""
    journal = ("journalctl", "--quiet", "--output=cat", f"_SYSTEMD_UNIT={unit}")
    said = (answers.unless(reach, place, *journal, no=(1,)) or "").splitlines()
    last_first = dict.fromkeys(reversed(said))
    return "\n".join(reversed(list(last_first)[:_SAID_LINES]))


def must_go_on(reach: Reach, place: str, fault: str) -> None:
    """InjectFailed when the fault's unit has ended by itself, in its own last words."""
    said = last_words(reach, place, fault)
    if said:
        raise InjectFailed(f"what was to do it on {place} has ended, and said: {said}")


def _unit(fault: str) -> str:
    return f"{MARK}fault-{fault}.service"


def ceph(reach: Reach, machine: str, *words: str) -> tuple[str, Argv]:
    """Where ``ceph WORDS`` may change something without asking ``machine``'s API, and how.

    Where Ceph is asked through the machines, that is on ``machine`` itself.
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
    """The path of the API at which the pods of these labels are listed."""
    query = f"?labelSelector={quote(selector, safe='')}" if selector else ""
    return f"/api/v1/namespaces/{namespace}/pods{query}"
