"""The types of fields: paths, names, ranges of addresses, ports, and parts of HTTP requests.

A path may begin with ``${state}`` (``$XDG_STATE_HOME/cutover``), ``${cache}``
(``$XDG_CACHE_HOME/cutover``), ``${here}`` (the profile's own folder) or ``~``. A port is written
22, 443/tcp4 or 51820/udp: a number alone is TCP, and without a 4 or a 6 at its end it is meant for
IPv4 and IPv6.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, ip_address, ip_network, summarize_address_range
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from harness.core.declared import Port
from harness.settings.files import cache_dir, state_dir


def _resolve(path: Path, info: ValidationInfo) -> Path:
    here = (info.context or {}).get("here", Path.cwd())
    text = str(path)
    for word, folder in (("state", state_dir()), ("cache", cache_dir()), ("here", here)):
        text = text.replace(f"${{{word}}}", str(folder))
    return Path(text).expanduser()


T = TypeVar("T")
OneOrMore = Annotated[
    tuple[T, ...], BeforeValidator(lambda it: it if isinstance(it, list | tuple) else [it])
]
ProfilePath = Annotated[Path, AfterValidator(_resolve)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", max_length=63)]
PortNumber = Annotated[int, Field(ge=1, le=65535)]
Host = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", max_length=253)]
UrlPath = Annotated[str, Field(pattern=r"^/[!-~]*$")]
Method = Literal["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"]
# The methods of requests that change nothing, unless they say otherwise.
READING: tuple[Method, ...] = ("GET", "HEAD", "OPTIONS")
Status = Annotated[int, Field(ge=100, le=599)]
# A JSON pointer (RFC 6901), and a name for what it leads to.
Pointer = Annotated[str, Field(pattern="^(/.*)?$")]
Variable = Annotated[str, Field(pattern="^[a-z][a-z0-9_]*$")]
Scalar = str | int | float | bool | None


def _not_ipv6(value: object) -> object:
    try:
        version = ip_address(str(value)).version
    except ValueError:
        return value
    if version == 6:
        raise ValueError("IPv6 is not supported here yet: give IPv4")
    return value


# An address that the harness connects to: URLs and tunnels are tested with IPv4 only.
IPv4 = Annotated[IPv4Address, BeforeValidator(_not_ipv6)]


def _address_range(text: str) -> str:
    first, dash, last = text.partition("-")
    _not_ipv6(first.partition("/")[0])
    if dash:
        tuple(summarize_address_range(ip_address(first), ip_address(last)))
    else:
        ip_network(text)
    return text


AddressRange = Annotated[str, AfterValidator(_address_range)]


_PORT = re.compile(r"([0-9]{1,5})(?:/(tcp|udp)([46]?))?")


def ports_of(declared: int | str) -> tuple[Port, ...]:
    """The ports that one entry of ``exposed_ports`` means; ValueError when it means none."""
    found = _PORT.fullmatch(str(declared))
    if found is None or not 1 <= int(found[1]) <= 65535:
        raise ValueError(f"{declared!r} is no port: write 443, 443/tcp4, 443/tcp6 or 51820/udp")
    versions = (int(found[3]),) if found[3] else (4, 6)
    return tuple(Port(int(found[1]), found[2] or "tcp", version) for version in versions)


def _is_port(declared: int | str) -> int | str:
    ports_of(declared)
    return declared


ExposedPort = Annotated[int | str, AfterValidator(_is_port)]
