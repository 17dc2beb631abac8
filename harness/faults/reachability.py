"""Tests the network to a machine from another machine. Read only."""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.core.errors import Garbled, TransportError
from harness.faults import reachability_script
from harness.transport import Reach
from harness.transport.remote_script import RemoteScript

# The program that asks; it only reads.
ASKING = RemoteScript(reachability_script)
_WITHIN_S = 15.0
_FOUND = ("open", "refused", "silent")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pings:
    """The result of some pings: how many were lost, and the average time of the others."""

    lost_percent: float
    ms: float | None


def pings(reach: Reach, machine: str, watcher: str, *, count: int = 1, size: int = 56) -> Pings:
    """Ping a machine from another one, ``count`` times in quick succession."""
    address = reach.profile.cluster().machine(machine).address
    argv = ("ping", "-n", "-q", "-i", "0.05", "-W", "1", "-c", f"{count}", "-s", f"{size}", address)
    done = reach.shell.run(watcher, argv, within_s=_WITHIN_S)
    lost = re.search(r"([\d.]+)% packet loss", done.stdout)
    if lost is None:
        said = (done.stderr or done.stdout).strip()[-200:]
        raise TransportError(f"{watcher}: ping of {address} ended with {done.status}: {said}")
    took = re.search(r"= [\d.]+/([\d.]+)/", done.stdout)
    return Pings(lost_percent=float(lost[1]), ms=float(took[1]) if took else None)


def answers(reach: Reach, machine: str, watcher: str) -> bool:
    """True if the watcher gets a ping answer from the machine."""
    return pings(reach, machine, watcher).lost_percent == 0


def port_state(reach: Reach, watcher: str, protocol: str, address: str, port: int) -> str:
    """The state of a port as the watcher sees it: ``open``, ``refused``, or ``silent``."""
    return _ask(reach, watcher, protocol, address, f"{port}")


def names(reach: Reach, watcher: str, address: str, name: str) -> bool:
    """True if the name server at that address answers the watcher at all."""
    return _ask(reach, watcher, "dns", address, name) == "open"


def _ask(reach: Reach, watcher: str, *words: str) -> str:
    found = ASKING.on(reach.shell, watcher, "ask", *words, within_s=_WITHIN_S, read=str).value
    if found not in _FOUND:
        raise Garbled(f"{watcher}: expected one of {_FOUND} for {' '.join(words)}, got {found!r}")
    return found
