"""What a fault is: a way to break one thing, known beforehand together with its undo.

A fault lives refuse → arm → inject → active? → heal → healed? (``fault_lifecycle``). All that it
would do is data before anything is done: ``acts`` inject it, ``undo`` heals it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from random import Random
from typing import ClassVar, Self

from harness.errors import ConfigError
from harness.faults.acting import perform
from harness.faults.model import Act, Argv, BlastRadius, FaultId, Undo
from harness.faults.undo_store import undo_store_at
from harness.model import Machine
from harness.settings import Frozen
from harness.transport import Reach


class Fault(Frozen, ABC):
    """One way to break one thing on one machine.

    All but ``inject`` and ``heal`` only read. ``active`` and ``healed`` ask an observer, not the
    target: another machine, the API, Ceph.

    Pods that a fault takes, or that its machine takes with it, must leave enough of their kind, and
    their budget must allow it (``replicas``), unless whoever plans it says otherwise: ``even_all``
    takes the last ready one too, ``against_budget`` more than a PodDisruptionBudget allows.
    With ``accept_swarm_loss`` the Swarm that is migrated may lose its managers' majority, and
    services that no other machine may run.
    """

    name: ClassVar[str]
    blast_radius: ClassVar[frozenset[BlastRadius]]
    # Seconds until its effect must be seen, and until it must be seen gone after it was taken back.
    seen_within_s: ClassVar[float] = 30.0
    gone_within_s: ClassVar[float] = 60.0
    # How long a command of its undo may take.
    undo_within_s: ClassVar[float] = 30.0
    # Taken back, it is over: nothing has to boot or to recover first.
    at_once: ClassVar[bool] = True
    # Its own ``refuse`` has the arithmetic of the pods that go with the machine.
    counts_pods: ClassVar[bool] = False

    id: FaultId
    machine: str
    even_all: bool = False
    against_budget: bool = False
    accept_swarm_loss: bool = False

    @property
    def target(self) -> str:
        """What is broken, in words."""
        return self.machine

    @property
    def asks_itself(self) -> bool:
        """True if the target reports its own failure."""
        return False

    def sketched(self) -> Self:
        """The same, with words in the place of choices that cannot be made yet."""
        return self

    def resolved(self, reach: Reach, draw: Random) -> Self:
        """The same with every choice made: whom exactly it hits, and what that was before."""
        return self

    def refuse(self, reach: Reach) -> str | None:
        """Why it cannot be injected here; None when it can."""
        return None

    def arm(self, reach: Reach, lease_s: float) -> Undo:
        """What will take it back; nothing is touched yet."""
        place, commands = self.undo(reach)
        return Undo(
            id=self.id,
            fault=self.name,
            target=self.target,
            place=place,
            commands=tuple(commands),
            lease_s=lease_s,
            within_s=self.undo_within_s,
        )

    @abstractmethod
    def acts(self, reach: Reach) -> Iterable[Act]:
        """What breaks it, in order."""

    @abstractmethod
    def undo(self, reach: Reach) -> tuple[str, Iterable[Argv]]:
        """Where it is taken back, and how: commands that may run any number of times."""

    @abstractmethod
    def active(self, reach: Reach) -> bool:
        """Is its effect seen by an observer?"""

    @abstractmethod
    def healed(self, reach: Reach) -> bool:
        """Is its effect seen to be gone?"""

    def inject(self, reach: Reach) -> None:
        """Break it. InjectFailed when an act came to nothing."""
        for act in self.acts(reach):
            perform(reach, act)

    def heal(self, reach: Reach, undo: Undo) -> None:
        """Take it back now, where that is kept; any number of times. Unhealed when that failed."""
        undo_store_at(reach, undo.place).heal(undo)


def peer(reach: Reach, machine: str) -> Machine:
    """Another machine, to look from; ConfigError when there is none."""
    for other in reach.profile.cluster().machines:
        if other.name != machine:
            return other
    raise ConfigError(f"{machine} is the only machine: nobody else can say how it is")


def server_beside(reach: Reach, machine: str) -> Machine:
    """Another machine that is a server; ConfigError when there is none."""
    for other in reach.profile.cluster().servers:
        if other.name != machine:
            return other
    raise ConfigError(f"{machine} is the only server")
