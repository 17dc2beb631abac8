"""Stores a fault's undo and runs it when its lease expires.

On a machine, a systemd timer runs it (``agent_script``). On this computer, for undo that reaches a
machine from outside, a separate process runs it (``local_undo_daemon``). Neither needs the harness,
the API or the network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from typing_extensions import TypeForm

from harness.core.errors import ScriptNotRun, TransportError, Unhealed
from harness.facts.schema import OrUnknown, Unknown
from harness.faults import agent_script, local_undo_daemon
from harness.faults.model import LOCAL, Argv, Undo
from harness.settings import Frozen
from harness.transport import Reach
from harness.transport.remote_script import RemoteScript

T = TypeVar("T")

AGENT = RemoteScript(agent_script)
_WITHIN_S = 30.0
_UNDO_WITHIN_S = 90.0


@dataclass(frozen=True, slots=True)
class _Needs:
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Armed:
    armed: str  # its timer


@dataclass(frozen=True, slots=True)
class _Renewed:
    gone: bool


@dataclass(frozen=True, slots=True)
class _Healed:
    done: bool
    said: str


@dataclass(frozen=True, slots=True)
class _Entry:
    id: str
    fault: str = "a fault"  # a crash may have damaged the entry
    target: str = "unknown"


@dataclass(frozen=True, slots=True)
class _Listing:
    armed: tuple[_Entry, ...]
    leftovers: tuple[Argv, ...]


class Left(Frozen):
    """What was found in one place: armed undo, and leftovers that carry the mark.

    ``armed`` maps an undo's id to its fault and target; each of ``leftovers`` is a command that
    removes one leftover.
    """

    place: str
    armed: Mapping[str, str] = {}
    leftovers: tuple[Argv, ...] = ()

    @property
    def is_nothing(self) -> bool:
        return not self.armed and not self.leftovers


class UndoStore(Protocol):
    """Stores undo in one place."""

    def missing(self) -> Sequence[str]:
        """The programs that the place lacks and needs to store undo."""
        ...

    def arm(self, undo: Undo) -> None:
        """Store the undo: it runs by itself when its lease ends."""
        ...

    def renew(self, undo: Undo) -> bool:
        """Begin the lease anew; False when the undo has already run."""
        ...

    def heal(self, undo: Undo) -> None:
        """Run the undo now; Unhealed when a command of it failed."""
        ...

    def left(self) -> Left:
        """The armed undo and the leftovers in the place."""
        ...

    def clear(self, name: str) -> None:
        """Run an undo by its id; Unhealed when a command of it failed."""
        ...


def undo_store_at(reach: Reach, place: str) -> UndoStore:
    """The undo store of a place: a machine, or this computer."""
    return LocalUndoStore() if place == LOCAL else NodeUndoStore(reach, place)


class NodeUndoStore:
    """Stores undo on a machine, as systemd timers."""

    def __init__(self, reach: Reach, machine: str) -> None:
        self._reach = reach
        self._machine = machine

    def missing(self) -> Sequence[str]:
        try:
            return self._ask(OrUnknown[_Needs], "needs").missing
        except ScriptNotRun:
            return ("python3",)

    def arm(self, undo: Undo) -> None:
        self._ask(OrUnknown[_Armed], "arm", undo.model_dump_json())

    def renew(self, undo: Undo) -> bool:
        return not self._ask(OrUnknown[_Renewed], "renew", undo.id, f"{undo.lease_s:g}").gone

    def heal(self, undo: Undo) -> None:
        self.clear(undo.id)

    def clear(self, name: str) -> None:
        healed = self._ask(OrUnknown[_Healed], "heal", name, within_s=_UNDO_WITHIN_S)
        if not healed.done:
            raise Unhealed(
                f"{self._machine}: the undo of {name} failed: {healed.said}",
                remedy=f"see /var/lib/cutover-faults/{name}/undo there; `./cutover heal` tries "
                "again, and so does the machine itself",
            )

    def left(self) -> Left:
        found = self._ask(OrUnknown[_Listing], "list")
        armed = {it.id: f"{it.fault} of {it.target}" for it in found.armed}
        return Left(place=self._machine, armed=armed, leftovers=found.leftovers)

    def _ask(self, kind: TypeForm[T | Unknown], *words: str, within_s: float = _WITHIN_S) -> T:
        shell, machine = self._reach.shell, self._machine
        answer = AGENT.on(shell, machine, *words, within_s=within_s, read=kind).value
        if isinstance(answer, Unknown):
            raise TransportError(f"{machine}: undo: {answer.error}")
        return answer


class LocalUndoStore:
    """Stores undo on this computer, in a process that outlives the harness."""

    def missing(self) -> Sequence[str]:
        return ()

    def arm(self, undo: Undo) -> None:
        local_undo_daemon.arm(undo)

    def renew(self, undo: Undo) -> bool:
        return local_undo_daemon.renew(undo)

    def heal(self, undo: Undo) -> None:
        local_undo_daemon.heal(undo.id)

    def clear(self, name: str) -> None:
        local_undo_daemon.heal(name)

    def left(self) -> Left:
        armed = {
            name: f"{undo.fault} of {undo.target}" if undo is not None else "a fault of unknown"
            for name, undo in local_undo_daemon.armed().items()
        }
        return Left(place=LOCAL, armed=armed)
