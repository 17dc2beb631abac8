"""The cluster's node list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.facts.schema import Fact, OrUnknown


@dataclass(frozen=True, slots=True)
class Node:
    """One node; ``taints`` are as kubectl writes them, ``conditions`` by type."""

    addresses: tuple[str, ...]  # of type InternalIP, in their usual form
    roles: tuple[str, ...]
    version: str  # of the kubelet
    conditions: Mapping[str, str]
    taints: tuple[str, ...]


NODES = Fact("nodes", dict[str, OrUnknown[Node]])  # by name
