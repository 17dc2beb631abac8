"""Expressions as PostgreSQL writes them once they have been dumped and restored.

``status in ('new', 'paid')`` of a varchar is kept as a cast of the whole array, and written so.
Read again, the cast goes to each element, and is written there from then on: the same expression
has two texts, and a restored database has the second.
"""

from __future__ import annotations

import re

_ARRAY = "(ARRAY["
# Behind the elements: the type to which the array is cast, such as character varying(20)[].
_CAST = re.compile(r"\]\)::([^()\[\]:,']+(?:\([0-9, ]+\))?)\[\]")
_OPENS, _CLOSES, _QUOTES = "([", ")]", "'\""


def as_restored(definition: str) -> str:
    """A definition in which casts of whole arrays are casts of their elements."""
    at = definition.find(_ARRAY)
    while at >= 0:
        elements, end = _elements(definition, at + len(_ARRAY))
        cast = _CAST.match(definition, end)
        if cast is not None:
            each = ", ".join(f"({it})::{cast[1]}" for it in elements)
            definition = f"{definition[:at]}ARRAY[{each}]{definition[cast.end() :]}"
        at = definition.find(_ARRAY, at + 1)
    return definition


def _elements(text: str, begin: int) -> tuple[list[str], int]:
    """The elements of an array's text, and where they end.

    A quote within a quoted text is doubled, so each of the two is seen as an end and a beginning.
    """
    found, depth, quote, at = [], 0, "", begin
    for at in range(begin, len(text)):
        it = text[at]
        if quote:
            quote = "" if it == quote else quote
        elif it in _QUOTES:
            quote = it
        elif it in _OPENS:
            depth += 1
        elif it in _CLOSES and depth:
            depth -= 1
        elif it in _CLOSES or (it == "," and not depth):
            found.append(text[begin:at].strip())
            begin = at + 1
            if it != ",":
                break
    return found, at
