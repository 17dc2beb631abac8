"""The lab's pure parts: its images, files, keys and locks."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import jinja2
import pytest
import yaml

from harness.core.errors import ConfigError, LabError, Refused, TimedOut
from harness.lab import builds, cgroups, host, images, kubernetes, lifecycle, machines
from harness.lab.shape import LAB, Lab
from harness.settings import Profile, load_profile


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """The default lab, with its state and cache in a folder of the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Lab.of(load_profile("lab"))


def changed(profile: Profile, **lab: object) -> Profile:
    return profile.model_copy(update={"lab": {**(profile.lab or {}), **lab}})


def test_a_cluster_that_is_no_lab_is_refused_as_one() -> None:
    profile = load_profile("lab").model_copy(update={"lab": None})
    with pytest.raises(ConfigError, match="not a lab"):
        Lab.of(profile)


def test_a_lab_of_impossible_size_is_refused(lab: Lab) -> None:
    with pytest.raises(ConfigError, match="memory_gb"):
        Lab.of(changed(lab.profile, memory_gb=1))


def test_even_half_a_lab_of_other_code_is_not_gone_on_with(lab: Lab) -> None:
    lifecycle.same_code(lab)  # none is there
    lab.begun.parent.mkdir(parents=True)
    lab.begun.write_text(lab.key)
    lifecycle.same_code(lab)
    lab.begun.write_text("another")
    with pytest.raises(Refused, match="another checkout"):
        lifecycle.same_code(lab)


def test_the_key_changes_with_what_a_lab_is_made_of(lab: Lab) -> None:
    assert Lab.of(lab.profile).key == lab.key
    assert Lab.of(changed(lab.profile, osd_gb=9)).key != lab.key


def test_every_template_of_a_machine_is_filled_and_keeps_its_end(lab: Lab) -> None:
    for node in lab.nodes:
        words = machines.words(lab, node)
        for path in (LAB / "machine").rglob("*"):
            if path.is_file():
                text = path.read_text()
                filled = machines.fill(text, words)
                assert "{{" not in filled
                assert filled.endswith("\n") == text.endswith("\n")


def test_a_template_that_names_what_is_not_there_is_an_error() -> None:
    assert machines.fill("to={{ address }}\n", {"address": "10.0.0.1"}) == "to=10.0.0.1\n"
    with pytest.raises(jinja2.UndefinedError, match="adress"):
        machines.fill("to={{ adress }}\n", {"address": "10.0.0.1"})


def test_each_machine_is_told_of_the_others_and_has_a_rank_of_its_own(lab: Lab) -> None:
    words = [machines.words(lab, node) for node in lab.nodes]
    assert len({word["priority"] for word in words}) == len(lab.nodes)
    assert all(word["address"] not in word["peers"] for word in words)


def test_kubeadm_is_told_rke2s_places(lab: Lab) -> None:
    documents = list(yaml.safe_load_all(kubernetes.configuration(lab, lab.nodes[1])))
    cluster = next(d for d in documents if d["kind"] == "ClusterConfiguration")
    assert cluster["certificatesDir"] == "/var/lib/rancher/rke2/server/tls"
    assert cluster["controlPlaneEndpoint"] == f"{lab.shape.api_address}:6443"
    join = next(d for d in documents if d["kind"] == "JoinConfiguration")
    assert join["controlPlane"]["localAPIEndpoint"]["advertiseAddress"] == lab.nodes[1].address


def test_etcd_is_told_what_rke2_tells_it_and_of_the_members_before_it(lab: Lab) -> None:
    texts = [kubernetes.etcd_configuration(lab, node) for node in lab.nodes]
    first, second, _ = (yaml.safe_load(text) for text in texts)
    assert first["listen-client-http-urls"] == "https://127.0.0.1:2382"
    assert (first["initial-cluster-state"], second["initial-cluster-state"]) == ("new", "existing")
    assert first["initial-cluster"] == "vmi2887101=https://10.0.0.1:2380"
    assert second["initial-cluster"].endswith(",vmi2887102=https://10.0.0.2:2380")
    assert not [word for text in texts for word in text.split("@")[1::2]]


def test_images_of_an_archive_share_their_layers(tmp_path: Path) -> None:
    base, kube = tmp_path / "base.tar", tmp_path / "kube"
    tarfile.open(base, "w").close()
    kube.write_bytes(b"binary")
    layer, archive = tmp_path / "layer.tar", tmp_path / "archive.tar"
    images.binary_layer(layer, kube)
    images.archive(archive, images.kubernetes("v1.34.4+lab", base, layer))
    with tarfile.open(archive) as written:
        names = written.getnames()
        content = written.extractfile("manifest.json")
        assert content is not None
        manifest = json.load(content)
    assert names.count(f"{hashlib.sha256(base.read_bytes()).hexdigest()}.tar") == 1
    tags = {tag for image in manifest for tag in image["RepoTags"]}
    assert {"lab/kube-apiserver:v1.34.4_lab", "lab/coredns:1", "lab/workload:1"} <= tags


def test_the_kubernetes_layer_answers_to_every_component(tmp_path: Path) -> None:
    kube, layer = tmp_path / "kube", tmp_path / "layer.tar"
    kube.write_bytes(b"binary")
    images.binary_layer(layer, kube)
    with tarfile.open(layer) as written:
        links = {entry.name.split("/")[-1]: entry.linkname for entry in written if entry.issym()}
    assert links == dict.fromkeys(images.COMPONENTS, "kube")


def test_a_build_appears_whole_or_not_at_all(lab: Lab) -> None:
    def broken(target: Path, _: Path) -> None:
        target.write_text("half")
        raise LabError("interrupted")

    build = builds.Build("thing", (b"input",), broken)
    with pytest.raises(LabError):
        build.ensure(lab.logs / "log")
    assert not build.done
    assert list(build.path.parent.glob(".*")) == []


def test_a_build_is_made_once_for_the_same_inputs(lab: Lab) -> None:
    made: list[Path] = []

    def make(target: Path, _: Path) -> None:
        target.write_text("whole")
        made.append(target)

    for _ in range(2):
        builds.Build("thing", (b"input",), make).ensure(lab.logs / "log")
    builds.Build("thing", (b"other input",), make).ensure(lab.logs / "log")
    assert len(made) == 2


def test_the_lock_tells_who_holds_the_lab(lab: Lab) -> None:
    with (
        lifecycle.locked(lab, alone=True),
        pytest.raises(Refused, match=f"process {os.getpid()}"),
        lifecycle.locked(lab, alone=False),
    ):
        pass
    with lifecycle.locked(lab, alone=False), lifecycle.locked(lab, alone=False):
        pass


def test_a_command_that_fails_is_told_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no such thing"):
        host.run(["sh", "-c", "echo no such thing >&2; exit 3"], log=tmp_path / "log")


def test_a_command_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="did not end within"):
        host.run(["sleep", "60"], log=tmp_path / "log", within_s=0.2)


def test_packages_are_named_and_nothing_is_installed_without_leave(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "missing_packages", lambda _: ["mmdebstrap", "gdisk"])
    with pytest.raises(ConfigError, match="mmdebstrap gdisk"):
        lifecycle.require_packages(lambda _: None, install=False, log=lab.logs / "log")


def test_a_host_that_does_not_know_the_keys_of_the_machines_debian_lacks_their_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "KEYRINGS", tmp_path)
    lacking = host.missing_packages("trixie")
    assert "debian-archive-keyring" in lacking
    (tmp_path / "debian-archive-trixie-stable.gpg").touch()
    assert "debian-archive-keyring" not in host.missing_packages("trixie")


@pytest.mark.parametrize("failures", [0, 1, cgroups.FREEZE_TRIES])
def test_machines_that_do_not_stand_still_go_on_before_the_next_try(
    monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    asked: list[tuple[tuple[str, ...], bool]] = []

    def freeze(groups: Sequence[str], frozen: bool) -> None:
        asked.append((tuple(groups), frozen))
        if asked.count((("lab/one",), True)) <= failures and asked[-1] == (("lab/one",), True):
            raise TimedOut("lab/one is frozen: not within 20 s")

    monkeypatch.setattr(cgroups, "freeze", freeze)
    containers = ("lab/one/docker", "lab/one/kubepods")
    stops = [(containers, True), (("lab/one",), True)]
    goes_on = (("lab/one", *containers), False)
    if failures < cgroups.FREEZE_TRIES:
        cgroups.stand_still(["lab/one"], containers)
        assert asked == [*stops, goes_on] * failures + stops
    else:
        with pytest.raises(TimedOut):
            cgroups.stand_still(["lab/one"], containers)
        assert asked == [*stops, goes_on] * (failures - 1) + stops


def test_every_group_is_asked_to_stand_still_before_one_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = [tmp_path / name / "freezer.state" for name in ("one", "two")]
    for state in states:
        state.parent.mkdir()
        state.write_text("THAWED")
    monkeypatch.setattr(cgroups, "hierarchies", lambda: [tmp_path])
    seen = []
    monkeypatch.setattr(
        cgroups, "until", lambda *_, **__: seen.append([*map(Path.read_text, states)])
    )
    cgroups.freeze(["one", "two", "absent"], True)
    assert seen == [["FROZEN", "FROZEN"]] * 2


def test_without_root_the_lab_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ConfigError, match="needs root"):
        lifecycle.require_root()


def node_list(lab: Lab) -> list[dict[str, object]]:
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    return [
        {"kind": "Node", "metadata": {"name": node.name}, "status": ready} for node in lab.nodes
    ]


@pytest.mark.parametrize(("started", "says"), [("09:59:58", "is not ready"), ("10:00:00", "")])
def test_a_pod_that_was_ready_before_its_machine_lost_power_is_not_ready(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, started: str, says: str
) -> None:
    status = {
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [{"state": {"running": {"startedAt": f"2026-11-24T{started}Z"}}}],
    }
    pod = {
        "kind": "Pod",
        "metadata": {"namespace": "shop", "name": "web"},
        "spec": {"nodeName": lab.nodes[0].name},
        "status": status,
    }
    listed = [*node_list(lab), pod]
    powered = datetime(2026, 11, 24, 10, 0, 0, 400_000, tzinfo=UTC).timestamp()
    monkeypatch.setattr(kubernetes, "objects", lambda *_, **__: listed)
    monkeypatch.setattr(kubernetes, "on_since", lambda *_: powered)
    found = kubernetes.trouble(lab, Path(os.devnull))
    assert says in found
    assert bool(found) == bool(says)
