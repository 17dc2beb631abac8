"""etcd as a database: how fast it writes its log, and its snapshots.

An idle etcd syncs its log only a few times a second, too seldom for a current p99. Its histogram
covers all the time since its start, which hides the current speed. So the probe sends a burst of
small writes through the API, and reads each member's histogram before and after.

Of the snapshots it reports the list, the machines with a copy, and the content of one when
restored.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import ClassVar, TypeVar

from harness.core.errors import HarnessError, TransportError
from harness.core.model import JSON
from harness.core.parallel import in_each
from harness.facts.etcd import (
    METRICS,
    SNAPSHOTS,
    WRITES,
    Buckets,
    Listing,
    LogWrites,
    Newest,
    Rejected,
    Restore,
    Restored,
    SnapshotFile,
    Snapshots,
    Upload,
    WriteBurst,
    not_whole,
)
from harness.facts.schema import Item, Known, Unknown, dump, read
from harness.probes import etcd_access, host_facts, pods
from harness.probes.probe import Timing
from harness.probes.scripts import snapshot_script
from harness.transport import Kube, Reach, own_folder
from harness.transport.objects import Odd, epoch, flag, listed, must, part, quantity, text
from harness.transport.remote_script import RemoteScript

T = TypeVar("T")

_WRITES = 500
_ENOUGH_S = 12.0
# The script's answer to each of its arguments: an item by path.
_LISTS = dict[str, Item[tuple[SnapshotFile, ...]]]
_TEXTS = dict[str, Item[str]]
_RESTORES = dict[str, Item[Restore]]
_SCRIPT = RemoteScript(own_folder, snapshot_script, nice=True)
_RECORD = "/apis/k3s.cattle.io/v1/etcdsnapshotfiles"


class EtcdWrites:
    """Writes one small object again and again, in its own namespace."""

    name: ClassVar[str] = WRITES.name
    sentence: ClassVar[str] = "a burst of small writes to etcd"
    timing: ClassVar[Timing] = Timing.ALONE
    within_s: ClassVar[float] = 90.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [reach.profile.name]

    def observe(self, reach: Reach, target: str) -> JSON:
        servers = [machine.name for machine in reach.profile.cluster().servers]

        def fsyncs(server: str) -> Buckets:
            return _fsyncs(reach, server)

        with pods.namespace(reach.kube) as space:
            before = in_each(servers, fsyncs)
            began = time.monotonic()
            writes = _write(reach.kube, space)
            took_s = time.monotonic() - began
            after = in_each(servers, fsyncs)
        members = {server: _added(before[server], after[server]) for server in servers}
        return dump(WriteBurst(writes, round(took_s, 3), members))


def _fsyncs(reach: Reach, server: str) -> Buckets:
    item = host_facts.look(reach, server, only=[METRICS.name])[METRICS.name]
    if isinstance(item, Unknown):
        raise TransportError(f"{METRICS.name}: {item.error}")
    return read(METRICS.kind, item.value).wal_fsync_s


def _write(kube: Kube, space: str) -> int:
    """One write after the other, so that none shares the sync of another; returns their number."""
    deadline = time.monotonic() + _ENOUGH_S
    for number in range(_WRITES):
        if time.monotonic() > deadline:
            return number
        kube.apply(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "writes", "namespace": space},
                "data": {"number": str(number)},
            }
        )
    return _WRITES


def _added(before: Buckets | HarnessError, after: Buckets | HarnessError) -> LogWrites | Unknown:
    if isinstance(before, HarnessError):
        return Unknown(str(before))
    if isinstance(after, HarnessError):
        return Unknown(str(after))
    return LogWrites(etcd_access.since(after, before))


class EtcdSnapshots:
    """Lists on every server, then restores the newest copy where the snapshot was not taken.

    After a disaster, only that copy is left. Without any copy, it restores the newest snapshot.
    """

    name: ClassVar[str] = SNAPSHOTS.name
    sentence: ClassVar[str] = "the snapshots of etcd on every server"
    timing: ClassVar[Timing] = Timing.AT_START
    within_s: ClassVar[float] = 180.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [reach.profile.name]

    def observe(self, reach: Reach, target: str) -> JSON:
        kubernetes = reach.profile.kubernetes
        own, copies = kubernetes.etcd_snapshots, kubernetes.etcd_snapshot_copies
        servers = [machine.name for machine in reach.profile.cluster().servers]
        folders = [own, *([copies] if copies else [])]
        told = in_each(servers, lambda server: _run(reach, server, _LISTS, "list", *folders))
        by_server = {server: _listed(answer, own, copies) for server, answer in told.items()}
        newest = choose_newest(by_server)
        original: Known[str] | Unknown | None = None
        restored: Known[Restored | Rejected] | Unknown | None = None
        if newest is not None:
            place = copies if newest.seen_by else own
            if newest.origin:
                path = f"{own}/{newest.name}"
                original = _one(reach, newest.origin[0], _TEXTS, "digest", path)
            path = f"{place}/{newest.name}"
            restored = _one(reach, newest.restored_on, _RESTORES, "restore", path)
        seen = Snapshots(
            listed=by_server,
            newest=newest,
            original=original,
            restored=restored,
            cluster_uid=_cluster_uid(reach),
            s3=_in_s3(reach) if kubernetes.etcd_snapshots_in_s3 else None,
        )
        return dump(seen)


def restore_programs(reach: Reach, server: str) -> Mapping[str, Known[str] | Unknown]:
    """The programs on a server that restore a snapshot; raises TransportError."""
    return _run(reach, server, _TEXTS, "program", "etcd", "etcdutl")


def _cluster_uid(reach: Reach) -> str | None:
    try:
        return text(reach.kube.get("/api/v1/namespaces/kube-system"), "metadata", "uid")
    except TransportError:
        return None


def _in_s3(reach: Reach) -> Known[tuple[Upload, ...]] | Unknown:
    try:
        found = listed(reach.kube.get(_RECORD), "items")
        return Known(tuple(_recorded(item) for item in found if "s3" in part(item, "spec")))
    except TransportError as error:
        return Unknown(f"RKE2's record of its snapshots (etcdsnapshotfiles): {error}")


def _recorded(item: object) -> Upload:
    """One ETCDSnapshotFile; RKE2 records an upload that failed, too."""
    created = epoch(item, "status", "creationTime") or epoch(item, "metadata", "creationTimestamp")
    if created is None:
        raise Odd("it has no creationTime")
    return Upload(
        name=must(item, "spec", "snapshotName"),
        bytes=quantity(str(part(item, "status").get("size", 0))),
        modified=created,
        ready=flag(item, "status", "readyToUse"),
        error=text(item, "status", "error", "message"),
    )


def choose_newest(by_server: Mapping[str, Listing | Unknown]) -> Newest | None:
    """The newest copy, or without copies the newest snapshot, and the server to restore it on."""
    listings = {server: it for server, it in by_server.items() if isinstance(it, Listing)}
    snapshots = {server: _files(it.snapshots) for server, it in listings.items()}
    copies = {server: _files(it.copies) for server, it in listings.items()}
    for kind in (copies, snapshots):
        whole = [it for files in kind.values() for it in files if not_whole(it) is None]
        if not whole:
            continue
        name = max(whole, key=lambda it: it.modified).name
        origin, seen_by = _holding(snapshots, name), _holding(copies, name)
        elsewhere = [server for server in seen_by if server not in origin]
        return Newest(
            name=name,
            origin=origin,
            seen_by=seen_by,
            restored_on=(*elsewhere, *seen_by, *origin)[0],
        )
    return None


def _files(item: Known[tuple[SnapshotFile, ...]] | Unknown) -> tuple[SnapshotFile, ...]:
    return item.value if isinstance(item, Known) else ()


def _holding(kind: Mapping[str, Sequence[SnapshotFile]], name: str) -> tuple[str, ...]:
    return tuple(server for server, files in kind.items() if name in {it.name for it in files})


def _listed(
    answer: Mapping[str, Known[tuple[SnapshotFile, ...]] | Unknown] | HarnessError,
    own: str,
    copies: str | None,
) -> Listing | Unknown:
    if isinstance(answer, HarnessError):
        return Unknown(str(answer))
    fields = "kubernetes.etcd_snapshot_copies or etcd_snapshots_in_s3"
    no_place = Unknown(f"the profile names no place for them ({fields})")
    return Listing(answer[own], answer[copies] if copies else no_place)


def _one(reach: Reach, server: str, read: type[dict[str, T]], word: str, path: str) -> T | Unknown:
    try:
        return _run(reach, server, read, word, path)[path]
    except HarnessError as error:
        return Unknown(str(error))


def _run(reach: Reach, server: str, read: type[T], word: str, *paths: str) -> T:
    return _SCRIPT.on(reach.shell, server, word, *paths, within_s=150.0, read=read).value
