"""Which declared machine a host of Ceph's CRUSH map is.

Rook names the host after the node's label ``kubernetes.io/hostname``, with its dots turned to
dashes (its NormalizeCrushName); cephadm takes the name as it was added, short or fully qualified.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

_T = TypeVar("_T")


def machine_of_each(hosts: Iterable[str], machines: Iterable[str]) -> dict[str, str]:
    """Host → its machine, for the hosts with exactly one certain machine.

    The same name comes first, then the name with dashes for dots, then a short name for a fully
    qualified one. A host that fits several machines, or shares its machine with another host, is
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
        if host not in found and any(_fitting(host, known, is_it) for is_it in _WAYS)
    ]


def _fitting(host: str, machines: Iterable[str], is_it: Callable[[str, str], bool]) -> list[str]:
    return [machine for machine in machines if is_it(host, machine)]


def _is_same(host: str, machine: str) -> bool:
    return host == machine


def _is_dashed(host: str, machine: str) -> bool:
    return host == machine.replace(".", "-")


def _is_short(host: str, machine: str) -> bool:
    """True if one name is the other's part before a dot."""
    return host.partition(".")[0] == machine.partition(".")[0] and "." not in (
        host if "." in machine else machine
    )


_WAYS = (_is_same, _is_dashed, _is_short)
