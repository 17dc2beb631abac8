"""What service accounts may do in the cluster, as the API server decides it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from harness.facts.schema import Fact, Item


@dataclass(frozen=True, slots=True)
class Account:
    """A service account: whether it exists, a pod that uses it, and whether each act is allowed.

    The key of an act is its text: ``create pods/exec in saasodoo``.
    """

    exists: bool
    pod: str  # empty if no pod uses it
    allowed: Mapping[str, Item[bool]]


# By NAMESPACE/NAME.
Accounts: TypeAlias = dict[str, Item[Account]]

ACCESS = Fact("access-reviews", Accounts)
