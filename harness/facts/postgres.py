"""The settings of the platform's PostgreSQL that decide who must have a write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.facts.schema import Fact, Item, OrUnknown


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
    """One PostgreSQL, as it answered; the primary is not in recovery."""

    in_recovery: bool
    settings: Mapping[str, Setting]
    overrides: tuple[Override, ...]


@dataclass(frozen=True, slots=True)
class Postgres:
    """The answers of all instances, by pod, and the operator's own settings (None: no operator)."""

    instances: Mapping[str, OrUnknown[Instance]]
    operator: Item[Mapping[str, str] | None]


POSTGRES = Fact("postgres", Postgres)
