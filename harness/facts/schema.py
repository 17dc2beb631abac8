"""Typed facts: a probe's observations, as frozen dataclasses on both sides of the journal.

Each module beside this one has the schema of one subject, and a ``Fact`` that ties it to its
probe's name. The probe builds the dataclasses and returns ``dump`` of them; a check gets them back
through ``read``. ``read`` ignores a field that the schema does not have, so checks can judge the
journals of other versions of the harness.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Annotated, Generic, TypeAlias, TypeVar, cast, get_type_hints

from pydantic import Discriminator, Tag, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, to_json
from typing_extensions import TypeForm

from harness.core.errors import Garbled, HarnessError
from harness.core.model import JSON

S = TypeVar("S", covariant=True)
T = TypeVar("T")

_EXCERPT = 80
_TAG = re.compile("<.*>")


# Generic dataclasses have no slots: in Python 3.11, ``Known[int](1)`` fails on frozen ones that do.
@dataclass(frozen=True)
class Known(Generic[T]):
    """A value that was seen; None is a valid value."""

    value: T


@dataclass(frozen=True, slots=True)
class Unknown:
    """A value that could not be looked at, and why."""

    error: str


def by_key(*keys: str) -> Discriminator:
    """Distinguishes the members of a union by the first of these keys that a value has.

    ``Tag("<key>")`` marks the member of a key, ``Tag("<>")`` the one for values with none of them.
    """

    def tag(found: object) -> str:
        keyed = found if isinstance(found, Mapping) else ()
        return f"<{next((key for key in keys if key in keyed), '')}>"

    return Discriminator(tag)


# A dataclass, or {"error": why} in its place.
OrUnknown: TypeAlias = Annotated[
    Annotated[T, Tag("<>")] | Annotated[Unknown, Tag("<error>")], by_key("error")
]
# {"value": …} or {"error": why}.
Item: TypeAlias = OrUnknown[Known[T]]
Items: TypeAlias = dict[str, Item[object]]


@dataclass(frozen=True)
class Answered(Known[T]):
    """A result, and how long it took to come."""

    took_s: float


@dataclass(frozen=True, slots=True)
class Failed(Unknown):
    """Why no result came, and how long the probe tried."""

    took_s: float | None = None


# {"value": …, "took_s": …} or {"error": why, "took_s": …}.
Timed: TypeAlias = Annotated[
    Annotated[Answered[T], Tag("<>")] | Annotated[Failed, Tag("<error>")], by_key("error")
]


@dataclass(frozen=True)
class Fact(Generic[S]):
    """What a probe reports of one target: the probe's name and the type of the value."""

    name: str
    kind: TypeForm[S]


@dataclass(frozen=True)
class Part(Generic[S]):
    """One item of a fact that has several: its name and its type."""

    name: str
    kind: TypeForm[S]


@dataclass(frozen=True)
class Entry(Generic[S]):
    """One item of a fact that is a mapping of items, each of its own type."""

    of: Fact[Items]
    name: str
    kind: TypeForm[S]


def part_of(items: Mapping[str, Item[object]], part: Part[T]) -> Known[T] | Unknown:
    """One item as its type; Unknown if it was not looked at, or is something else."""
    found = items.get(part.name, Unknown("it was not looked at"))
    if isinstance(found, Unknown):
        return found
    try:
        return Known(read(part.kind, found.value))
    except Garbled as error:
        return Unknown(str(error))


def attempt(look: Callable[[], T]) -> Known[T] | Unknown:
    """The result of a look, or why it raised a HarnessError."""
    try:
        return Known(look())
    except HarnessError as error:
        return Unknown(str(error))


def read(kind: TypeForm[T], value: object) -> T:
    """The value, plain JSON, as its type; raises Garbled with the place of the field.

    It does not convert texts to numbers, or fractions to integers.
    """
    try:
        return cast(T, _adapter(cast(Hashable, kind)).validate_json(to_json(value), strict=True))
    except ValidationError as error:
        raise Garbled(_described(error.errors(include_url=False)[0])) from error
    except ValueError as error:
        raise Garbled(f"not JSON: {error}") from error


def null() -> None:
    """The default of a field that may be missing when it is read, and is written as null."""


def dump(value: object) -> JSON:
    """A fact as the journal holds it: dataclasses become mappings, tuples lists.

    An optional field (its default is None) is left out where it is None.
    """
    if is_dataclass(value):
        known = {it: getattr(value, it.name) for it in fields(value)}
        aliases = _aliases(cast(Hashable, type(value)))
        return {
            aliases.get(it.name, it.name): dump(found)
            for it, found in known.items()
            if found is not None or it.default is not None
        }
    if isinstance(value, Mapping):
        return {str(key): dump(found) for key, found in value.items()}
    if isinstance(value, list | tuple):
        return [dump(found) for found in value]
    return cast(JSON, value)


@cache
def _aliases(kind: type[object]) -> Mapping[str, str]:
    """The fields with another name in JSON: a Python keyword, or mixed case."""
    hints = get_type_hints(kind, include_extras=True)
    return {
        name: str(it.validation_alias)
        for name, hint in hints.items()
        for it in getattr(hint, "__metadata__", ())
        if isinstance(it, FieldInfo) and it.validation_alias
    }


@cache
def _adapter(kind: TypeForm[object]) -> TypeAdapter[object]:
    return TypeAdapter(kind)


def _described(error: ErrorDetails) -> str:
    place = ".".join(str(it) for it in error["loc"] if not _TAG.fullmatch(str(it)))
    seen = to_json(error["input"], fallback=repr).decode(errors="replace")
    excerpt = seen if len(seen) <= _EXCERPT else f"{seen[:_EXCERPT]}…"
    return f"{place or 'the value'}: {error['msg']}, seen {excerpt}"
