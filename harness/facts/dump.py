"""A database that was dumped and restored on the new server: its steps, and what they left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from harness.facts.databases import Database
from harness.facts.schema import Fact, OrUnknown


class Step(StrEnum):
    """The steps of the move, in their order."""

    DUMP = "dumping the database"
    RESTORE = "restoring the dump"
    COMPARE = "comparing both databases"


@dataclass(frozen=True, slots=True)
class Stopped:
    """The step at which the move ended early, and why.

    ``at_fault``: the step failed; otherwise it could not be judged.
    """

    step: Step
    says: str
    at_fault: bool


@dataclass(frozen=True, slots=True)
class Dumped:
    """How long each step took (s), the dump's bytes, both databases compared, and what is left."""

    database: str
    took_s: Mapping[str, float]
    bytes: int | None
    compared: OrUnknown[Database] | None
    stopped: Stopped | None
    left: tuple[str, ...]


DUMP = Fact("dump", Dumped)
