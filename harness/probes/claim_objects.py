"""The StorageClass, the claims and their volumes, as the API shows them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness.core.errors import ConfigError, HarnessError, TimedOut
from harness.core.model import JSON
from harness.core.waiting import until
from harness.facts.claims import Bound, Claim, StorageClass, Unasked, Waiting
from harness.probes import owned, pods
from harness.settings import Storage
from harness.transport import Kube, Reach
from harness.transport.objects import (
    Object,
    flag,
    listed,
    must,
    name_of,
    part,
    quantity,
    text,
    texts,
)

SHARED, LIMITED = "shared", "limited"
MIB = 1 << 20
# The size of each claim. Twenty are bound at once: enough to tell how long one takes.
SIZES: Mapping[str, int] = {
    SHARED: 256 * MIB,
    LIMITED: 64 * MIB,
    **{f"spare-{number:02}": 16 * MIB for number in range(1, 19)},
}
# These parameters of a class say where the data of its volumes goes.
PLACES = ("clusterID", "fsName", "pool")


def storage(reach: Reach) -> Storage:
    """The declared StorageClass; ConfigError without one."""
    if reach.profile.storage is None:
        raise ConfigError(
            "the profile declares no StorageClass", remedy="name it in `storage:`, with its pool"
        )
    return reach.profile.storage


def storage_class(kube: Kube, name: str) -> StorageClass | None:
    """The class in the cluster; None without one."""
    for item in listed(kube.get("/apis/storage.k8s.io/v1/storageclasses"), "items"):
        if name_of(item) == name:
            parameters = texts(item, "parameters")
            return StorageClass(
                provisioner=must(item, "provisioner"),
                reclaim_policy=text(item, "reclaimPolicy") or "Delete",
                expands=flag(item, "allowVolumeExpansion"),
                parameters={key: value for key, value in parameters.items() if key in PLACES},
            )
    return None


def claim(space: str, name: str, class_name: str, size: int) -> dict[str, JSON]:
    """A claim that all machines may write at the same time."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": space},
        "spec": {
            "storageClassName": class_name,
            "accessModes": ["ReadWriteMany"],
            "resources": {"requests": {"storage": f"{size // MIB}Mi"}},
        },
    }


def bind(
    reach: Reach, space: str, *, sizes: Mapping[str, int] = SIZES, within_s: float
) -> Mapping[str, Claim]:
    """Request all claims at once; report when each was bound, or what the cluster says of it."""
    class_name = storage(reach).class_name
    began: dict[str, float] = {}
    unasked: dict[str, str] = {}
    bound: dict[str, Bound] = {}
    for name, size in sizes.items():
        began[name] = time.monotonic()
        try:
            reach.kube.apply(claim(space, name, class_name, size))
        except HarnessError as error:
            unasked[name] = str(error)
    waiting = [name for name in sizes if name not in unasked]

    def all_bound() -> bool:
        for name, spec in _bound(reach.kube, space, waiting).items():
            after_s = round(time.monotonic() - began[name], 1)
            bound.setdefault(name, Bound(after_s=after_s, volume=text(spec, "volumeName")))
        return len(bound) == len(waiting)

    with contextlib.suppress(TimedOut):
        until(all_bound, within_s=within_s, every_s=0.2, what="every claim bound")
    modes = {claim: tuple(it) for claim, it in owned.volume_modes(reach.kube, space).items()}
    said = pods.warnings(reach.kube, space) if len(bound) < len(waiting) else {}

    def came_of(name: str) -> Claim:
        if name in unasked:
            return Unasked(error=unasked[name], modes=modes.get(name))
        if name in bound:
            return replace(bound[name], modes=modes.get(name))
        return Waiting(said=said.get(name, "nothing"), waited_s=within_s, modes=modes.get(name))

    return {name: came_of(name) for name in sizes}


def _bound(kube: Kube, space: str, names: Sequence[str]) -> dict[str, Object]:
    claims = listed(kube.get(f"/api/v1/namespaces/{space}/persistentvolumeclaims"), "items")
    return {
        must(item, "metadata", "name"): part(item, "spec")
        for item in claims
        if must(item, "metadata", "name") in names and text(item, "status", "phase") == "Bound"
    }


def capacity(kube: Kube, space: str, name: str) -> int | None:
    """The current size of a claim in bytes, by its status."""
    path = f"/api/v1/namespaces/{space}/persistentvolumeclaims/{name}"
    size = text(kube.get(path), "status", "capacity", "storage")
    return None if size is None else quantity(size)
