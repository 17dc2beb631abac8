"""What Kubernetes uses to place pods again; bytes are bytes of memory.

Selectors, taints and tolerations have the names of the Kubernetes API.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.facts.schema import Fact


@dataclass(frozen=True, slots=True)
class Expression:
    key: str
    operator: str  # In, NotIn, Exists, DoesNotExist, Gt, Lt
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Term:
    matchExpressions: tuple[Expression, ...] = ()
    matchFields: tuple[Expression, ...] = ()


@dataclass(frozen=True, slots=True)
class Affinity:
    """A required node affinity: one of its terms must be met."""

    nodeSelectorTerms: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Taint:
    key: str
    effect: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class Toleration:
    """An empty key or effect stands for every one."""

    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""


@dataclass(frozen=True, slots=True)
class Node:
    """``bytes`` are what pods may request there; ``takes_pods``: it is ready and not cordoned."""

    bytes: int
    labels: Mapping[str, str]
    taints: tuple[Taint, ...]
    takes_pods: bool


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod that is not done: its request, and what binds it and its volumes to machines."""

    name: str
    node: str  # empty while it waits for a place
    bytes: int
    owner: str  # the kind of its controller; empty without one
    selector: Mapping[str, str]
    affinities: tuple[Affinity, ...]
    tolerations: tuple[Toleration, ...]
    images: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NotUnderstood:
    """The objects that are not understood, by name, and why."""

    nodes: Mapping[str, str] = field(default_factory=dict)
    pods: Mapping[str, str] = field(default_factory=dict)
    volumes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Placement:
    nodes: Mapping[str, Node]
    pods: tuple[Pod, ...]
    odd: NotUnderstood = field(default_factory=NotUnderstood)


SCHEDULING = Fact("scheduling", Placement)
