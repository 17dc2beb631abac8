"""The lab's CloudNativePG: what is deployed is what its profile declares, and when it is whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.lab import cloudnativepg
from harness.lab.cloudnativepg.program import HERE, MODULE, VERSION
from harness.lab.lifecycle import Up
from harness.lab.shape import Lab
from harness.settings import load_profile

LOG = Path("/dev/null")
MANIFESTS = HERE / "manifests"
OBJECTS = {it["kind"]: it for it in yaml.safe_load_all((MANIFESTS / "cluster.yaml").read_text())}


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Lab.of(load_profile("lab"))


def test_the_cluster_is_what_the_profile_declares(lab: Lab) -> None:
    cluster, declared = OBJECTS["Cluster"], lab.profile.postgres
    assert declared is not None
    assert cluster["metadata"] == {"name": declared.cluster, "namespace": declared.namespace}
    assert f"cnpg.io/cluster={declared.cluster}" in declared.selector.split(",")
    assert cluster["spec"]["storage"]["storageClass"] == lab.profile.storage.class_name  # type: ignore[union-attr]
    # Its image is one that the machines have.
    catalog = OBJECTS["ImageCatalog"]
    assert cluster["spec"]["imageCatalogRef"]["name"] == catalog["metadata"]["name"]
    assert [it["image"] for it in catalog["spec"]["images"]] == [lab.profile.database_image]


def test_two_copies_on_two_machines_have_every_commit() -> None:
    spec = OBJECTS["Cluster"]["spec"]
    assert (spec["instances"], spec["affinity"]["podAntiAffinityType"]) == (2, "required")
    told = {"method": "any", "number": 1, "dataDurability": "required"}
    assert spec["postgresql"]["synchronous"] == told


def test_the_operator_is_of_one_version_everywhere() -> None:
    patched = (MANIFESTS / "operator/kustomization.yaml").read_text()
    assert patched.count(VERSION) == 2
    required = (HERE / "go.mod").read_text()
    assert f"{MODULE} v{VERSION} " in required


def test_the_program_is_built_after_the_others_and_filled_before_speed_is_recorded(
    lab: Lab,
) -> None:
    stages = {it.name: it for it in Up(lab).from_nothing()}

    def before(name: str) -> set[str]:
        needs = stages[name].needs
        return {*needs, *(it for need in needs for it in before(need))}

    assert "rook program" in before("postgres program")
    assert {"swarm", "platform"} <= before("postgres filled")
    assert "postgres filled" in before("records")
    assert "postgres whole" in {it.name for it in Up(lab).from_golden()}


def test_a_lab_that_declares_none_has_none() -> None:
    full = Lab.of(load_profile("lab-full"))
    assert not [it.name for it in Up(full).from_nothing() if "postgres" in it.name]
    assert cloudnativepg.trouble(full, LOG) == ""


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ([], "its Cluster is not there"),
        ([{"status": {"phase": "Setting up primary"}}], "its Cluster is Setting up primary"),
        ([{}], "its Cluster is None"),
        ([{"status": {"phase": cloudnativepg.HEALTHY}}], ""),
    ],
)
def test_it_is_whole_once_its_operator_says_so(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, found: list[Any], says: str
) -> None:
    monkeypatch.setattr(cloudnativepg, "objects", lambda *_, **__: found)
    assert cloudnativepg.trouble(lab, LOG) == says
