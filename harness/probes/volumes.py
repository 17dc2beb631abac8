"""Volumes of the harness's own claims, if their class keeps them (reclaim policy Retain).

A kept volume stays Released once its claim is gone, and keeps its space in Ceph. The driver's
provisioner removes a Released volume and its space as soon as its policy is Delete, also later.
Deleting the PersistentVolume itself would lose the space for good.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator

from harness.transport import Kube
from harness.transport.objects import Odd, listed, must, text, words

# Namespaces that the harness makes: of a look, and of a ledger.
_OURS = re.compile(r"cutover-(probe|ledger)-[0-9a-z]+")


def give_back(kube: Kube, space: str) -> None:
    """Make every volume of a namespace's claims go with its claim; raises TransportError."""
    for volume in _of(kube, space.__eq__):
        _set_delete(kube, volume)


def sweep(kube: Kube, spaces: Collection[str]) -> None:
    """Remove the volumes that killed looks have left.

    These are Released, and their claim was in a harness namespace that is not in ``spaces``, the
    names of those that still exist.
    """
    for volume in _of(kube, lambda it: bool(_OURS.fullmatch(it)) and it not in spaces):
        if text(volume, "status", "phase") == "Released":
            _set_delete(kube, volume)


def of_claim(kube: Kube, space: str, claim: str) -> str | None:
    """The phase and policy of a claim's volume; None without a volume."""
    for volume in _of(kube, space.__eq__):
        if text(volume, "spec", "claimRef", "name") == claim:
            return f"{text(volume, 'status', 'phase')}, reclaim policy {_policy(volume)}"
    return None


def modes(kube: Kube, space: str) -> dict[str, list[str]]:
    """The access modes of the volumes of a namespace's claims, by claim, bound to it or not."""
    return {
        must(volume, "spec", "claimRef", "name"): words(volume, "spec", "accessModes")
        for volume in _of(kube, space.__eq__)
    }


def _of(kube: Kube, ours: Callable[[str], bool]) -> Iterator[object]:
    """The volumes of claims in these namespaces; volumes of other claims are not read further."""
    for volume in listed(kube.get("/api/v1/persistentvolumes"), "items"):
        try:
            space = text(volume, "spec", "claimRef", "namespace")
        except Odd:
            continue
        if space and ours(space):
            yield volume


def _policy(volume: object) -> str | None:
    return text(volume, "spec", "persistentVolumeReclaimPolicy")


def _set_delete(kube: Kube, volume: object) -> None:
    if _policy(volume) == "Retain":
        kube.apply(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": must(volume, "metadata", "name")},
                "spec": {"persistentVolumeReclaimPolicy": "Delete"},
            }
        )
