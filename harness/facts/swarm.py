"""The old platform as each machine's Docker knows it: ``swarm_script`` asks there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, TypeAlias

from pydantic import PlainValidator, Tag
from typing_extensions import TypeForm

from harness.core.errors import Garbled
from harness.facts.schema import Fact, Item, Known, OrUnknown, Unknown, by_key, read


@dataclass(frozen=True, slots=True)
class Own:
    """A machine as a node of the Swarm, by its own Docker; ``why`` it is not active."""

    id: str
    state: str
    manager: bool
    why: str


@dataclass(frozen=True, slots=True)
class Silent:
    """No Docker answers on the machine, and why."""

    silent: str


Docker: TypeAlias = Annotated[
    Annotated[Known[Own], Tag("<>")] | Annotated[Silent, Tag("<silent>")], by_key("silent")
]


@dataclass(frozen=True, slots=True)
class Odd:
    """A node or a service that is not understood, and the part of Docker's answer."""

    name: str
    odd: str


def _or_odd(kind: TypeForm[object]) -> PlainValidator:
    """Reads one of several objects: one of another form is Odd, and the others are still read."""

    def understand(found: object) -> object:
        is_odd = isinstance(found, Mapping) and "odd" in found
        try:
            return read(Odd if is_odd else kind, found)
        except Garbled as error:
            name = found.get("name") if isinstance(found, Mapping) else None
            return Odd(name if isinstance(name, str) else "?", str(error))

    return PlainValidator(understand)


@dataclass(frozen=True, slots=True)
class Node:
    """A node as a manager lists it; ``reachability`` is empty for a worker."""

    id: str
    name: str
    state: str
    why: str
    availability: str
    manager: bool
    reachability: str
    leader: bool


@dataclass(frozen=True, slots=True)
class Task:
    """``task`` is its number in its service, or its node's name; ``age_s``: age of its state."""

    task: str
    node: str
    state: str
    why: str
    age_s: float


@dataclass(frozen=True, slots=True)
class Update:
    """A service's last update; ``age_s`` is None if Docker does not say when it began."""

    state: str
    why: str
    age_s: float | None


@dataclass(frozen=True, slots=True)
class Service:
    """A service, not a job that ends, and the nodes of its tasks (one name a task).

    ``unheard`` are the nodes of tasks that ran when their node was last heard of. ``others`` are
    the tasks that do not run, ``failed`` the recent failures soon after a start without a longer
    run since, and ``ended`` all failed tasks of the container that is wanted now.
    """

    name: str
    mode: str  # "replicated" or "global"
    replicas: int
    running: tuple[str, ...]
    unheard: tuple[str, ...]
    others: tuple[Task, ...]
    failed: tuple[Task, ...]
    ended: tuple[Task, ...]
    ports: tuple[int, ...]
    update: Update | None
    places: tuple[str, ...] | None  # nodes that may run it; None: a constraint is not understood
    hosts: tuple[str, ...]  # of its Traefik labels


NodeOrOdd: TypeAlias = Annotated[Node | Odd, _or_odd(Node)]
ServiceOrOdd: TypeAlias = Annotated[Service | Odd, _or_odd(Service)]


@dataclass(frozen=True, slots=True)
class Swarm:
    """What a manager knows: each manager tells what the leader knows."""

    nodes: tuple[NodeOrOdd, ...]
    services: tuple[ServiceOrOdd, ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """A service's answer by HTTP; ``said``: the declared words are in it."""

    status: int
    said: bool
    location: str
    took_s: float


@dataclass(frozen=True, slots=True)
class Unasked:
    """Why a service was not asked."""

    unasked: str


Answer: TypeAlias = Annotated[
    Annotated[Known[Reply], Tag("<>")]
    | Annotated[Unknown, Tag("<error>")]
    | Annotated[Unasked, Tag("<unasked>")],
    by_key("error", "unasked"),
]


@dataclass(frozen=True, slots=True)
class Machine:
    """The report of one machine; ``swarm`` and ``instances`` are None if it is no manager."""

    docker: Docker
    swarm: Item[Swarm] | None
    answers: Mapping[str, Answer]  # by place
    instances: Mapping[str, Mapping[str, Answer]] | None = None  # by service and host


SWARM = Fact("swarm", Machine)
REPORT = OrUnknown[Machine]  # an error: Docker may not be asked
