"""Reading Kubernetes objects that may be odd: what is missing or null, and what is of another type.

The API leaves out what is empty, or says null. A field of another type than the API gives it is
``Odd``; ``described`` makes that a word about the one object, and goes on with the others. Sizes
and amounts are read as the API writes them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from harness.errors import TransportError


class Odd(TransportError):
    """A field of an object is not what the API says that it is."""


@dataclass(frozen=True, slots=True)
class Described:
    """What was made of several objects, and of which nothing could be made (by name), and why."""

    values: Any = None
    odd: Mapping[str, str] = field(default_factory=dict)


def described(items: Any, describe: Callable[[Mapping[str, Any]], Any]) -> Described:
    """Each object of a list (``{"items": [...]}``) by its name, "namespace/name" where it has one.

    Raises Odd when there is no list.
    """
    values: dict[str, Any] = {}
    odd: dict[str, str] = {}
    for number, item in enumerate(listed(items, "items")):
        name = name_of(item) or f"object {number}"
        try:
            if name_of(item) is None:
                raise Odd("it has no name")
            values[name] = describe(item)
        except Odd as error:
            odd[name] = f"not understood: {error}"
    return Described(values, odd)


def name_of(item: Any) -> str | None:
    """An object's "namespace/name", or its name alone; None when it has none."""
    metadata = item.get("metadata") if isinstance(item, Mapping) else None
    if not isinstance(metadata, Mapping) or not isinstance(metadata.get("name"), str):
        return None
    space = metadata.get("namespace")
    return f"{space}/{metadata['name']}" if isinstance(space, str) else str(metadata["name"])


def part(item: Any, *keys: str) -> Mapping[str, Any]:
    """The mapping below these keys; empty when it is missing or null."""
    return _of_type(_below(item, keys), Mapping, keys) or {}


def listed(item: Any, *keys: str) -> Sequence[Any]:
    """The list below these keys; empty when it is missing or null."""
    return _of_type(_below(item, keys), list, keys) or []


def texts(item: Any, *keys: str) -> dict[str, str]:
    """The mapping of texts below these keys, such as labels; empty when there is none."""
    found = part(item, *keys)
    return {str(key): str(_of_type(it, str, (*keys, str(key))) or "") for key, it in found.items()}


def text(item: Any, *keys: str) -> str | None:
    found = _of_type(_below(item, keys), str, keys)
    return None if found is None else str(found)


def must(item: Any, *keys: str) -> str:
    """The text below these keys; Odd when it is missing."""
    found = text(item, *keys)
    if found is None:
        raise Odd(f"it has no {'.'.join(keys)}")
    return found


def count(item: Any, *keys: str, default: int = 0) -> int:
    found = _of_type(_below(item, keys), int, keys)
    return default if found is None else int(found)


def flag(item: Any, *keys: str) -> bool:
    return bool(_of_type(_below(item, keys), bool, keys))


def epoch(item: Any, *keys: str) -> float | None:
    """A time below these keys, in UTC seconds."""
    stamp = text(item, *keys)
    try:
        return datetime.fromisoformat(stamp).timestamp() if stamp else None
    except ValueError as error:
        raise Odd(f"{'.'.join(keys)} is no time: {stamp}") from error


def quantity(size: str) -> int:
    """Bytes of a size as the API writes it, ``64Mi`` or ``1G``; Odd for what is none."""
    try:
        return size_bytes(size)
    except TransportError as error:
        raise Odd(str(error)) from error


def _below(item: Any, keys: Iterable[str]) -> Any:
    passed: list[str] = []
    for key in keys:
        if item is None:
            return None
        if not isinstance(item, Mapping):
            raise Odd(f"{'.'.join(passed) or 'it'} is of type {type(item).__name__}")
        item = item.get(key)
        passed.append(key)
    return item


def _of_type(found: Any, kind: type, keys: Sequence[str]) -> Any:
    wrong = found is not None and not isinstance(found, kind)
    # A truth value is an integer to Python alone.
    if wrong or (kind is int and isinstance(found, bool)):
        raise Odd(f"{'.'.join(keys) or 'it'} is of type {type(found).__name__}")
    return found


def size_bytes(text: str) -> int:
    """Bytes of a Kubernetes quantity: ``64Mi``, ``1G``, ``128974848000m``, ``1e9``.

    A part of a byte counts as a whole one, as in Kubernetes itself. TransportError for a text that
    is no quantity, or for less than nothing.
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
