"""What a command on a machine says, and whether it ran at all.

A program that is missing (127), was killed (137) or could not be used has not looked: its status is
no evidence of anything. Only a status that the program itself gives for "no" is a no.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection

from harness.errors import TransportError
from harness.transport import Reach

_WITHIN_S = 10.0
# What systemctl says of a unit that is not active, and of one that it does not know.
_NOT_ACTIVE = (3, 4)


def read(reach: Reach, machine: str, *argv: str, within_s: float = _WITHIN_S) -> str:
    """What a command that must succeed prints; TransportError when it does not."""
    found = unless(reach, machine, *argv, no=(), within_s=within_s)
    assert found is not None
    return found


def unless(
    reach: Reach, machine: str, *argv: str, no: Collection[int], within_s: float = _WITHIN_S
) -> str | None:
    """What a command prints, or None when its status is one of ``no``.

    TransportError for any other status: the command did not look.
    """
    done = reach.shell.run(machine, argv, within_s=within_s)
    if done.status == 0:
        return done.stdout
    if done.status in no:
        return None
    said = (done.stderr or done.stdout).strip()[-200:]
    raise TransportError(f"{machine}: `{shlex.join(argv)}` ended with {done.status}: {said}")


def is_active(reach: Reach, machine: str, unit: str) -> bool:
    """True if systemd says that the unit is active; TransportError when systemd was not asked."""
    return unless(reach, machine, "systemctl", "is-active", unit, no=_NOT_ACTIVE) is not None
