"""The names that Ceph, Rook, CSI and mounts give to the same monitor, file system or machine.

A monitor: ``10.0.0.1``, ``10.0.0.1:6789``, ``10.0.0.1:3300``, ``v2:10.0.0.1:3300/0`` and
``[v2:10.0.0.1:3300/0,v1:10.0.0.1:6789/0]`` name the same one: by its old protocol and its new one
(msgr2), each on its standard port. The order of monitors means nothing.

A file system: the kernel shows the source of a mount as it was given:
``10.0.0.1,10.0.0.2:6789:/`` with the monitors in any order, or since Linux 5.17
``admin@FSID.cephfs=/`` (docs.ceph.com, "Mount CephFS using Kernel Driver").

A machine: Rook names its host in the CRUSH map after the node's label ``kubernetes.io/hostname``,
with its dots turned to dashes (its NormalizeCrushName); cephadm takes the name as it was added,
short or fully qualified. Docker names a node of its Swarm after the hostname, in the same ways.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from ipaddress import ip_address
from typing import TypeVar

from harness.facts.hostnames import is_hostname_of

_T = TypeVar("_T")

_STANDARD = ("3300", "6789")
_ADDRESS = re.compile(
    r"(?:(?:v1|v2|any|legacy):)?(?P<host>\[[0-9A-Fa-f:.%]+\]|[^\[\]:/,]+)(?::(?P<port>\d+))?(?:/\d+)?"
)
_BY_NAME = re.compile(r"(?P<user>[^@,]+)@(?P<fsid>[^.]*)\.(?P<fs>[^=]+)=(?P<path>/.*)")


def split_monitors(text: str) -> Iterator[str]:
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


def monitor_addresses(monitor: str) -> frozenset[str]:
    """The addresses of a monitor: its host, with the port if that is not a standard one."""
    text = monitor.strip()
    several = text.startswith("[") and text.endswith("]") and "," in text
    found = []
    for one in split_monitors(text[1:-1] if several else text):
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


def are_same_monitors(some: Iterable[str], others: Iterable[str]) -> bool:
    """True if these are the same monitors, in any order and form."""
    one, two = [monitor_addresses(it) for it in some], [monitor_addresses(it) for it in others]
    return all(any(a & b for b in two) for a in one) and all(any(a & b for a in one) for b in two)


def is_same_source(kind: str, one: str, other: str) -> bool:
    """Whether two sources of a file system of this type are the same."""
    if one == other or kind != "ceph":
        return one == other
    named, other_named = _BY_NAME.fullmatch(one), _BY_NAME.fullmatch(other)
    if named is None or other_named is None:
        return named is other_named and _same_monitors(one, other)
    same = all(named[key] == other_named[key] for key in ("user", "fs", "path"))
    # An empty FSID stands for that of the cluster in ceph.conf.
    return same and len({named["fsid"], other_named["fsid"]} - {""}) < 2


def _same_monitors(one: str, other: str) -> bool:
    """``MONITOR,MONITOR,…:/FOLDER``: the same monitors in any order and form, and one folder."""
    first, second = one.rpartition(":/"), other.rpartition(":/")
    named = bool(first[1] and second[1])
    return (
        named
        and first[2] == second[2]
        and are_same_monitors(split_monitors(first[0]), split_monitors(second[0]))
    )


def machine_of_each(hosts: Iterable[str], machines: Iterable[str]) -> dict[str, str]:
    """Host → its machine, for the hosts with exactly one certain machine.

    The same name comes first, then the name with dashes for dots, then any hostname that the
    machine may have. A host that fits several machines, or shares its machine with another host, is
    left out.
    """
    names, known = list(dict.fromkeys(hosts)), list(dict.fromkeys(machines))
    found: dict[str, str] = {}
    for is_it in _WAYS:
        fits = {host: _fitting(host, known, is_it) for host in names if host not in found}
        one = {host: its[0] for host, its in fits.items() if len(its) == 1}
        of = Counter(one.values())
        taken = set(found.values())
        found |= {host: it for host, it in one.items() if of[it] == 1 and it not in taken}
    return found


def by_machine(hosts: Mapping[str, _T], machines: Iterable[str]) -> dict[str, _T]:
    """The value of each host, by its machine's name, or its own name without a certain machine."""
    at = machine_of_each(hosts, machines)
    return {at.get(host, host): it for host, it in hosts.items()}


def in_doubt(hosts: Iterable[str], machines: Iterable[str]) -> list[str]:
    """The hosts that may be a declared machine, but it is uncertain which."""
    names, known = list(hosts), list(machines)
    found = machine_of_each(names, known)
    return [
        host
        for host in names
        if host not in found and any(may_be(host, machine) for machine in known)
    ]


def may_be(host: str, machine: str) -> bool:
    """True if a host of this name may be the machine."""
    return any(is_it(host, machine) for is_it in _WAYS)


def _fitting(host: str, machines: Iterable[str], is_it: Callable[[str, str], bool]) -> list[str]:
    return [machine for machine in machines if is_it(host, machine)]


def _is_same(host: str, machine: str) -> bool:
    return host == machine


def _is_dashed(host: str, machine: str) -> bool:
    return host == machine.replace(".", "-")


_WAYS = (_is_same, _is_dashed, is_hostname_of)
