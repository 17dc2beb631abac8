"""Defines a fault: a way to break one thing, known beforehand together with its undo.

A fault lives refuse → arm → inject → active? → heal → healed? (``fault_lifecycle``). Its
commands are data before any of them runs: ``acts`` inject it, ``undo`` heals it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from random import Random
from typing import ClassVar, Self

from harness.faults.commands import perform
from harness.faults.model import Act, Argv, BlastRadius, FaultId, Undo
from harness.faults.undo_store import undo_store_at
from harness.settings import Frozen
from harness.transport import Reach


class Fault(Frozen, ABC):
    """One way to break one thing on one machine.

    All methods except ``inject`` and ``heal`` only read. ``active`` and ``healed`` ask an observer,
    not the target: another machine, the API, Ceph.

    A fault that takes pods, or a machine with its pods, must leave enough replicas, and the pods'
    budgets must allow it (``replicas``). The plan may override this: ``even_all`` takes the last
    ready pod too, ``against_budget`` more pods than a PodDisruptionBudget allows.
    With ``accept_swarm_loss`` the old Swarm may lose its managers' majority, and services that no
    other machine may run.
    """

    name: ClassVar[str]
    blast_radius: ClassVar[frozenset[BlastRadius]]
    # Seconds until its effect must be seen, and seconds from its undo until it must be seen gone.
    seen_within_s: ClassVar[float] = 30.0
    gone_within_s: ClassVar[float] = 60.0
    # How long a command of its undo may take.
    undo_within_s: ClassVar[float] = 30.0
    # The fault is over when its undo has run: nothing has to boot or recover first.
    at_once: ClassVar[bool] = True
    # Its own ``refuse`` counts the pods of the machine.
    counts_pods: ClassVar[bool] = False

    id: FaultId
    machine: str
    even_all: bool = False
    against_budget: bool = False
    accept_swarm_loss: bool = False

    @property
    def target(self) -> str:
        """The target of the fault, in words."""
        return self.machine

    @property
    def asks_itself(self) -> bool:
        """True if the target reports its own failure."""
        return False

    def sketched(self) -> Self:
        """The same fault, with placeholders for choices that cannot be made yet."""
        return self

    def resolved(self, reach: Reach, draw: Random) -> Self:
        """The same fault with every choice made: its exact target, and the state before."""
        return self

    def refuse(self, reach: Reach) -> str | None:
        """Why the fault cannot be injected here; None if it can."""
        return None

    def arm(self, reach: Reach, lease_s: float) -> Undo:
        """The undo of the fault; this changes nothing yet."""
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
        """The acts that inject the fault, in order."""

    @abstractmethod
    def undo(self, reach: Reach) -> tuple[str, Iterable[Argv]]:
        """Where the undo runs, and its commands; they may run any number of times."""

    @abstractmethod
    def active(self, reach: Reach) -> bool:
        """True if an observer sees the fault's effect."""

    @abstractmethod
    def healed(self, reach: Reach) -> bool:
        """True if an observer sees that the fault's effect is gone."""

    def inject(self, reach: Reach) -> None:
        """Inject the fault. InjectFailed when an act failed."""
        for act in self.acts(reach):
            perform(reach, act)

    def heal(self, reach: Reach, undo: Undo) -> None:
        """Run the undo now, any number of times, at its place. Unhealed when it failed."""
        undo_store_at(reach, undo.place).heal(undo)
