"""What the probe ``rook`` saw, item by item, and what of it could not be understood."""

from __future__ import annotations

from typing import Any

from harness.checks.findings import Facts, Seen, looks, unknown, untyped
from harness.model import Case, RookDeclared

_ROOK = "rook"


def declared_rook(case: Case) -> RookDeclared:
    """What the profile declares of Rook; AssertionError, hence NOT PROVEN, without it."""
    declared = case.cluster.rook
    assert declared is not None, "the requirement needs Rook"
    return declared


def item(case: Case, name: str) -> Facts:
    """One item of what the probe saw, by the item's name."""
    whole = looks(case, untyped(_ROOK), [case.cluster.name])
    values: dict[str, Any] = {}
    unseen = list(whole.unseen)
    for items in whole.values.values():
        found = items.get(name, {"error": "the probe did not look"})
        if "value" in found:
            values[name] = found["value"]
        else:
            unseen.append(unknown(name, found["error"]))
        unseen += [unknown(it, why) for it, why in found.get("odd", {}).items()]
    return Seen(values, tuple(unseen))


def odd(case: Case, name: str) -> frozenset[str]:
    """The objects of an item that the probe could not understand: they are there nevertheless."""
    whole = looks(case, untyped(_ROOK), [case.cluster.name])
    return frozenset(it for items in whole.values.values() for it in items[name].get("odd", ()))


def looked_at(case: Case) -> float:
    """When the probe looked, in UTC seconds."""
    return case.of(_ROOK)[case.cluster.name].at
