"""The platform's PostgreSQL: its settings, the pods that it runs in, its answers by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.facts.schema import Fact, Item, OrUnknown, Unknown

_NOT_ASKED = Unknown("it was not asked for")


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting's value, and what gave it: a file, or the role or database of the session."""

    setting: str
    source: str


@dataclass(frozen=True, slots=True)
class Override:
    """A setting (``name=value``) of a role, of a database, or of both; empty stands for every."""

    role: str
    database: str
    setting: str


@dataclass(frozen=True, slots=True)
class Instance:
    """One PostgreSQL, as it answered; the primary is not in recovery.

    ``declared`` are the settings that the profile declares, as SHOW writes them. ``system`` is the
    identifier that a PostgreSQL shares with its standbys alone. ``folders`` hold its data.
    """

    in_recovery: bool
    settings: Mapping[str, Setting]
    overrides: tuple[Override, ...]
    declared: Mapping[str, Setting] = field(default_factory=dict)
    system: str = ""
    folders: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Folder:
    """Where a folder of data is: a kind of volume (empty: none), and its claim if it is one.

    ``others`` are further pods that mount the claim.
    """

    volume: str
    claim: str = ""
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod of PostgreSQL: its owner (KIND/NAME), its container's limits, its folders of data."""

    ready: bool
    owner: str
    limits: Mapping[str, str]
    folders: Item[Mapping[str, Folder]]


@dataclass(frozen=True, slots=True)
class Workload:
    """A StatefulSet, or an operator's cluster: the pods that it wants, and those that are ready."""

    wanted: int
    ready: int


@dataclass(frozen=True, slots=True)
class Running:
    """The pods of PostgreSQL, by name, and what runs them, by KIND/NAME."""

    pods: Mapping[str, Pod]
    workloads: Mapping[str, OrUnknown[Workload]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What psql said in a pod: its exit status, its errors, the identifier of who answered."""

    status: int
    says: str
    system: str


@dataclass(frozen=True, slots=True)
class Postgres:
    """The answers of all instances, by pod, and the operator's own settings (None: no operator).

    ``answers`` are by database.
    """

    instances: Mapping[str, OrUnknown[Instance]]
    operator: Item[Mapping[str, str] | None]
    running: Item[Running] = _NOT_ASKED
    answers: Item[Mapping[str, OrUnknown[Answer]]] = _NOT_ASKED


POSTGRES = Fact("postgres", Postgres)
