"""A customer's way through the platform: what was asked, what came of it, and what stayed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from harness.facts.schema import Fact, Item, OrUnknown


class Act(StrEnum):
    """What a step of a journey does."""

    SIGN_UP = "sign up"
    SUBSCRIBE = "subscribe"
    CREATE_SERVER = "create a database server"
    CREATE = "create"
    USE = "use"
    CHANGE = "change"
    START = "start"
    STOP = "stop"
    BACK_UP = "back up"
    RESTORE = "restore"
    MOVE = "move"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a step, command in a pod, or visit of a page, and its last answer.

    ``status`` is None if no answer came, and for a command or a visit. ``took_s`` is from the first
    time that it was sent to the last answer. Texts are cut.
    """

    asked: str
    sent: str
    status: int | None
    answer: str
    took_s: float


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim of a new workload. Sizes are in bytes.

    ``room_bytes`` is how large a pod sees the file system: with a quota, the quota's size.
    """

    requested_bytes: int
    access_modes: tuple[str, ...]
    storage_class: str
    phase: str
    volume: str
    volume_phase: str
    room_bytes: Item[int]


@dataclass(frozen=True, slots=True)
class Made:
    """What is in the cluster since a step, and was not before the journey.

    ``workloads`` are those of the declared name; the rest is of the only one of them. ``services``
    select its pods, ``hosts`` are those of Ingresses that lead to one of these, and ``host`` is the
    one that must be among them.
    """

    workloads: tuple[str, ...]
    host: str | None = None
    wanted: int = 0
    ready: int = 0
    services: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    claims: Mapping[str, Item[Claim]] | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """A step that ended well; ``made`` is what the cluster shows then, if that is declared."""

    does: Act
    took_s: float
    requests: tuple[Request, ...]
    made: OrUnknown[Made] | None = None


@dataclass(frozen=True, slots=True)
class Stopped:
    """The step at which a journey ended early, why, and its requests up to then.

    ``at_fault``: the platform misbehaved; otherwise it could not be judged.
    """

    does: Act
    says: str
    at_fault: bool
    requests: tuple[Request, ...] = ()


@dataclass(frozen=True, slots=True)
class Shown:
    """What the frontend's pages were to a customer in a browser.

    ``visits`` ended with the expected words; ``troubles`` are errors of scripts and of the console,
    and requests that failed.
    """

    browser: str
    visits: int
    troubles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Walk:
    """A journey as far as it came.

    ``shown``: its pages in a browser; None if it visited none.
    ``leftovers``: what was there after the deletion and not before the journey; None if nothing was
    deleted. ``left``: the same after the harness removed what the journey made. ``kept_volumes``:
    the volumes that the platform kept as declared, which the harness removes.
    """

    customer: str
    steps: tuple[Step, ...]
    stopped: Stopped | None
    leftovers: Item[tuple[str, ...]] | None
    left: Item[tuple[str, ...]]
    shown: Shown | None = None
    kept_volumes: tuple[str, ...] = ()


# By the name of the journey.
JOURNEYS: Mapping[str, Fact[Walk]] = {
    name: Fact(f"journey-{name}", Walk) for name in ("instance", "database", "customer", "browser")
}
