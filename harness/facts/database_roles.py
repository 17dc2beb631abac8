"""What roles of a database server may do, as it answered them; a value read is never kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from harness.facts.schema import Fact, Item, OrUnknown


@dataclass(frozen=True, slots=True)
class Roles:
    """The roles of both sides, and by role each act that was tried: was it allowed?"""

    source: Item[tuple[str, ...]]
    target: Item[tuple[str, ...]]
    allowed: Mapping[str, OrUnknown[Mapping[str, Item[bool]]]]


# By the name of the pair of servers.
Pairs: TypeAlias = dict[str, OrUnknown[Roles]]

DATABASE_ROLES = Fact("database-roles", Pairs)
