"""The names of a new customer, and those that answers gave, filled in into texts.

``{customer}`` in a text is a name; ``{instance:8}`` are its first eight characters, and
``{instance:hex}`` is it without its dashes, and ``{instance:hex16}`` the first sixteen of these.
"""

from __future__ import annotations

import glob
import json
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:  # the load generator's process has no use for pydantic
    from pydantic import JsonValue

# The JSON of an answer, alone; nothing if it is no JSON.
Document: TypeAlias = "tuple[JsonValue, ...]"
PLACE = re.compile(r"\{([a-z][a-z0-9_]*)(?::(8|hex|hex16))?\}")
# Every new customer has these.
GIVEN = frozenset({"customer", "number", "password"})
# Odoo's master password, and most others, must have each kind of character.
_EVERY_KIND = "-aA1"
_SECRET = re.compile("(?i)(token|secret|password|cookie)$")


class Names:
    """The names that texts of a journey are filled in with; by default those of a new customer."""

    def __init__(self, known: Mapping[str, JsonValue] | None = None) -> None:
        self._known: dict[str, JsonValue] = dict(_new_customer() if known is None else known)

    @property
    def recorded(self) -> dict[str, JsonValue]:
        """What a record may hold of them: no secret."""
        return {name: it for name, it in self._known.items() if not is_secret(name)}

    @property
    def customer(self) -> str:
        return str(self._known["customer"])

    @property
    def password(self) -> str:
        return str(self._known["password"])

    def copy(self) -> Names:
        """The same names, for another platform's answers."""
        return Names(self._known)

    def keep(self, name: str, value: JsonValue) -> None:
        """Know a value by this name from now on."""
        self._known[name] = value

    def knows(self, names: Iterable[str]) -> bool:
        """True if each of these names is known."""
        return self._known.keys() >= set(names)

    def fill(self, value: JsonValue) -> JsonValue:
        """The value with each name in its texts filled in; KeyError for an unknown name.

        A text that is a name alone becomes what is known by it: a number stays a number.
        """
        if isinstance(value, str):
            alone = PLACE.fullmatch(value)
            if alone is not None and alone[2] is None:
                return self._known[alone[1]]
            return PLACE.sub(self._text, value)
        if isinstance(value, dict):
            return {key: self.fill(it) for key, it in value.items()}
        if isinstance(value, list):
            return [self.fill(it) for it in value]
        return value

    def text(self, value: str) -> str:
        """The text with each name filled in; KeyError for an unknown name."""
        return PLACE.sub(self._text, value)

    def pattern(self, value: str) -> str:
        """The pattern (fnmatch) with each name filled in; an unknown one stands for anything."""

        def part(found: re.Match[str]) -> str:
            return glob.escape(self._text(found)) if found[1] in self._known else "*"

        return PLACE.sub(part, value)

    def _text(self, found: re.Match[str]) -> str:
        text = str(self._known[found[1]])
        short = {"8": text[:8], "hex": text.replace("-", ""), "hex16": text.replace("-", "")[:16]}
        return short.get(found[2], text)


def _new_customer() -> Mapping[str, JsonValue]:
    number = secrets.token_hex(4)
    return {
        "customer": f"cutover-{number}",
        "number": number,
        "password": secrets.token_urlsafe(18) + _EVERY_KIND,
    }


def names_in(value: object) -> Iterator[str]:
    """The names in the texts of a value."""
    if isinstance(value, str):
        yield from (found[1] for found in PLACE.finditer(value))
    elif isinstance(value, Mapping):
        yield from names_in(list(value.values()))
    elif isinstance(value, Sequence):
        for it in value:
            yield from names_in(it)


def is_secret(name: str) -> bool:
    """True if what has this name is a secret: access_token, /data/password."""
    return _SECRET.search(name) is not None


def pointed(document: JsonValue, pointer: str) -> JsonValue:
    """What a JSON pointer (RFC 6901) leads to; LookupError if that is nothing."""
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(document, Mapping):
            document = document[key]
        elif isinstance(document, list) and re.fullmatch("0|[1-9][0-9]*", key):
            document = document[int(key)]
        else:
            raise LookupError(pointer)
    return document


def document_of(body: bytes) -> Document:
    """The JSON of an answer."""
    try:
        return (json.loads(body),)
    except (ValueError, RecursionError):
        return ()


def found_at(document: Document, pointer: str) -> Document:
    """What the pointer leads to, alone; nothing if there is nothing."""
    try:
        return tuple(pointed(it, pointer) for it in document)
    except LookupError:
        return ()


def kept(document: Document, keep: Mapping[str, str]) -> dict[str, JsonValue]:
    """What an answer gives of the names to keep, each by its JSON pointer."""
    found = {name: found_at(document, pointer) for name, pointer in keep.items()}
    return {name: it[0] for name, it in found.items() if it and _is_name(it[0])}


def _is_name(value: JsonValue) -> bool:
    """True if the value can stand for what was made: JSON-RPC answers false where it has none."""
    return value not in (None, "") and value is not False
