"""The addresses of Ceph's monitors, in the forms in which Ceph, Rook, CSI and mounts write them.

``10.0.0.1``, ``10.0.0.1:6789``, ``10.0.0.1:3300``, ``v2:10.0.0.1:3300/0`` and
``[v2:10.0.0.1:3300/0,v1:10.0.0.1:6789/0]`` name the same monitor: by its old protocol and its new
one (msgr2), each on its standard port. The order of monitors means nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from ipaddress import ip_address

_STANDARD = ("3300", "6789")
_ADDRESS = re.compile(
    r"(?:(?:v1|v2|any|legacy):)?(?P<host>\[[0-9A-Fa-f:.%]+\]|[^\[\]:/,]+)(?::(?P<port>\d+))?(?:/\d+)?"
)


def split(text: str) -> Iterator[str]:
    """The parts between commas; a comma in brackets does not divide."""
    depth, part = 0, ""
    for sign in f"{text},":
        depth += (sign == "[") - (sign == "]")
        if sign != "," or depth > 0:
            part += sign
        else:
            if part.strip():
                yield part.strip()
            part = ""


def addresses(monitor: str) -> frozenset[str]:
    """The addresses of a monitor: its host, with the port if that is not a standard one."""
    text = monitor.strip()
    several = text.startswith("[") and text.endswith("]") and "," in text
    found = []
    for one in split(text[1:-1] if several else text):
        matched = _ADDRESS.fullmatch(one)
        if matched is None:
            return frozenset((text,))
        host, port = _host(matched["host"]), matched["port"]
        found.append(host if port is None or port in _STANDARD else f"{host} {port}")
    return frozenset(found or [text])


def _host(text: str) -> str:
    bare = text.removeprefix("[").removesuffix("]")
    try:
        return ip_address(bare).compressed
    except ValueError:
        return bare.lower()


def are_same(some: Iterable[str], others: Iterable[str]) -> bool:
    """True if these are the same monitors, in any order and form."""
    one, two = [addresses(it) for it in some], [addresses(it) for it in others]
    return all(any(a & b for b in two) for a in one) and all(any(a & b for a in one) for b in two)
