"""Objects with something cut off or replaced, as hypothesis draws it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import strategies as st

_ODD: list[Any] = [None, [], {}, "", "odd", 7, -1, True, [None], [7], {"odd": None}, [{}]]
_MISSING = object()


def paths(node: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where each field of an object is, however deep."""
    if isinstance(node, dict):
        children: Any = node.items()
    elif isinstance(node, list):
        children = enumerate(node)
    else:
        return
    for key, child in children:
        yield (*above, key)
        yield from paths(child, (*above, key))


def mutilate(objects: Sequence[Any], data: st.DataObject, keep: Sequence[str] = ()) -> list[Any]:
    """The objects, one of which has lost a field or has another thing there; its name is left.

    ``keep`` are fields at the top that stay as they are.
    """
    number = data.draw(st.integers(0, len(objects) - 1), label="object")
    places = [
        it
        for it in paths(objects[number])
        if it[0] not in keep and it not in (("metadata",), ("metadata", "name"))
    ]
    place = data.draw(st.sampled_from(places), label="field")
    other = data.draw(st.sampled_from([_MISSING, *_ODD]), label="becomes")
    *above, last = place
    found: Any = objects[number]
    for key in above:
        found = found[key]
    if other is _MISSING:
        del found[last]
    else:
        found[last] = other
    return list(objects)
