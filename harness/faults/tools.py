"""Commands that several faults run on machines, and that undo runs there too."""

from __future__ import annotations

from urllib.parse import quote

from harness.faults.fault import server_beside
from harness.faults.model import Argv
from harness.transport import Reach

# The pod is looked for when the command runs: undo may run when another one took its place.
_IN_TOOLBOX = (
    'pod=$("$@" --namespace "$SPACE" get pods --selector "$LABEL" '
    "--field-selector status.phase=Running --output name | head -n 1) && "
    '"$@" --namespace "$SPACE" exec "$pod" -- '
)


def kubectl(reach: Reach, *words: str) -> Argv:
    """A command of kubectl, as a server runs it."""
    return (*reach.profile.commands.kubectl, *words)


def start_again(*units: str) -> Argv:
    """Start units, however often they have failed or were started before."""
    script = 'systemctl reset-failed "$@"; exec systemctl start --no-block "$@"'
    return ("sh", "-c", script, "start", *units)


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
