"""Backups: etcd's snapshots, and the claims that hold backups.

Of the snapshots: the list, the machines with a copy, and the content of one when restored. Of the
claims: the shared one with its contents, and any other.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import ClassVar, TypeVar

from harness.core.errors import HarnessError, NotProven, ScriptFailed, TransportError
from harness.core.model import JSON
from harness.core.notices import removed_afterwards
from harness.core.parallel import in_each
from harness.facts import backups as facts
from harness.facts.backups import (
    SNAPSHOTS,
    Claim,
    Layout,
    Listing,
    Newest,
    Rejected,
    Restore,
    Restored,
    SnapshotFile,
    Snapshots,
    Upload,
    not_whole,
)
from harness.facts.schema import Item, Known, Unknown, dump
from harness.probes import pods
from harness.probes.probe import Timing
from harness.probes.scripts import layout_script, snapshot_script
from harness.settings import Backups
from harness.transport import Kube, Reach, own_folder
from harness.transport.objects import (
    Object,
    Odd,
    described,
    epoch,
    flag,
    listed,
    must,
    part,
    quantity,
    text,
    texts,
)
from harness.transport.remote_script import RemoteScript

T = TypeVar("T")

# The script's answer to each of its arguments: an item by path.
_LISTS = dict[str, Item[tuple[SnapshotFile, ...]]]
_TEXTS = dict[str, Item[str]]
_RESTORES = dict[str, Item[Restore]]
_SNAPSHOT_SCRIPT = RemoteScript(own_folder, snapshot_script, nice=True)
_RECORD = "/apis/k3s.cattle.io/v1/etcdsnapshotfiles"
_LAYOUT_SCRIPT = RemoteScript(layout_script)
_READY_WITHIN_S = 60.0
_AT = "/backups"
_PREFIX = "cutover-probe-backups-"
_LIVES_S = 300
_SWITCHES = frozenset(("", "true", "false", "yes", "no", "on", "off", "enabled", "disabled"))


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
    return _SNAPSHOT_SCRIPT.on(reach.shell, server, word, *paths, within_s=150.0, read=read).value


class BackupClaims:
    """Lists claims, and looks into the declared one from a pod that mounts it read-only."""

    name: ClassVar[str] = facts.BACKUP_CLAIMS.name
    sentence: ClassVar[str] = "the claims that hold backups, and what lies in the shared one"
    timing: ClassVar[Timing] = Timing.WHEN_ASKED
    within_s: ClassVar[float] = 150.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [reach.profile.name]

    def observe(self, reach: Reach, target: str) -> JSON:
        backups = reach.profile.backups
        if backups is None:
            raise NotProven("the profile declares no claim for backups (backups)")
        claimed = reach.kube.get("/api/v1/persistentvolumeclaims")
        seen = described(claimed, lambda item: _claim(item, backups))
        claims = tuple(it for it in seen.values.values() if it is not None)
        ours = [it for it in claims if _is_declared(it.namespace, it.name, backups)]
        layout = _layout(reach, backups, ours[0]) if ours else None
        return dump(facts.BackupClaims(claims=claims, odd=seen.odd, layout=layout))


def _is_declared(space: str | None, name: str, backups: Backups) -> bool:
    return (space, name) == (backups.namespace, backups.claim)


def _claim(item: Object, backups: Backups) -> Claim | None:
    space, name = text(item, "metadata", "namespace"), must(item, "metadata", "name")
    why = _betrayed(name, texts(item, "metadata", "labels"), backups)
    if not why and not _is_declared(space, name, backups):
        return None
    asked = text(item, "spec", "resources", "requests", "storage")
    size = text(item, "status", "capacity", "storage") or asked
    if size is None:
        raise Odd("it says no size")
    return Claim(
        namespace=space,
        name=name,
        modes=tuple(str(mode) for mode in listed(item, "spec", "accessModes")),
        bytes=quantity(size),
        phase=_phase(item),
        why=why,
    )


def _phase(item: Object) -> str:
    """As kubectl shows it: a claim being deleted stays Bound until no pod uses it any more."""
    if text(item, "metadata", "deletionTimestamp") is not None:
        return "Terminating"
    return text(item, "status", "phase") or "Pending"


def _betrayed(name: str, labels: Mapping[str, str], backups: Backups) -> str:
    """The name, or the label, that says what the claim is for; nothing when none does."""
    told = [
        f"{key}={value}" for key, value in sorted(labels.items()) if _tells(key, value, backups)
    ]
    return next(
        (it for it in (name, *told) if any(fnmatchcase(it.lower(), p) for p in backups.words)), ""
    )


def _tells(key: str, value: str, backups: Backups) -> bool:
    """True if a label says what the claim holds.

    A tool's mark, or a switch such as ``backup=true``, says what to do with the claim instead.
    """
    domain = key.rpartition("/")[0].lower()
    of_a_tool = any(domain == tool or domain.endswith(f".{tool}") for tool in backups.tools)
    return not of_a_tool and value.lower() not in _SWITCHES


def _layout(reach: Reach, backups: Backups, claim: Claim) -> Item[Layout]:
    if claim.phase != "Bound":
        return Unknown(f"the claim is {claim.phase}: it cannot be looked into")
    try:
        with _reader(reach, backups) as pod:
            kube, space, asked = reach.kube, backups.namespace, (_AT, backups.active)
            told = _LAYOUT_SCRIPT.in_pod(kube, space, pod, *asked, within_s=25.0, read=Layout)
        return Known(told.value)
    except ScriptFailed as error:
        return Unknown(f"listing it as user {backups.reader}: {error}")
    except HarnessError as error:
        return Unknown(str(error))


@contextlib.contextmanager
def _reader(reach: Reach, backups: Backups) -> Iterator[str]:
    """A pod in the claim's namespace, as a mount requires; it is deleted afterwards."""
    kube, space = reach.kube, backups.namespace
    _sweep(kube, space)
    name = f"{_PREFIX}{secrets.token_hex(4)}"
    path = f"/api/v1/namespaces/{space}/pods/{name}"
    with removed_afterwards(f"the pod {space}/{name}", lambda: kube.delete(path)):
        kube.apply(_pod(reach, backups, name))
        _, late = pods.addresses_when_ready(kube, space, {name: name}, _READY_WITHIN_S)
        if late:
            raise TransportError(late[name])
        yield name


def _pod(reach: Reach, backups: Backups, name: str) -> Mapping[str, object]:
    """The scheduler places the pod, because a claim may be bound to some machines only."""
    mount = {"name": "backups", "mountPath": _AT, "readOnly": True}
    claimed = {"claimName": backups.claim, "readOnly": True}
    return pods.pod(
        reach,
        backups.namespace,
        name,
        "",
        "reader",
        container={"volumeMounts": [mount]},
        spec={
            "activeDeadlineSeconds": _LIVES_S,
            "volumes": [{"name": "backups", "persistentVolumeClaim": claimed}],
        },
        security={"runAsUser": backups.reader, "runAsGroup": backups.reader},
    )


def _sweep(kube: Kube, space: str) -> None:
    """Remove the pods of a killed harness."""
    for left in listed(kube.get(f"/api/v1/namespaces/{space}/pods?{pods.SELECTOR}"), "items"):
        name, made = must(left, "metadata", "name"), must(left, "metadata", "creationTimestamp")
        age_s = time.time() - datetime.fromisoformat(made).timestamp()
        if name.startswith(_PREFIX) and age_s > _LIVES_S:
            kube.delete(f"/api/v1/namespaces/{space}/pods/{name}")
