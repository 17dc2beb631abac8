"""etcd's snapshots: which there are, who else holds a copy, and what one holds once restored.

The value:

``listed``    server → {"snapshots", "copies"}, each {"value": [{"name", "bytes", "modified",
              "database"}]} or {"error"}; or {"error"}
``s3``        {"value": [{"name", "bytes", "modified", "ready", "error"}]}, what RKE2 records of its
              uploads, or {"error"}; None where the profile declares none
``newest``    {"name", "origin": servers that hold it themselves, "seen_by": servers that see its
              copy, "restored_on"}, or None when there is no snapshot
``original``  {"value": SHA-256 of the snapshot where it was taken} or {"error"}, or None
``cluster_uid``  the UID of the cluster's namespace kube-system now, or None
``restored``  {"value": {"sha256", "bytes", "expected_revision", "expected_keys" (None when the
              tools there do not count them), "revision", "keys", "uid"}}, with "refused" instead
              of the last ones when etcd does not take it; or {"error"}, or None
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from harness.errors import HarnessError, TransportError
from harness.facts.snapshot_files import not_whole
from harness.model import JSON
from harness.probes import pods, snapshot_script
from harness.transport import Reach, own_folder
from harness.transport.quantity import size_bytes
from harness.transport.remote_script import RemoteScript

_SCRIPT = RemoteScript(own_folder, snapshot_script, nice=True)
_RECORD = "/apis/k3s.cattle.io/v1/etcdsnapshotfiles"


class EtcdSnapshots:
    """Lists on every server, then restores the newest copy where the snapshot was not taken.

    That is what is left after a disaster. Without any copy, the newest snapshot itself.
    """

    name: ClassVar[str] = "etcd-snapshots"
    within_s: ClassVar[float] = 180.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [reach.profile.name]

    def observe(self, reach: Reach, target: str) -> JSON:
        kubernetes = reach.profile.kubernetes
        own, copies = kubernetes.etcd_snapshots, kubernetes.etcd_snapshot_copies
        servers = [machine.name for machine in reach.profile.cluster().servers]
        folders = [own, *([copies] if copies else [])]
        told = pods.in_each(servers, lambda server: _run(reach, server, "list", *folders))
        listed = {server: _listed(answer, own, copies) for server, answer in told.items()}
        newest = choose(listed)
        original: Any = None
        restored: Any = None
        s3 = _in_s3(reach) if kubernetes.etcd_snapshots_in_s3 else None
        if newest is not None:
            name, place = newest["name"], copies if newest["seen_by"] else own
            holder = next(iter(newest["origin"]), None)
            if holder is not None:
                original = _one(reach, holder, "digest", f"{own}/{name}")
            restored = _one(reach, newest["restored_on"], "restore", f"{place}/{name}")
        return {
            "listed": listed,
            "s3": s3,
            "newest": newest,
            "original": original,
            "restored": restored,
            "cluster_uid": _cluster_uid(reach),
        }


def programs(reach: Reach, server: str) -> Mapping[str, Any]:
    """Where a server has what restores a snapshot: program → {"value": path} or {"error"}.

    Raises TransportError.
    """
    return _run(reach, server, "program", "etcd", "etcdutl")


def _cluster_uid(reach: Reach) -> str | None:
    try:
        return str(reach.kube.get("/api/v1/namespaces/kube-system")["metadata"]["uid"])
    except TransportError:
        return None


def _in_s3(reach: Reach) -> Any:
    try:
        found = reach.kube.get(_RECORD)["items"]
        return {"value": [_recorded(item) for item in found if "s3" in item["spec"]]}
    except (TransportError, AttributeError, KeyError, TypeError, ValueError) as error:
        return {"error": f"RKE2's record of its snapshots (etcdsnapshotfiles): {error}"}


def _recorded(item: Mapping[str, Any]) -> dict[str, Any]:
    """One ETCDSnapshotFile; RKE2 records an upload that failed, too."""
    status = item.get("status") or {}
    created = status.get("creationTime") or item["metadata"]["creationTimestamp"]
    return {
        "name": item["spec"]["snapshotName"],
        "bytes": size_bytes(str(status.get("size", 0))),
        "modified": datetime.fromisoformat(created).timestamp(),
        "ready": bool(status.get("readyToUse")),
        "error": (status.get("error") or {}).get("message"),
    }


def choose(listed: Mapping[str, Any]) -> dict[str, Any] | None:
    """The newest copy, or without copies the newest snapshot, and where to restore it."""
    for kind in ("copies", "snapshots"):
        times = {
            file["name"]: file["modified"]
            for items in listed.values()
            for file in items.get(kind, {}).get("value", ())
            if not_whole(file) is None
        }
        if not times:
            continue
        name = max(times, key=times.__getitem__)
        origin, seen_by = _holding(listed, "snapshots", name), _holding(listed, "copies", name)
        elsewhere = [server for server in seen_by if server not in origin]
        return {
            "name": name,
            "origin": origin,
            "seen_by": seen_by,
            "restored_on": (elsewhere or seen_by or origin)[0],
        }
    return None


def _holding(listed: Mapping[str, Any], kind: str, name: str) -> list[str]:
    return [
        server
        for server, items in listed.items()
        if any(file["name"] == name for file in items.get(kind, {}).get("value", ()))
    ]


def _listed(answer: Mapping[str, Any] | HarnessError, own: str, copies: str | None) -> Any:
    if isinstance(answer, HarnessError):
        return {"error": str(answer)}
    fields = "kubernetes.etcd_snapshot_copies or etcd_snapshots_in_s3"
    no_place = {"error": f"the profile names no place for them ({fields})"}
    return {"snapshots": answer[own], "copies": answer[copies] if copies else no_place}


def _one(reach: Reach, server: str, word: str, path: str) -> Any:
    try:
        return _run(reach, server, word, path)[path]
    except HarnessError as error:
        return {"error": str(error)}


def _run(reach: Reach, server: str, word: str, *paths: str) -> Mapping[str, Any]:
    answer: Mapping[str, Any] = _SCRIPT.on(reach.shell, server, word, *paths, within_s=150.0).value
    return answer
