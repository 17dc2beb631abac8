"""Reads the output of a command on a machine, and tells whether the command ran at all.

The status of a program that is missing (127), was killed (137) or failed in another way is no
evidence. Only the status that the program documents for "no" means no.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection

from harness.core.errors import TransportError
from harness.transport import Reach

_WITHIN_S = 10.0
# The status of systemctl for a unit that is not active, and for an unknown unit.
_NOT_ACTIVE = (3, 4)


def read(reach: Reach, machine: str, *argv: str, within_s: float = _WITHIN_S) -> str:
    """The output of a command that must succeed; TransportError when it fails."""
    found = unless(reach, machine, *argv, no=(), within_s=within_s)
    assert found is not None
    return found


def unless(
    reach: Reach, machine: str, *argv: str, no: Collection[int], within_s: float = _WITHIN_S
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
