"""Typed facts: what a probe saw, as frozen dataclasses on both sides of the journal.

Each module beside this one has the schema of one subject, and a ``Fact`` that ties it to its
probe's name. The probe builds the dataclasses and returns ``dump`` of them; a check gets them back
through ``read``. A field that the schema does not have is passed over, so that the journals of
other versions of the harness can be judged.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Generic, TypeAlias, TypeVar, cast

from pydantic import Discriminator, Tag, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, to_json, to_jsonable_python

from harness.errors import Garbled, HarnessError
from harness.model import JSON

T = TypeVar("T")

_EXCERPT = 80
_KNOWN, _UNKNOWN = "<known>", "<unknown>"


# Generic dataclasses have no slots: in Python 3.11, ``Known[int](1)`` fails on frozen ones that do.
@dataclass(frozen=True)
class Known(Generic[T]):
    """Something that was seen; None may be what was seen."""

    value: T


@dataclass(frozen=True, slots=True)
class Unknown:
    """Something that could not be looked at, and why."""

    error: str


def _which(found: object) -> str:
    return _UNKNOWN if isinstance(found, Mapping) and "error" in found else _KNOWN


# A dataclass, or {"error": why} in its place.
OrUnknown: TypeAlias = Annotated[
    Annotated[T, Tag(_KNOWN)] | Annotated[Unknown, Tag(_UNKNOWN)], Discriminator(_which)
]
# {"value": …} or {"error": why}.
Item: TypeAlias = OrUnknown[Known[T]]
Items: TypeAlias = dict[str, Item[object]]


@dataclass(frozen=True)
class Fact(Generic[T]):
    """What a probe reports of one target: the probe's name and the type of the value."""

    name: str
    kind: type[T]


@dataclass(frozen=True)
class Entry(Generic[T]):
    """One item of a fact that is a mapping of items, each of its own type."""

    of: Fact[Items]
    name: str
    kind: type[T]


def attempt(look: Callable[[], T]) -> Known[T] | Unknown:
    """What a look gives, or why it raised a HarnessError."""
    try:
        return Known(look())
    except HarnessError as error:
        return Unknown(str(error))


def read(kind: type[T], value: object) -> T:
    """The value, plain JSON, as its type; raises Garbled with the place of the field.

    Numbers are not made of texts, nor integers of fractions.
    """
    try:
        return cast(T, _adapter(cast(Hashable, kind)).validate_json(to_json(value), strict=True))
    except ValidationError as error:
        raise Garbled(_described(error.errors(include_url=False)[0])) from error
    except ValueError as error:
        raise Garbled(f"not JSON: {error}") from error


def dump(value: object) -> JSON:
    """A fact as the journal holds it: dataclasses become mappings, tuples lists."""
    return cast(JSON, to_jsonable_python(value))


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _described(error: ErrorDetails) -> str:
    place = ".".join(str(it) for it in error["loc"] if it not in (_KNOWN, _UNKNOWN))
    seen = to_json(error["input"], fallback=repr).decode(errors="replace")
    excerpt = seen if len(seen) <= _EXCERPT else f"{seen[:_EXCERPT]}…"
    return f"{place or 'the value'}: {error['msg']}, seen {excerpt}"
