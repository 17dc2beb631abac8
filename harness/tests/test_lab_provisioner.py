"""The provisioner of class cephfs: what is due, for any state of claims and volumes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.client import ApiException

from harness.lab.platform import provisioner
from harness.lab.platform.provisioner import Grow, Provision, Reclaim, due

CLASS = {"metadata": {"name": "cephfs"}, "reclaimPolicy": "Delete"}


def claim(size: str = "1Gi", *, has: str = "", phase: str = "Pending", **spec: Any) -> Any:
    capacity = {"capacity": {"storage": has}} if has else {}
    return {
        "metadata": {"namespace": "odoo", "name": "data", "uid": "u1"},
        "spec": {
            "storageClassName": "cephfs",
            "accessModes": ["ReadWriteMany"],
            "resources": {"requests": {"storage": size}},
            **spec,
        },
        "status": {"phase": phase, **capacity},
    }


def volume_of(claim: Any, *, phase: str = "Bound", **spec: Any) -> Any:
    made = provisioner.volume(CLASS, claim)
    return {**made, "spec": {**made["spec"], **spec}, "status": {"phase": phase}}


def acts(claims: list[Any], volumes: list[Any]) -> list[type]:
    by_uid = {one["metadata"]["uid"]: one for one in claims}
    by_name = {one["metadata"]["name"]: one for one in volumes}
    return [type(act) for act in due(CLASS, by_uid, by_name)]


def test_a_claim_without_a_volume_gets_one() -> None:
    assert acts([claim()], []) == [Provision]


def test_nothing_is_due_for_a_claim_that_has_what_it_asks_for() -> None:
    one = claim(has="1Gi", phase="Bound")
    assert acts([one], [volume_of(one)]) == []


@pytest.mark.parametrize(
    "not_ours",
    [
        claim(storageClassName="other"),
        claim(volumeName="made-by-hand"),
        {**claim(), "metadata": {**claim()["metadata"], "deletionTimestamp": "now"}},
    ],
    ids=["another class", "bound by hand", "on its way out"],
)
def test_a_claim_that_is_not_ours_to_serve_is_left_alone(not_ours: Any) -> None:
    assert acts([not_ours], []) == []


def test_a_claim_that_grew_grows_and_one_that_is_not_bound_yet_waits() -> None:
    small = volume_of(claim("1Gi"))
    assert acts([claim("2Gi", has="1Gi", phase="Bound")], [small]) == [Grow]
    assert acts([claim("2Gi")], [small]) == []


def test_growth_that_was_interrupted_between_volume_and_claim_goes_on() -> None:
    grown = volume_of(claim("2Gi"))
    assert acts([claim("2Gi", has="1Gi", phase="Bound")], [grown]) == [Grow]


def test_a_released_volume_goes_unless_it_is_to_be_kept() -> None:
    released = volume_of(claim(), phase="Released")
    kept = volume_of(claim(), phase="Released", persistentVolumeReclaimPolicy="Retain")
    assert acts([], [released]) == [Reclaim]
    assert acts([], [kept]) == []
    assert acts([], [volume_of(claim())]) == []


def test_the_volume_is_bound_to_its_claim_alone() -> None:
    spec = provisioner.volume(CLASS, claim())["spec"]
    assert spec["claimRef"]["uid"] == "u1"
    assert spec["hostPath"] == {"path": "/mnt/cephfs/volumes/odoo-data-u1", "type": "Directory"}
    assert spec["accessModes"] == ["ReadWriteMany"]


@pytest.mark.parametrize(("text", "size"), [("1Gi", 1 << 30), ("500M", 500_000_000), ("7", 7)])
def test_sizes_are_read_as_kubernetes_writes_them(text: str, size: int) -> None:
    assert provisioner.requested(claim(text)) == size


def test_removing_a_volume_twice_is_as_good_as_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provisioner, "VOLUMES", tmp_path)
    released = volume_of(claim(), phase="Released")
    folder = Path(released["spec"]["hostPath"]["path"])
    (folder / "filestore").mkdir(parents=True)
    calls: list[str] = []

    def delete(name: str, **_: Any) -> None:
        calls.append(name)
        if len(calls) > 1:
            raise ApiException(status=404)

    api = SimpleNamespace(delete_persistent_volume=delete)
    Reclaim(released).do(api)
    Reclaim(released).do(api)
    assert not folder.exists()
    assert calls == ["pvc-u1", "pvc-u1"]


def test_a_folder_elsewhere_is_never_removed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    elsewhere = volume_of(claim(), hostPath={"path": str(precious)})
    with pytest.raises(ValueError, match="left alone"):
        Reclaim(elsewhere).do(None)
    assert precious.exists()
