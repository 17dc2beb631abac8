"""The source of a mount: CephFS names the same file system in several ways.

The kernel shows the source as it was given: ``10.0.0.1,10.0.0.2:6789:/`` with the monitors in any
order, or since Linux 5.17 ``admin@FSID.cephfs=/`` (docs.ceph.com, "Mount CephFS using Kernel
Driver").
"""

from __future__ import annotations

import re

from harness.facts.endpoints import are_same, split

_BY_NAME = re.compile(r"(?P<user>[^@,]+)@(?P<fsid>[^.]*)\.(?P<fs>[^=]+)=(?P<path>/.*)")


def is_same(kind: str, one: str, other: str) -> bool:
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
    return named and first[2] == second[2] and are_same(split(first[0]), split(second[0]))
