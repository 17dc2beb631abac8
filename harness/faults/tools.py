"""Commands that several faults run on machines, and that undo runs there too."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from harness.faults.fault import server_beside
from harness.faults.model import MARK, Argv
from harness.transport import Reach

# The pod is looked for when the command runs: undo may run when another one took its place.
_IN_TOOLBOX = (
    'pod=$("$@" --namespace "$SPACE" get pods --selector "$LABEL" '
    "--field-selector status.phase=Running --output name | head -n 1) && "
    '"$@" --namespace "$SPACE" exec "$pod" -- '
)

# systemctl says of a unit that has ended by itself that there is none.
_STOP = (
    'systemctl stop "$1" || test "$(systemctl show --property=ActiveState --value "$1")" = inactive'
)
# Not what systemd says of it; and what is said with every attempt, once.
_LAST_WORDS = (
    'systemctl is-active --quiet "$1" || '
    'journalctl --quiet --no-pager --output=cat "_SYSTEMD_UNIT=$1" | '
    "tac | awk '!said[$0]++' | head -n 8 | tac"
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


def last_words(fault: str) -> Argv:
    """What the fault's unit said before it ended; nothing while it runs."""
    return ("sh", "-c", _LAST_WORDS, "last-words", _unit(fault))


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
