"""Which ports may answer from outside, as a profile writes them: 22, 443/tcp4, 51820/udp.

A number alone is TCP. Without a 4 or a 6 at its end a port is meant for IPv4 and IPv6.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

from harness.model import Port

_FORM = re.compile(r"([0-9]{1,5})(?:/(tcp|udp)([46]?))?")


def ports_of(declared: int | str) -> tuple[Port, ...]:
    """The ports that one entry of ``exposed_ports`` means; ValueError when it means none."""
    found = _FORM.fullmatch(str(declared))
    if found is None or not 1 <= int(found[1]) <= 65535:
        raise ValueError(f"{declared!r} is no port: write 443, 443/tcp4, 443/tcp6 or 51820/udp")
    versions = (int(found[3]),) if found[3] else (4, 6)
    return tuple(Port(int(found[1]), found[2] or "tcp", version) for version in versions)


def _valid(declared: int | str) -> int | str:
    ports_of(declared)
    return declared


ExposedPort = Annotated[int | str, AfterValidator(_valid)]
