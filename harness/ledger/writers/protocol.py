"""What every writer is: it sends one write at a time, and can tell what is there.

All writers work from this computer: it stands outside of the cluster and outlives every fault that
they observe, so none has to survive one, and the book is written where the writes are sent. They
reach the cluster's services through its machines (``transport.tunnel``), any of which may be gone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from harness.ledger.checker import Found
from harness.transport import Reach
from harness.transport.tunnel import Tunnels

# A write that has no answer by then is given up, as one of which nobody knows. It is time enough
# to find that two machines do not answer, and to go through the third.
ANSWERS_WITHIN_S = 10.0
DATABASE_PORT, FILES_PORT = 5432, 8642
_SEAL = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterSetup:
    """What writers have to themselves: a namespace, and its services' addresses by their names.

    ``run`` is in every write's seal, ``seed`` decides what is drawn, and ``password`` opens the
    database.
    """

    run: str
    seed: int
    reach: Reach
    space: str
    tunnels: Tunnels
    services: Mapping[str, str]
    password: str

    @property
    def machines(self) -> tuple[str, ...]:
        return tuple(machine.name for machine in self.reach.profile.machines)

    def ways(self, first: int) -> tuple[str, ...]:
        """The machines to go through, one after the other, from that one on."""
        machines = self.machines
        first %= len(machines)
        return machines[first:] + machines[:first]


class Writer(Protocol):
    """One writer, used by one thread at a time; its writes are numbered by its user.

    ``name`` is its kind and its number (``postgres/0``).
    """

    name: str

    def send(self, seq: int) -> None:
        """Make one write, once: it is never tried again, under no number.

        It is acknowledged when this returns. NeverSent proves that nobody can have made it; after
        any other exception nobody knows.
        """
        ...

    def read(self) -> Iterable[Found]:
        """All that is there of every writer of its kind, as this one sees it; or an exception."""
        ...

    def abandon(self) -> None:
        """End whatever ``send`` or ``read`` blocks on, from another thread."""
        ...

    def close(self) -> None: ...


@runtime_checkable
class Counted(Protocol):
    """A writer whose writes leave a total as it was; counting does not wait for writing."""

    name: str
    due: int

    def total(self) -> int:
        """The total, of one moment."""
        ...

    def stop_counting(self) -> None:
        """End whatever ``total`` blocks on, from another thread."""
        ...


Makes = Callable[[WriterSetup], Sequence[Writer]]


def seal(run: str, who: str, seq: int) -> str:
    """What a write carries, so that one that was changed or is of another run is told."""
    return hashlib.sha256(f"{run} {who} {seq}".encode()).hexdigest()[:_SEAL]


def unsealed(run: str, who: str, seq: int, found: str) -> Iterator[Found]:
    """The write that was found, if its seal is right; nothing for the torn beginning of one.

    A write with another seal is one that nobody made.
    """
    right = seal(run, who, seq)
    if found == right:
        yield who, seq
    elif not right.startswith(found):
        yield f"{who} with the seal {found!r}", seq
