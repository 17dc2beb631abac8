"""The lab's image archives and manifests: layers in their order, and nothing that is not there."""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.lab import archives, cilium, images, metallb, traefik
from harness.lab.cloudnativepg.program import HERE, VERSION
from harness.lab.lifecycle import Up
from harness.lab.machines import fill
from harness.lab.platform import MANIFESTS
from harness.lab.rook import cluster
from harness.lab.rook.program import TAG
from harness.lab.shape import LAB, Lab
from harness.lab.stages import Stage
from harness.settings import load_profile

FOLDERS = (MANIFESTS, *(LAB / f"{part}/manifests" for part in ("cilium", "metallb", "traefik")))
# Its accounts and roles are in Rook's own manifests.
ROOK = LAB / "rook/manifests"


def test_images_share_layers_and_stack_them_in_order(tmp_path: Path) -> None:
    base, top = tmp_path / "base", tmp_path / "top"
    images.files_layer(base, {"etc/base": Path(__file__)})
    images.files_layer(top, {"opt/top": Path(__file__)})
    target = tmp_path / "archive.tar"
    images.archive(target, [images.Image("a:1", (base,)), images.Image("b:1", (base, top))])
    with tarfile.open(target) as archive:
        names = archive.getnames()
        manifest = json.load(archive.extractfile("manifest.json"))  # type: ignore[arg-type]
        stacks = {one["RepoTags"][0]: one["Layers"] for one in manifest}
        configs = {
            one["RepoTags"][0]: json.load(archive.extractfile(one["Config"]))  # type: ignore[arg-type]
            for one in manifest
        }
    digests = [hashlib.sha256(layer.read_bytes()).hexdigest() for layer in (base, top)]
    assert stacks == {"a:1": [f"{digests[0]}.tar"], "b:1": [f"{d}.tar" for d in digests]}
    assert len(names) == len(set(names)), "a layer is in the archive twice"
    assert configs["b:1"]["rootfs"]["diff_ids"] == [f"sha256:{digest}" for digest in digests]


def test_files_of_a_layer_belong_to_root_and_keep_their_times(tmp_path: Path) -> None:
    layer = tmp_path / "layer"
    images.files_layer(layer, {"opt/platform/x.py": Path(__file__)})
    with tarfile.open(layer) as content:
        entry = content.getmember("opt/platform/x.py")
    assert (entry.uid, entry.gid, entry.uname, entry.gname) == (0, 0, "root", "root")
    assert int(entry.mtime) == int(Path(__file__).stat().st_mtime)


WORDS = {"image": "lab/platform@sha256:0", "mount": "/mnt/cephfs"}


def documents() -> list[dict[str, Any]]:
    """Every Kubernetes object that the lab's own manifests declare."""
    paths = [path for folder in FOLDERS for path in folder.rglob("*.yaml")]
    texts = [
        fill(path.read_text(), WORDS) if path.is_relative_to(MANIFESTS) else path.read_text()
        for path in paths
        if path.name != "kustomization.yaml"
    ]
    found = [document for text in texts for document in yaml.safe_load_all(text)]
    return [document for document in found if "kind" in document]


def known_images(scratch: Path) -> set[str]:
    there = images.kubernetes("v1.34.4+lab", scratch, scratch)
    there.append(images.platform(scratch, scratch, scratch))
    mine = {f"lab/cilium:{cilium.VERSION}", f"lab/cloudnative-pg:{VERSION}"}
    mine |= {f"lab/traefik:{traefik.VERSION}", f"lab/rook:{TAG}", f"lab/ceph:{cluster.CEPH}"}
    mine |= {f"lab/metallb-{program}:{metallb.VERSION}" for program in metallb.PROGRAMS}
    return {image.name for image in there} | mine


def test_every_image_that_a_manifest_names_is_in_an_archive(tmp_path: Path) -> None:
    folders = (*FOLDERS, ROOK, HERE / "manifests")
    texts = [path.read_text() for folder in folders for path in folder.rglob("*.yaml")]
    named = {name for text in texts for name in re.findall(r"\blab/[a-z-]+:[\w.-]+", text)}
    assert named
    assert named <= known_images(tmp_path)


def test_every_pod_of_the_platform_names_a_service_account_that_is_declared() -> None:
    accounts = {
        (one["metadata"]["namespace"], one["metadata"]["name"])
        for one in documents()
        if one["kind"] == "ServiceAccount"
    }
    workloads = [one for one in documents() if one["kind"] in ("Deployment", "DaemonSet")]
    assert len(workloads) == 12
    for one in workloads:
        pod = one["spec"]["template"]["spec"]
        own = (one["metadata"]["namespace"], pod.get("serviceAccountName"))
        assert own in accounts or pod["automountServiceAccountToken"] is False


def test_no_role_of_the_platform_may_do_everything() -> None:
    for one in documents():
        for rule in one.get("rules", ()) if one["kind"] == "ClusterRole" else ():
            assert "*" not in (*rule["verbs"], *rule["resources"], *rule["apiGroups"])


def test_what_the_controllers_run_is_in_their_image() -> None:
    texts = [path.read_text() for path in MANIFESTS.rglob("*.yaml")]
    run = {name for text in texts for name in re.findall(r"/opt/platform/([\w.]+)", text)}
    assert run == {archives.PROVISIONER.removeprefix("platform/")}
    started = {path.name for path in archives.parts().values()}
    assert {"__main__.py", "frontend.html", "settings.py"} <= started


def test_every_library_is_locked_by_a_hash_and_names_no_host() -> None:
    lock = (LAB / "images/platform.lock").read_text()
    lines = [line for line in lock.splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+ --hash=sha256:[0-9a-f]{64}", li) for li in lines)
    assert "://" not in lock


def stages(profile: str) -> dict[str, Stage]:
    return {stage.name: stage for stage in Up(Lab.of(load_profile(profile))).from_nothing()}


def test_every_stage_needs_only_stages_before_it() -> None:
    for profile in ("lab", "lab-full"):
        seen: set[str] = set()
        for name, stage in stages(profile).items():
            assert set(stage.needs) <= seen, f"{profile}: {name} comes too early"
            seen.add(name)


@pytest.mark.parametrize("profile", ["lab", "lab-full"])
def test_nothing_works_on_a_machine_that_loses_its_power_once_more_for_its_last_partition(
    profile: str,
) -> None:
    needs: dict[str, set[str]] = {}
    for name, stage in stages(profile).items():
        needs[name] = {*stage.needs, *(further for it in stage.needs for further in needs[it])}
    booted = {name for name, needed in needs.items() if "boot" in needed}
    early = {name for name in booted if "last partition" not in needs[name]}
    assert early == {"last partition"}


def test_the_quick_shape_builds_nothing_of_the_full_one() -> None:
    extra = stages("lab-full").keys() - stages("lab").keys()
    assert {"cilium programs", "metallb programs", "load balancer"} <= extra
    assert not [name for name in stages("lab") if "cilium" in name or "metallb" in name]
