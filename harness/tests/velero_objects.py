"""Velero's objects as version 1.17 writes them, after a night on which all went well."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

NAMESPACE = "velero"
_V1 = f"/apis/velero.io/v1/namespaces/{NAMESPACE}"
_UPLOADS = f"/apis/velero.io/v2alpha1/namespaces/{NAMESPACE}/datauploads"
BACKUP = "platform-daily-20260101010000"
_UID = "5bd0b9a4-8c5f-4dc6-9f0e-6a1b8f6d2a10"
_OF_BACKUP = {"velero.io/backup-name": BACKUP, "velero.io/backup-uid": _UID}


def stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def served(now: float) -> dict[str, Any]:
    """What the API answers: path → list. The newest backup ended six hours before ``now``."""
    hour = 3600.0
    lists = {
        "/api/v1/persistentvolumeclaims": [
            _claim("odoo-backups-storage", "c-1", now - 900 * hour),
            _claim("postgres-1", "c-2", now - 900 * hour),
            _claim("postgres-9", "c-9", now - hour),  # made after the backup
        ],
        f"{_V1}/schedules": [_schedule(now - 7 * hour)],
        f"{_V1}/backups": [
            _backup(BACKUP, _UID, now - 7 * hour, now),
            _backup("platform-daily-20251231010000", "uid-before", now - 31 * hour, now),
            # By hand, and of no schedule.
            {"metadata": {"name": "by-hand", "namespace": NAMESPACE}, "status": {}},
        ],
        f"{_V1}/backupstoragelocations": [_location(now - 60)],
        f"{_V1}/podvolumebackups": [_through_its_pod()],
        _UPLOADS: [_by_a_snapshot()],
    }
    return {path: {"items": items} for path, items in lists.items()}


def served_before_1_12(now: float) -> dict[str, Any]:
    """The same night as version 1.9 to 1.11 write it: no data mover, and no kind for one.

    Both claims are read through their pods; restic reads the one, Kopia the other (since 1.10).
    """
    lists = served(now)
    del lists[_UPLOADS]
    for backup in lists[f"{_V1}/backups"]["items"]:
        backup.get("spec", {}).pop("snapshotMoveData", None)
        for word in ("Attempted", "Completed"):
            backup["status"].pop(f"backupItemOperations{word}", None)
    del one(lists, "schedules")["spec"]["template"]["snapshotMoveData"]
    of_postgres = _through_its_pod("c-2")
    of_postgres["metadata"]["name"] = f"{BACKUP}-q9zzt"
    of_postgres["spec"] |= {"uploaderType": "restic", "volume": "data"}
    lists[f"{_V1}/podvolumebackups"]["items"].append(of_postgres)
    return lists


def one(objects: dict[str, Any], kind: str) -> Any:
    """The first object of a kind, such as ``schedules``."""
    (path,) = [it for it in objects if it.endswith(f"/{kind}")]
    return objects[path]["items"][0]


def _claim(name: str, uid: str, made: float) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "saasodoo", "uid": uid, "creationTimestamp": stamp(made)}
    return {"metadata": metadata, "spec": {}, "status": {"phase": "Bound"}}


def _backup(name: str, uid: str, began: float, now: float) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "uid": uid,
            "creationTimestamp": stamp(began),
            "labels": {
                "velero.io/schedule-name": "platform-daily",
                "velero.io/storage-location": "default",
            },
        },
        "spec": {"snapshotMoveData": True, "storageLocation": "default", "ttl": "720h0m0s"},
        "status": {
            "phase": "Completed",
            "startTimestamp": stamp(began),
            "completionTimestamp": stamp(began + 3600),
            "expiration": stamp(now + 30 * 86400),
            "progress": {"itemsBackedUp": 812, "totalItems": 812},
            "backupItemOperationsAttempted": 1,
            "backupItemOperationsCompleted": 1,
        },
    }


def _schedule(last: float) -> dict[str, Any]:
    template = {"includedNamespaces": ["saasodoo"], "snapshotMoveData": True}
    return {
        "metadata": {"name": "platform-daily", "namespace": NAMESPACE},
        "spec": {"schedule": "0 1 * * *", "template": template},
        "status": {"phase": "Enabled", "lastBackup": stamp(last)},
    }


def _location(validated: float) -> dict[str, Any]:
    return {
        "metadata": {"name": "default", "namespace": NAMESPACE},
        "spec": {"provider": "aws", "default": True},
        "status": {"phase": "Available", "lastValidationTime": stamp(validated)},
    }


def _through_its_pod(claim: str = "c-1") -> dict[str, Any]:
    return {
        "metadata": {
            "name": f"{BACKUP}-x7k2p",
            "namespace": NAMESPACE,
            "labels": {**_OF_BACKUP, "velero.io/pvc-uid": claim},
        },
        "spec": {
            "node": "vmi2887101",
            "pod": {"kind": "Pod", "name": "instance-service", "namespace": "saasodoo"},
            "volume": "backups",
            "uploaderType": "kopia",
        },
        "status": {
            "phase": "Completed",
            "snapshotID": "f1b6a2",
            "progress": {"bytesDone": 52428800, "totalBytes": 52428800},
        },
    }


def _by_a_snapshot() -> dict[str, Any]:
    return {
        "metadata": {
            "name": f"{BACKUP}-8hvqz",
            "namespace": NAMESPACE,
            "labels": {**_OF_BACKUP, "velero.io/pvc-uid": "c-2"},
        },
        "spec": {
            "snapshotType": "CSI",
            "sourceNamespace": "saasodoo",
            "sourcePVC": "postgres-1",
        },
        "status": {
            "phase": "Completed",
            "snapshotID": "9a07c4",
            "progress": {"bytesDone": 73400320, "totalBytes": 73400320},
        },
    }
