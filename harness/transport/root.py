"""Runs commands as root on a machine: by a login as root, or by sudo without a password.

``timeout`` runs every command and ends it at the deadline. The rules for sudo allow ``timeout``
(``scenarios/provision/nodes.yaml``).
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence

from harness.core.errors import Denied
from harness.transport.protocols import Completed

ROOT = "root"
# The harness reads what programs and sudo say in English, so the login's language must not count.
_IN_ENGLISH = "/usr/bin/env LC_ALL=C"
_SUDO = f"{_IN_ENGLISH} sudo"
# sudo drops the variables that name the SSH connection; some faults must not cut it.
_KEEPING = f'{_IN_ENGLISH} SSH_CONNECTION="$SSH_CONNECTION"'
_REFUSED = (
    "a password is required",
    "a terminal is required",
    "is not allowed to",
    "is not in the sudoers file",
    "may not run sudo",
)


def limit(seconds: float) -> str:
    """Kills a command after this long, at least one second: 0 means no limit to timeout(1)."""
    return f"/usr/bin/timeout --signal KILL {math.ceil(max(seconds, 1))}"


def command_line(user: str, argv: Sequence[str], seconds: float) -> str:
    """The line for the login shell that runs a command as root, with a time limit."""
    if user == ROOT:
        return f"{_IN_ENGLISH} {limit(seconds)} {shlex.join(argv)}"
    return f"{_SUDO} -n -- {limit(seconds)} {_KEEPING} {shlex.join(argv)}"


def becoming(seconds: float) -> dict[str, str]:
    """The same for Ansible's modules, as inventory variables."""
    # sudo would take what follows `--` for a command: no user is named, which is root.
    return {
        "ansible_become_exe": _SUDO,
        "ansible_become_flags": f"-n -- {limit(seconds)}",
        "ansible_become_user": "",
    }


def must_be_root(user: str, done: Completed, where: str) -> None:
    """Denied if sudo refused: then no command ran, and its status means nothing."""
    if user == ROOT:
        return
    said = done.stderr.strip()
    absent = done.status == 127 and "sudo" in said.partition("not found")[0]
    refused = done.status == 1 and any(words in said for words in _REFUSED)
    if absent or (refused and said.startswith(("sudo:", "Sorry, user"))):
        raise Denied(
            f"{where}: {user} may not become root there: {said[-200:]}",
            remedy="run `./cutover provision nodes` once as a user who may become root: "
            "it installs the rules for sudo",
        )
