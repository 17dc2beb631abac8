"""What a profile declares of the platform's services, in the form for checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceDeclared:
    """A service's name and port on Kubernetes, and ``was`` both under the Swarm (NAME:PORT)."""

    was: str
    name: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadDeclared:
    """A read of a service's database: a path of the service, and the answer that it must have.

    ``has`` are fields of the answer, by JSON pointer (RFC 6901), each as JSON.
    """

    path: str
    status: int
    says: str = ""
    has: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeDeclared:
    """What a step of a journey makes: ``harness.settings.journeys.MadeObjects``."""

    size_bytes: int
    access_mode: str
    storage_class: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JourneyDeclared:
    """A customer's way: what its steps do, and what some of them make, by their number.

    ``known_errors``: patterns for what pages report though they work, and the reasons.
    """

    acts: tuple[str, ...]
    makes: Mapping[int, MadeDeclared] = field(default_factory=dict)
    known_errors: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityRule:
    """What may differ between two platforms' answers: ``harness.settings.parity.Rule``."""

    at: str
    because: str
    requests: str = "*"
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleDeclared:
    """What backups of the cluster must have: ``harness.settings.storage.VeleroSchedule``."""

    name: str
    within_h: float
    claims: tuple[str, ...] = ()
