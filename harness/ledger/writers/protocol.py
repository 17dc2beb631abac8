"""The interface of every writer: it sends one write at a time, and reads back what is there.

All writers run on this computer. It is outside of the cluster, so no fault affects them, and the
history is written where the writes are sent. They reach the cluster's services through its machines
(``transport.ssh``), any of which may be down.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

from harness.ledger.checker import Found
from harness.transport import Reach
from harness.transport.ssh import Tunnels

# A write without an answer by then is abandoned: its outcome is unknown. The time is enough to find
# that two machines do not answer, and to use the third.
ANSWERS_WITHIN_S = 10.0
DATABASE_PORT, FILES_PORT = 5432, 8642
_SEAL = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabasePlace:
    """A database that writers write to: its server as the machines reach it, and who connects.

    Without ``machine``, every machine reaches it.
    """

    address: str
    port: int
    user: str
    password: str
    name: str
    machine: str | None = None


# Where writers connect next: the place changes when the database moves.
Where: TypeAlias = Callable[[], DatabasePlace]


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterSetup:
    """The setup of the writers: a namespace, and its services' addresses by their names.

    ``run`` is part of every write's seal, ``seed`` is the seed of random choices, ``password`` is
    that of the ledger's own database, and ``primary`` the ledger's database in the platform's own
    PostgreSQL, if it writes there.
    """

    run: str
    seed: int
    reach: Reach
    space: str
    tunnels: Tunnels
    services: Mapping[str, str]
    password: str
    primary: DatabasePlace | None = None

    @property
    def machines(self) -> tuple[str, ...]:
        return tuple(machine.name for machine in self.reach.profile.machines)

    def ways(self, first: int) -> tuple[str, ...]:
        """The machines to try, one after the other, from that one on."""
        machines = self.machines
        first %= len(machines)
        return machines[first:] + machines[:first]


class Writer(Protocol):
    """One writer, used by one thread at a time; its caller numbers the writes.

    ``name`` is its kind and its number (``postgres/0``).
    """

    name: str

    def send(self, seq: int) -> None:
        """Make one write, once: it is never tried again, under any number.

        The write is acknowledged when this returns. NeverSent means that the write was certainly
        never sent; after any other exception its outcome is unknown.
        """
        ...

    def read(self) -> Iterable[Found]:
        """All writes of its kind, by all writers, as this writer sees them; or an exception."""
        ...

    def abandon(self) -> None:
        """Unblock ``send`` or ``read``, from another thread."""
        ...

    def close(self) -> None: ...


@runtime_checkable
class Counted(Protocol):
    """A writer whose writes keep a total constant; counting does not wait for writing."""

    name: str
    due: int

    def total(self) -> int:
        """The total at one moment."""
        ...

    def stop_counting(self) -> None:
        """Unblock ``total``, from another thread."""
        ...


Makes = Callable[[WriterSetup], Sequence[Writer]]


def seal(run: str, who: str, seq: int) -> str:
    """A checksum in each write, which detects changed writes and writes of another run."""
    return hashlib.sha256(f"{run} {who} {seq}".encode()).hexdigest()[:_SEAL]


def unsealed(run: str, who: str, seq: int, found: str) -> Iterator[Found]:
    """The write that was found, if its seal is right; nothing for a partial write.

    A write with another seal is returned as an unexpected one.
    """
    right = seal(run, who, seq)
    if found == right:
        yield who, seq
    elif not right.startswith(found):
        yield f"{who} with the seal {found!r}", seq
