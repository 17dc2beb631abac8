"""Volumes of the harness's own claims, where their class keeps them (reclaim policy Retain).

A volume that is kept stays Released once its claim is gone, with its space in Ceph. Its policy
decides at that moment or later: the driver's provisioner removes a Released volume, and the space
behind it, as soon as its policy is Delete. Deleting the PersistentVolume itself would lose the
space for good.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from harness.probes.objects import Odd, listed, must, part, text
from harness.transport import Kube

# Namespaces that the harness makes: of a look, and of a ledger.
_OURS = re.compile(r"cutover-(probe|ledger)-[0-9a-z]+")


def give_back(kube: Kube, space: str) -> None:
    """Have every volume of a namespace's claims removed with its claim; raises TransportError."""
    for name, volume in _kept(kube):
        if _space(volume) == space:
            _set_delete(kube, name)


def sweep(kube: Kube, spaces: Collection[str]) -> None:
    """Have the volumes removed that looks have left which were killed: ours, Released, and of no
    namespace that is still there (``spaces``)."""
    for name, volume in _kept(kube):
        space, phase = _space(volume), text(volume, "status", "phase")
        if phase == "Released" and space and space not in spaces and _OURS.fullmatch(space):
            _set_delete(kube, name)


def of_claim(kube: Kube, space: str, claim: str) -> str | None:
    """In which phase a claim's volume is, and its policy; None when there is no volume."""
    for volume in _volumes(kube):
        if (_space(volume), text(_reference(volume), "name")) == (space, claim):
            kept = text(volume, "spec", "persistentVolumeReclaimPolicy")
            return f"{text(volume, 'status', 'phase')}, reclaim policy {kept}"
    return None


def modes(kube: Kube, space: str) -> dict[str, list[str]]:
    """How the volumes of a namespace's claims may be mounted, by claim, bound to it or not."""
    ours = [volume for volume in _volumes(kube) if _space(volume) == space]
    return {
        str(text(_reference(volume), "name")): list(listed(volume, "spec", "accessModes"))
        for volume in ours
    }


def _volumes(kube: Kube) -> Iterator[Mapping[str, Any]]:
    """Every volume that says whose it is; one that does not is none of ours."""
    for volume in listed(kube.get("/api/v1/persistentvolumes"), "items"):
        try:
            if _space(volume):
                yield volume
        except Odd:
            continue


def _kept(kube: Kube) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for volume in _volumes(kube):
        if text(volume, "spec", "persistentVolumeReclaimPolicy") == "Retain":
            yield must(volume, "metadata", "name"), volume


def _reference(volume: Mapping[str, Any]) -> Mapping[str, Any]:
    return part(volume, "spec", "claimRef")


def _space(volume: Mapping[str, Any]) -> str | None:
    return text(_reference(volume), "namespace")


def _set_delete(kube: Kube, name: str) -> None:
    kube.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name},
            "spec": {"persistentVolumeReclaimPolicy": "Delete"},
        }
    )
