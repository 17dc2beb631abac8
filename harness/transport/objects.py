"""Reads Kubernetes objects with missing, null or mistyped fields.

The API leaves out empty fields, or writes null. A field of a wrong type is ``Odd``; ``described``
notes that for the one object, and goes on with the others. Sizes and amounts are read as the API
writes them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Generic, TypeVar

from harness.core.errors import Garbled, TransportError
from harness.facts.schema import Unknown

S = TypeVar("S", covariant=True)
T = TypeVar("T")
Object = Mapping[str, object]


class Odd(Garbled):
    """A field of an object does not have the type that the API documents."""


@dataclass(frozen=True)
class Described(Generic[S]):
    """The objects that were read, and those that were not understood (by name), and why."""

    values: S
    odd: Mapping[str, str] = field(default_factory=dict)


def described(items: object, describe: Callable[[Object], T]) -> Described[dict[str, T]]:
    """Each object of a list (``{"items": [...]}``) by its name, "namespace/name" where it has one.

    Raises Odd when there is no list.
    """
    values: dict[str, T] = {}
    odd: dict[str, str] = {}
    for number, item in enumerate(listed(items, "items")):
        name = name_of(item)
        try:
            if name is None:
                raise Odd("it has no name")
            values[name] = describe(part(item))
        except Odd as error:
            odd[name or f"object {number}"] = f"not understood: {error}"
    return Described(values, odd)


def each(items: object, describe: Callable[[Object], T]) -> dict[str, T | Unknown]:
    """Each object of a list by its name; one that cannot be read is Unknown."""
    found = described(items, describe)
    return {**found.values, **{name: Unknown(why) for name, why in found.odd.items()}}


def name_of(item: object) -> str | None:
    """An object's "namespace/name", or its name alone; None when it has none."""
    metadata = item.get("metadata") if isinstance(item, Mapping) else None
    if not isinstance(metadata, Mapping) or not isinstance(metadata.get("name"), str):
        return None
    space = metadata.get("namespace")
    return f"{space}/{metadata['name']}" if isinstance(space, str) else str(metadata["name"])


def part(item: object, *keys: str) -> Object:
    """The mapping below these keys; empty when it is missing or null."""
    return _below(item, keys, dict) or {}


def listed(item: object, *keys: str) -> Sequence[object]:
    """The list below these keys; empty when it is missing or null."""
    return _below(item, keys, list) or []


def texts(item: object, *keys: str) -> dict[str, str]:
    """The mapping of texts below these keys, such as labels; empty when there is none."""
    found = part(item, *keys)
    return {str(key): _of_type(it, str, (*keys, str(key))) or "" for key, it in found.items()}


def words(item: object, *keys: str) -> list[str]:
    """The list of texts below these keys; empty when it is missing or null."""
    return [must({keys[-1]: it}, keys[-1]) for it in listed(item, *keys)]


def text(item: object, *keys: str) -> str | None:
    return _below(item, keys, str)


def must(item: object, *keys: str) -> str:
    """The text below these keys; Odd when it is missing."""
    found = text(item, *keys)
    if found is None:
        raise Odd(f"it has no {'.'.join(keys)}")
    return found


def count(item: object, *keys: str, default: int = 0) -> int:
    found = _below(item, keys, int)
    return default if found is None else found


def must_count(item: object, *keys: str) -> int:
    """The number below these keys; Odd when it is missing."""
    found = _below(item, keys, int)
    if found is None:
        raise Odd(f"it has no {'.'.join(keys)}")
    return found


def flag(item: object, *keys: str) -> bool:
    return bool(_below(item, keys, bool))


def epoch(item: object, *keys: str) -> float | None:
    """A time below these keys, in UTC seconds."""
    stamp = text(item, *keys)
    try:
        return datetime.fromisoformat(stamp).timestamp() if stamp else None
    except ValueError as error:
        raise Odd(f"{'.'.join(keys)} is no time: {stamp}") from error


def is_ready(status: object) -> bool:
    """Whether a pod of this status is ready and has an address."""
    told = {text(it, "type"): text(it, "status") for it in listed(status, "conditions")}
    return told.get("Ready") == "True" and bool(text(status, "podIP"))


def has_account_token(spec: Object) -> bool:
    """Whether a pod of this specification has a token of its service account for the API.

    ``automountServiceAccountToken`` is true if it is missing. A pod without that may still have a
    projected volume with the token; one with an audience of its own is for another server.
    """
    sources = (
        part(source, "serviceAccountToken")
        for volume in listed(spec, "volumes")
        for source in listed(volume, "projected", "sources")
        if "serviceAccountToken" in part(source)
    )
    mounts = spec.get("automountServiceAccountToken") is not False
    return mounts or any(text(it, "audience") is None for it in sources)


def quantity(size: str) -> int:
    """Bytes of a size as the API writes it, ``64Mi`` or ``1G``; Odd for any other text."""
    try:
        return size_bytes(size)
    except TransportError as error:
        raise Odd(str(error)) from error


_OPERATORS: Mapping[str, Callable[[str | None, Sequence[str]], bool]] = {
    "In": lambda value, values: value is not None and value in values,
    "NotIn": lambda value, values: value not in values,
    "Exists": lambda value, _: value is not None,
    "DoesNotExist": lambda value, _: value is None,
}


def matches(selector: Object | None, labels: Mapping[str, str]) -> bool:
    """True if a LabelSelector matches these labels. An empty one matches all, None matches none.

    Odd for an operator that the API does not know.
    """
    if selector is None:
        return False
    met = [labels.get(key) == value for key, value in texts(selector, "matchLabels").items()]
    for it in listed(selector, "matchExpressions"):
        operator = must(it, "operator")
        if operator not in _OPERATORS:
            raise Odd(f"the operator {operator} of its selector is not known")
        met.append(_OPERATORS[operator](labels.get(must(it, "key")), words(it, "values")))
    return all(met)


def follows_primary(selector: Object | None) -> bool:
    """True for the selector of the budget of CloudNativePG's primary, which allows no eviction.

    The operator moves the primary away from a cordoned node, and its old pod may go then.
    """
    return part(selector, "matchLabels").get("cnpg.io/instanceRole") == "primary"


def _below(item: object, keys: Sequence[str], kind: type[T]) -> T | None:
    passed: list[str] = []
    for key in keys:
        if item is None:
            return None
        if not isinstance(item, Mapping):
            raise Odd(f"{'.'.join(passed) or 'it'} is of type {type(item).__name__}")
        item = item.get(key)
        passed.append(key)
    return _of_type(item, kind, keys)


def _of_type(found: object, kind: type[T], keys: Iterable[str]) -> T | None:
    # Only Python takes a truth value for an integer.
    odd = isinstance(found, bool) and kind is int
    if found is None or (isinstance(found, kind) and not odd):
        return found
    raise Odd(f"{'.'.join(keys) or 'it'} is of type {type(found).__name__}")


def size_bytes(text: str) -> int:
    """Bytes of a Kubernetes quantity: ``64Mi``, ``1G``, ``128974848000m``, ``1e9``.

    A part of a byte counts as a whole one, as in Kubernetes itself. TransportError for a text that
    is no quantity, or for a negative one.
    """
    size = _as_number(text)
    if size < 0:
        raise TransportError(f"not a size: {text!r}")
    return math.ceil(size)


def amount(text: str) -> float:
    """A Kubernetes quantity as a number: ``4`` and ``3920m`` cores; TransportError for none."""
    return float(_as_number(text))


def _as_number(text: str) -> Decimal:
    # The client loads for a while; a command that asks no cluster does not wait for it.
    from kubernetes.utils.quantity import parse_quantity

    try:
        number = Decimal(parse_quantity(text))
    except (ValueError, ArithmeticError) as error:
        raise TransportError(f"not a quantity: {text!r}") from error
    if not number.is_finite():
        raise TransportError(f"not a quantity: {text!r}")
    return number
