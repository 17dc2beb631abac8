"""Provisioner of StorageClass cephfs: each claim gets a directory on CephFS, its size as quota.

Runs in a container under kopf. Two provisioners run side by side without a leader: each computes
its actions from the API every second, and every action is safe to repeat.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import kopf
from kubernetes import client, config
from kubernetes.utils.quantity import parse_quantity

MOUNT = Path(os.environ.get("CEPHFS", "/mnt/cephfs"))
VOLUMES = MOUNT / "volumes"
PROVISIONER = "cutover.lab/cephfs"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
CONFLICT, NOT_FOUND = 409, 404
ANSWER_WITHIN_S = 5

Object = Mapping[str, Any]
Index = kopf.Index[str, Object]


class Act(Protocol):
    """One action to take."""

    def do(self, api: client.CoreV1Api) -> None: ...


@dataclass(frozen=True)
class Provision:
    """A claim has no volume: make its directory, then the volume that is bound to it."""

    storage_class: Object
    claim: Object

    def do(self, api: client.CoreV1Api) -> None:
        folder = directory(self.claim)
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o777)  # like Ceph-CSI: the pod may run as any user and must be able to write
        set_quota(folder, requested(self.claim))
        with_it = volume(self.storage_class, self.claim)
        try:
            api.create_persistent_volume(with_it, _request_timeout=ANSWER_WITHIN_S)
        except client.ApiException as error:
            if error.status != CONFLICT:
                raise


@dataclass(frozen=True)
class Grow:
    """A claim asks for more than it has: raise the quota, then say so on volume and claim."""

    claim: Object
    volume: Object

    def do(self, api: client.CoreV1Api) -> None:
        set_quota(Path(self.volume["spec"]["hostPath"]["path"]), requested(self.claim))
        capacity = {"capacity": {"storage": self.claim["spec"]["resources"]["requests"]["storage"]}}
        api.patch_persistent_volume(
            self.volume["metadata"]["name"], {"spec": capacity}, _request_timeout=ANSWER_WITHIN_S
        )
        api.patch_namespaced_persistent_volume_claim_status(
            self.claim["metadata"]["name"],
            self.claim["metadata"]["namespace"],
            {"status": capacity},
            _request_timeout=ANSWER_WITHIN_S,
        )


@dataclass(frozen=True)
class Reclaim:
    """A volume is released and not to be kept: remove its directory, then the volume."""

    volume: Object

    def do(self, api: client.CoreV1Api) -> None:
        folder = Path(self.volume["spec"]["hostPath"]["path"])
        if folder.parent != VOLUMES:
            raise ValueError(f"{folder} is not a folder of {VOLUMES}: left alone")
        if folder.exists():
            shutil.rmtree(folder)
        try:
            api.delete_persistent_volume(
                self.volume["metadata"]["name"], _request_timeout=ANSWER_WITHIN_S
            )
        except client.ApiException as error:
            if error.status != NOT_FOUND:
                raise


def due(
    storage_class: Object, claims: Mapping[str, Object], volumes: Mapping[str, Object]
) -> Iterator[Act]:
    """The actions for a class; claims by UID, volumes by name."""
    for claim in claims.values():
        has = volumes.get(volume_name(claim))
        if claim["spec"].get("storageClassName") != storage_class["metadata"]["name"]:
            continue
        if has is None:
            if not (claim["spec"].get("volumeName") or "deletionTimestamp" in claim["metadata"]):
                yield Provision(storage_class, claim)
        elif claim["status"].get("phase") == "Bound" and requested(claim) > min(
            _bytes(has["spec"]), _bytes(claim["status"])
        ):
            yield Grow(claim, has)
    for has in volumes.values():
        spec = has["spec"]
        if spec["storageClassName"] != storage_class["metadata"]["name"]:
            continue
        kept = spec["persistentVolumeReclaimPolicy"] != "Delete"
        if has["status"].get("phase") == "Released" and not kept:
            yield Reclaim(has)


def volume_name(claim: Object) -> str:
    return f"pvc-{claim['metadata']['uid']}"


def directory(claim: Object) -> Path:
    """The claim's own directory: its name is for operators, its UID makes it unique."""
    metadata = claim["metadata"]
    return VOLUMES / f"{metadata['namespace']}-{metadata['name']}-{metadata['uid']}"


def requested(claim: Object) -> int:
    """The size in bytes that the claim requests."""
    return int(parse_quantity(claim["spec"]["resources"]["requests"]["storage"]))


def _bytes(holder: Object) -> int:
    return int(parse_quantity(holder.get("capacity", {}).get("storage", "0")))


def volume(storage_class: Object, claim: Object) -> dict[str, Any]:
    """The PersistentVolume for a claim."""
    metadata, spec = claim["metadata"], claim["spec"]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": volume_name(claim),
            # Without it Kubernetes would try to remove the directory itself, and fail.
            "annotations": {PROVISIONED_BY: PROVISIONER},
        },
        "spec": {
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "accessModes": list(spec["accessModes"]),
            "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy", "Delete"),
            "storageClassName": spec["storageClassName"],
            "hostPath": {"path": str(directory(claim)), "type": "Directory"},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
        },
    }


def set_quota(folder: Path, size_bytes: int) -> None:
    """Limit a directory to that many bytes; Ceph's clients obey it."""
    os.setxattr(folder, "ceph.quota.max_bytes", str(size_bytes).encode())


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    """Notice within seconds that an API server disappeared."""
    config.load_incluster_config()
    settings.posting.enabled = False
    settings.watching.server_timeout = 20
    settings.watching.client_timeout = 25
    settings.watching.connect_timeout = 5


@kopf.index("persistentvolumeclaims")
def claims(uid: str, body: kopf.Body, **_: Any) -> dict[str, Object]:
    return {uid: body}


@kopf.index("persistentvolumes", annotations={PROVISIONED_BY: PROVISIONER})
def volumes(name: str, body: kopf.Body, **_: Any) -> dict[str, Object]:
    return {name: body}


@kopf.timer("storageclasses", interval=1, field="provisioner", value=PROVISIONER)
def provision(body: kopf.Body, logger: kopf.Logger, **seen: Any) -> None:
    """Take all actions for the class; a failed one is retried a second later."""
    if not MOUNT.is_mount():
        raise kopf.TemporaryError(f"CephFS is not mounted at {MOUNT}", delay=2)
    api = client.CoreV1Api()
    for act in due(body, _latest(seen["claims"]), _latest(seen["volumes"])):
        try:
            act.do(api)
        except (OSError, ValueError, client.ApiException) as error:
            # The other actions do not wait for this one.
            logger.warning("%s: %s", type(act).__name__, error)


def _latest(index: Index) -> dict[str, Object]:
    return {key: value for key in index for value in index[key]}
