"""The monitors that Rook and its CSI drivers were given, from where each of them reads it.

Rook's operator keeps them in the ConfigMap rook-ceph-mon-endpoints. The drivers read their own
file, a list of {"clusterID", "monitors"} with an entry for the cluster and one for each subvolume
group or RADOS namespace. Where the CSI operator runs (there are Driver objects), it writes that
file (ceph-csi-config, config.json) from ClientProfiles, which name a CephConnection; both are in
Rook's namespace. Otherwise Rook writes it (rook-ceph-csi-config).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from harness.core.declared import RookDeclared
from harness.core.errors import NotFound
from harness.facts.ceph_names import split_monitors
from harness.facts.rook import Connection, DriversEntry, DriversFile, Monitors
from harness.transport import Kube
from harness.transport.objects import (
    Described,
    Odd,
    described,
    listed,
    must,
    name_of,
    part,
    text,
    words,
)

CSI = "/apis/csi.ceph.io"
_OF_CSI_OPERATOR = ("ceph-csi-config", "config.json")
_OF_ROOK = ("rook-ceph-csi-config", "csi-cluster-config-json")


def maybe(kube: Kube, path: str) -> object:
    """The object at a path, or None when there is none, or no such kind."""
    try:
        found: object = kube.get(path)
    except NotFound:
        return None
    return found


def csi_version(kube: Kube) -> str | None:
    """The version of the CSI operator's API; None where it is not installed."""
    group = maybe(kube, CSI)
    return None if group is None else must(group, "preferredVersion", "version")


def monitors(kube: Kube, declared: RookDeclared) -> Described[Monitors | None]:
    """The monitors in each of these places; None without the operator's own list."""
    held = maybe(kube, _config_map(declared.namespace, "rook-ceph-mon-endpoints"))
    if held is None:
        return Described(None)
    recorded = text(held, "data", _OF_ROOK[1])
    version, space = csi_version(kube), declared.operator_namespace
    here = f"{CSI}/{version}/namespaces/{space}"
    none: dict[str, str] = {}
    found = _profiles(kube, here) if version else Described(none)
    driven = version is not None and bool(listed(maybe(kube, f"{here}/drivers"), "items"))
    connection = _connection(kube, declared, here, found.values, driven=driven) if version else None
    value = Monitors(
        operator=tuple(sorted(_named(must(held, "data", "data")))),
        csi=None if recorded is None else _all(_entries(recorded)),
        connection=connection,
        drivers=_of_drivers(kube, declared, connection, found.values, driven=driven),
    )
    return Described(value, found.odd)


def _config_map(space: str, name: str) -> str:
    return f"/api/v1/namespaces/{space}/configmaps/{name}"


def _named(text_: str) -> Iterator[str]:
    """The endpoints of "a=10.0.0.1:6789,b=…": Rook's own name is before each."""
    for one in split_monitors(text_):
        yield one.partition("=")[2] or one


def _entries(text_: str) -> Sequence[object]:
    try:
        found = json.loads(text_)
    except ValueError as error:
        raise Odd(f"the drivers' configuration is no JSON: {error}") from error
    entries = listed({"entries": found}, "entries")
    for entry in entries:
        _monitors_of(entry)
    return entries


def _monitors_of(entry: object) -> tuple[str, ...]:
    return tuple(sorted(words(entry, "monitors")))


def _all(entries: Sequence[object]) -> tuple[str, ...]:
    return tuple(sorted({monitor for entry in entries for monitor in _monitors_of(entry)}))


def _profiles(kube: Kube, here: str) -> Described[dict[str, str]]:
    """The CephConnection that each ClientProfile names; the profile's own name is a clusterID."""
    found = described(
        maybe(kube, f"{here}/clientprofiles"),
        lambda it: must(it, "spec", "cephConnectionRef", "name"),
    )
    return Described({name.rpartition("/")[2]: it for name, it in found.values.items()}, found.odd)


def _connection(
    kube: Kube,
    declared: RookDeclared,
    here: str,
    profiles: Mapping[str, str],
    *,
    driven: bool,
) -> Connection | None:
    """This cluster's CephConnection; its monitors are None if drivers need it and it is missing."""
    told = [profiles[it] for it in (declared.cluster_id, declared.namespace) if it in profiles]
    # Rook names it after the cluster's namespace; before 1.18 after the cluster.
    for name in dict.fromkeys(told or (declared.namespace, declared.cluster)):
        item = maybe(kube, f"{here}/cephconnections/{name}")
        if item is not None:
            return Connection(name=name, monitors=_monitors_of(part(item, "spec")))
    missing = Connection(name=(told or [declared.namespace])[0], monitors=None)
    return missing if driven or told else None


def _of_drivers(
    kube: Kube,
    declared: RookDeclared,
    connection: Connection | None,
    profiles: Mapping[str, str],
    *,
    driven: bool,
) -> DriversFile | None:
    """The entries of this cluster in the file that the drivers read; None without a file."""
    name, key = _OF_CSI_OPERATOR if driven else _OF_ROOK
    item = maybe(kube, _config_map(declared.operator_namespace, name))
    if item is None and not driven and connection is not None:
        name, key = _OF_CSI_OPERATOR
        item = maybe(kube, _config_map(declared.operator_namespace, name))
    if item is None:
        return None
    ours = tuple(
        DriversEntry(id=must(entry, "clusterID"), monitors=_monitors_of(entry))
        for entry in _entries(text(item, "data", key) or "[]")
        if _is_ours(entry, declared, connection, profiles)
    )
    return DriversFile(where=f"ConfigMap {name_of(item) or name}", entries=ours)


def _is_ours(
    entry: object,
    declared: RookDeclared,
    connection: Connection | None,
    profiles: Mapping[str, str],
) -> bool:
    """True if an entry belongs to this cluster, or names no cluster."""
    identity, space = must(entry, "clusterID"), text(entry, "namespace")
    if identity in (declared.cluster_id, declared.namespace):
        return True
    if space:
        return space == declared.namespace
    ours = None if connection is None else connection.name
    return profiles.get(identity, ours) == ours
