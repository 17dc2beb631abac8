"""Velero's schedules and backups, as its objects in the Kubernetes API show them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import ClassVar, TypeVar

from harness.core.errors import NotFound, NotProven
from harness.core.model import JSON
from harness.facts.schema import dump
from harness.facts.velero import VELERO, Backup, Location, Schedule, Velero, Volume
from harness.probes.probe import Timing
from harness.transport import Reach
from harness.transport.objects import (
    Object,
    Odd,
    count,
    described,
    each,
    epoch,
    flag,
    must,
    text,
    texts,
    words,
)

T = TypeVar("T")

# Velero names a volume's backup and claim by their UIDs: names are cut where they are long.
_OF_SCHEDULE = "velero.io/schedule-name"
_OF_BACKUP, _OF_CLAIM = "velero.io/backup-uid", "velero.io/pvc-uid"


class VeleroBackups:
    """Lists Velero's objects, and the claims whose data they may hold."""

    name: ClassVar[str] = VELERO.name
    sentence: ClassVar[str] = "the cluster's own backups"
    timing: ClassVar[Timing] = Timing.AT_START
    within_s: ClassVar[float] = 60.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [reach.profile.name]

    def observe(self, reach: Reach, target: str) -> JSON:
        declared = reach.profile.velero
        if declared is None:
            raise NotProven("the profile declares no backups of the cluster (velero)")

        def objects(kind: str, version: str = "v1") -> object:
            path = f"/apis/velero.io/{version}/namespaces/{declared.namespace}/{kind}"
            return reach.kube.get(path)

        try:
            uploads = objects("datauploads", "v2alpha1")
        except NotFound:  # before version 1.12
            uploads = None
        claims = described(reach.kube.get("/api/v1/persistentvolumeclaims"), _claim)
        by_uid = {uid: name for name, (uid, _) in claims.values.items()}
        moved = [
            described(objects("podvolumebackups"), lambda item: _of_pod(item, by_uid)),
            described(uploads or {}, _of_snapshot),
        ]
        volumes = defaultdict[str, list[Volume]](list)
        for kind in moved:
            for backup, volume in kind.values.values():
                volumes[backup].append(volume)
        backups = described(objects("backups"), lambda item: _backup(item, volumes))
        seen = Velero(
            schedules=_by_name(each(objects("schedules"), _schedule)),
            backups=_by_name({it: one for it, one in backups.values.items() if one is not None}),
            locations=_by_name(each(objects("backupstoragelocations"), _location)),
            claims={name: made for name, (_, made) in claims.values.items()},
            odd={**claims.odd, **backups.odd, **moved[0].odd, **moved[1].odd},
            has_uploads=uploads is not None,
        )
        return dump(seen)


def _by_name(objects: Mapping[str, T]) -> dict[str, T]:
    """By the name alone: all of them are in Velero's own namespace."""
    return {name.rpartition("/")[2]: it for name, it in objects.items()}


def _claim(item: Object) -> tuple[str, float]:
    """Its UID, and when it was made."""
    return must(item, "metadata", "uid"), _time(item, "metadata", "creationTimestamp")


def _time(item: Object, *keys: str) -> float:
    found = epoch(item, *keys)
    if found is None:
        raise Odd(f"it has no {'.'.join(keys)}")
    return found


def _schedule(item: Object) -> Schedule:
    return Schedule(
        phase=text(item, "status", "phase") or "New",
        paused=flag(item, "spec", "paused"),
        location=text(item, "spec", "template", "storageLocation") or None,
        errors=tuple(words(item, "status", "validationErrors")),
        last=epoch(item, "status", "lastBackup"),
    )


def _location(item: Object) -> Location:
    return Location(
        phase=text(item, "status", "phase") or "not yet looked at",
        is_default=flag(item, "spec", "default"),
        message=text(item, "status", "message") or "",
        looked=epoch(item, "status", "lastValidationTime"),
    )


def _backup(item: Object, volumes: Mapping[str, Sequence[Volume]]) -> Backup | None:
    """A backup; None for one that no schedule made."""
    schedule = texts(item, "metadata", "labels").get(_OF_SCHEDULE)
    if not schedule:
        return None
    made = _time(item, "metadata", "creationTimestamp")
    reasons = words(item, "status", "validationErrors")
    kinds = ("volumeSnapshotsCompleted", "csiVolumeSnapshotsCompleted")
    return Backup(
        schedule=schedule,
        phase=text(item, "status", "phase") or "New",
        started=epoch(item, "status", "startTimestamp") or made,
        ended=epoch(item, "status", "completionTimestamp"),
        expires=epoch(item, "status", "expiration"),
        errors=count(item, "status", "errors"),
        reason="; ".join([text(item, "status", "failureReason") or "", *reasons]).strip("; "),
        snapshots=sum(count(item, "status", kind) for kind in kinds),
        volumes=tuple(volumes.get(must(item, "metadata", "uid"), ())),
        moves_snapshots=flag(item, "spec", "snapshotMoveData"),
        made=made,
    )


def _of_pod(item: Object, by_uid: Mapping[str, str]) -> tuple[str, Volume]:
    """A volume that was read through its pod, with the UID of its backup.

    A volume that is no claim's has no claim.
    """
    labels = texts(item, "metadata", "labels")
    return _volume(item, labels, by_uid.get(labels.get(_OF_CLAIM, ""), ""))


def _of_snapshot(item: Object) -> tuple[str, Volume]:
    """A volume whose snapshot was moved out of the cluster, with the UID of its backup."""
    claim = f"{must(item, 'spec', 'sourceNamespace')}/{must(item, 'spec', 'sourcePVC')}"
    return _volume(item, texts(item, "metadata", "labels"), claim)


def _volume(item: Object, labels: Mapping[str, str], claim: str) -> tuple[str, Volume]:
    return labels.get(_OF_BACKUP, ""), Volume(
        claim=claim,
        phase=text(item, "status", "phase") or "New",
        snapshot=text(item, "status", "snapshotID") or "",
        bytes=count(item, "status", "progress", "totalBytes"),
        message=text(item, "status", "message") or "",
    )
