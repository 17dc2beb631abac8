"""Look at the machines' disks, and carry plans out there."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from harness.errors import NotProven, Refused, TransportError
from harness.provision import disk_script
from harness.provision.disk import Disk, disk_of
from harness.provision.partition import Plan, flaws_after
from harness.transport import Shell
from harness.transport.remote_script import RemoteScript

_SCRIPT = RemoteScript(disk_script)
_LOOK_S = 30.0
_ACT_S = 300.0


def look(shell: Shell, machine: str, device: str) -> Disk:
    """A machine's disk as it is now; Refused when it is none, TransportError without an answer."""
    return _disk(machine, _ask(shell, machine, {"device": device}, _LOOK_S))


def carry_out(shell: Shell, before: Disk, made: Plan) -> Disk:
    """Make the planned partition and look again.

    Refused when the disk is no longer the one of the plan, NotProven when it is afterwards not as
    it must be, TransportError when the machine did not do it or did not answer.
    """
    told = _ask(shell, before.machine, {"plan": asdict(made)}, _ACT_S)
    after = _disk(before.machine, told.get("after", {}))
    flaws = flaws_after(before, after, made)
    if flaws:
        raise NotProven(
            f"{before.machine}: the partition was made, but {'; '.join(flaws)} {told['partx']}",
            remedy=f"the old table is in {told['kept']} there: sgdisk --load-backup={told['kept']}"
            f" {made.device}. When only the kernel lags behind:"
            f" partx --update --nr {made.number}:{made.number} {made.device}",
        )
    return after


def _ask(shell: Shell, machine: str, wanted: dict[str, Any], within_s: float) -> dict[str, Any]:
    told: dict[str, Any] = _SCRIPT.on(shell, machine, wanted, within_s=within_s).value
    if "stopped" in told:
        raise Refused(f"{machine}: {told['stopped']}", remedy="make a new plan and look at it")
    if "error" in told:
        raise TransportError(
            f"{machine}: {told['error']}", remedy="./cutover provision nodes brings its tools"
        )
    return told


def _disk(machine: str, told: dict[str, Any]) -> Disk:
    try:
        return disk_of(machine, told)
    except (KeyError, TypeError, ValueError) as error:
        raise TransportError(f"{machine}: what it told of its disk is not whole: {error}") from None
