"""Claims of the declared StorageClass: created, written and read by every machine, and deleted.

Writes are keyed by machine; reads by "A → B": B read A's data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Generic, TypeAlias, TypeVar

from pydantic import Field, Tag
from typing_extensions import TypeForm

from harness.core.errors import Garbled
from harness.facts.schema import Fact, Item, Known, Unknown, by_key, null, read

T = TypeVar("T")
W = TypeVar("W")
R = TypeVar("R")

# The reason for a look that is missing in the observation.
_UNSEEN = Unknown("it was not looked at")


@dataclass(frozen=True, slots=True)
class WriteRefused:
    """The file system's error when it refused an operation."""

    refused: str


# What a pod said: {"value": …}, {"refused": …}, or {"error": why it is not known}.
Answer: TypeAlias = Annotated[
    Annotated[Known[T], Tag("<>")]
    | Annotated[WriteRefused, Tag("<refused>")]
    | Annotated[Unknown, Tag("<error>")],
    by_key("refused", "error"),
]


def answer_of(kind: TypeForm[T], said: object) -> Answer[T]:
    """A pod's answer, with the value as its type; Unknown if it is something else."""
    try:
        answer = read(_ANSWER, said)
        if isinstance(answer, Known):
            return Known(read(kind, answer.value))
    except Garbled as error:
        return Unknown(f"the answer is garbled: {error}")
    return answer


_ANSWER: TypeForm[Answer[object]] = Answer[object]


# --- claims and their class ---


@dataclass(frozen=True, slots=True)
class StorageClass:
    """``parameters`` are those that say where the data of its volumes goes."""

    provisioner: str
    reclaim_policy: str
    expands: bool
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Bound:
    """A claim that was bound; ``modes`` are its volume's access modes, None: it has none."""

    after_s: float
    volume: str | None = None
    modes: tuple[str, ...] | None = field(default_factory=null)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A claim that was not bound in time, and what the cluster said of it."""

    said: str
    waited_s: float
    modes: tuple[str, ...] | None = field(default_factory=null)


@dataclass(frozen=True, slots=True)
class Unasked:
    """A claim that could not be created."""

    error: str
    modes: tuple[str, ...] | None = field(default_factory=null)


Claim: TypeAlias = Annotated[
    Annotated[Bound, Tag("<>")]
    | Annotated[Waiting, Tag("<said>")]
    | Annotated[Unasked, Tag("<error>")],
    by_key("error", "said"),
]


# --- what machines write and read ---

# How many blocks, files or lines a machine wrote, under that key.
Wrote: TypeAlias = dict[str, int]


@dataclass(frozen=True, slots=True)
class Churned:
    """What a machine overwrote repeatedly; ``told``: it wrote until it was told to stop.

    ``generations`` are those of its blocks: 0 for one that was never written.
    """

    generations: tuple[int, ...]
    writes: int
    slowest_s: float
    told: bool


@dataclass(frozen=True, slots=True)
class Size:
    bytes: int


@dataclass(frozen=True, slots=True)
class Compared:
    """How many blocks or files are as written, and the first of the others."""

    right: int
    wrong: int
    first: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines that are there once and whole, lost or duplicate lines, and torn ones."""

    right: int
    torn: int
    lost: int
    twice: int
    first: tuple[str, ...]


@dataclass(frozen=True)
class Exchange(Generic[W, R]):
    """What each machine wrote, and what the others read of it."""

    written: Mapping[str, Answer[W]] = field(default_factory=dict)
    read: Mapping[str, Answer[R]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Made:
    """What a reader must see; ``list_refused`` is why there is no access list, or empty."""

    list_refused: str
    wanted: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Metadata:
    made: Mapping[str, Answer[Made]] = field(default_factory=dict)
    seen: Mapping[str, Answer[dict[str, str]]] = field(default_factory=dict)


# --- quota, growth, deletion ---


@dataclass(frozen=True, slots=True)
class Filled:
    """How a file grew until it was refused; ``quota`` is in bytes, or why there is none."""

    quota: int | str
    bytes: int
    ended: str
    took_s: float


@dataclass(frozen=True, slots=True)
class Full:
    """A claim of ``size`` bytes that two machines filled, one after the other."""

    size: int = 0
    first: Answer[Filled] = _UNSEEN
    second: Answer[Filled] = _UNSEEN


@dataclass(frozen=True, slots=True)
class NotTried:
    """It was not tried."""


@dataclass(frozen=True, slots=True)
class Grown:
    """A claim that grew to ``size`` bytes and was filled again."""

    size: int
    after_s: float
    filled: Answer[Filled]


@dataclass(frozen=True, slots=True)
class NotGrown:
    """A claim that did not grow in time, and what the cluster said of it."""

    size: int
    said: str
    waited_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowthUnknown:
    """Why it is not known whether the claim grew."""

    size: int | None = None
    error: str


Growth: TypeAlias = Annotated[
    Annotated[NotTried, Tag("<>")]
    | Annotated[Grown, Tag("<filled>")]
    | Annotated[NotGrown, Tag("<said>")]
    | Annotated[GrowthUnknown, Tag("<error>")],
    by_key("error", "said", "filled"),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenBack:
    """The volume of a deleted claim is gone; all numbers except times are bytes in Ceph's pool.

    ``kept`` is the volume's first state, if the class is declared to keep it.
    """

    filled: int
    before: int
    full: int
    kept: str | None = None
    gone_after_s: float
    after: int
    given_back_after_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """The volume of a deleted claim is ``left``, in this state."""

    filled: int = 0
    before: int | None = None
    full: int | None = None
    kept: str | None = None
    left: str
    waited_s: float


Deletion: TypeAlias = Annotated[
    Annotated[NotTried, Tag("<>")]
    | Annotated[GivenBack, Tag("<given_back_after_s>")]
    | Annotated[Left, Tag("<left>")]
    | Annotated[Unknown, Tag("<error>")],
    by_key("error", "left", "given_back_after_s"),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """All results of the claims, in the order of the phases."""

    seed: int | None = None
    storage_class: Annotated[Item[StorageClass | None], Field(validation_alias="class")] = _UNSEEN
    bound: Mapping[str, Claim] = field(default_factory=dict)
    full: Full = field(default_factory=Full)
    grown: Growth = field(default_factory=NotTried)
    data: Mapping[str, Exchange[Wrote, Compared]] = field(default_factory=dict)  # by round
    metadata: Metadata = field(default_factory=Metadata)
    small: Exchange[Wrote, Compared] = field(default_factory=Exchange[Wrote, Compared])
    lines: Exchange[Wrote, Lines] = field(default_factory=Exchange[Wrote, Lines])
    deleted: Deletion = field(default_factory=NotTried)


CLAIMS = Fact("claims", Claims)
# What a drill's run records about the writes to claims during it.
MEANWHILE: TypeForm[Exchange[Churned, Compared]] = Exchange[Churned, Compared]
