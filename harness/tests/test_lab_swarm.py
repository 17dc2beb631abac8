"""The lab's old platform: what is deployed is what its profile declares, and when it is whole."""

from __future__ import annotations

import json
import subprocess
import sys
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.lab import builds, machines, seed_data, swarm
from harness.lab.shape import LAB, Lab
from harness.settings import Profile, load_profile

LOG = Path("/dev/null")


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Lab.of(load_profile("lab"))


def test_the_stack_is_what_the_profile_declares(lab: Lab) -> None:
    stack = yaml.safe_load((LAB / "swarm/stack.yaml").read_text())
    declared = lab.profile.swarm
    assert declared is not None
    assert set(declared.managers) == {node.name for node in lab.nodes}
    services = {f"{swarm.STACK}_{name}": it for name, it in stack["services"].items()}
    assert {name: it["deploy"]["replicas"] for name, it in services.items()} == {
        name: it.replicas for name, it in declared.services.items()
    }
    for name, it in declared.services.items():
        published = {port["published"] for port in services[name].get("ports", ())}
        assert published == {answer.port for answer in it.answers}
        assert published <= set(lab.profile.exposed_ports)


def test_the_stack_runs_the_one_image_that_is_brought_and_that_no_registry_has() -> None:
    stack = yaml.safe_load((LAB / "swarm/stack.yaml").read_text())
    assert {it["image"] for it in stack["services"].values()} == {swarm.IMAGE}
    # Without ip_vs there is no virtual address, and no routing mesh.
    assert {it["deploy"]["endpoint_mode"] for it in stack["services"].values()} == {"dnsrr"}
    build = builds.system("workload", ".tar").path.name
    assert any(build.encode() in it for it in swarm.archive().inputs)
    assert swarm.IMAGE.startswith("localhost:1/")


def test_docker_takes_no_address_of_machines_pods_or_services(lab: Lab) -> None:
    daemon = json.loads((LAB / "machine/etc/docker/daemon.json").read_text())
    own = [pool["base"] for pool in daemon["default-address-pools"]]
    own.append(swarm.INIT[swarm.INIT.index("--default-addr-pool") + 1])
    kubernetes = lab.profile.kubernetes
    taken = [lab.shape.address.network, kubernetes.pod_network, kubernetes.service_network]
    for network in own:
        assert not [it for it in taken if ip_network(network).overlaps(ip_network(str(it)))]


@pytest.mark.parametrize(("name", "masked"), [("lab", False), ("lab-full", True)])
def test_a_lab_without_an_old_platform_runs_no_docker(
    tmp_path: Path, name: str, masked: bool
) -> None:
    asked = Lab.of(load_profile(name))
    machines._units(tmp_path, machines.masked(asked))
    units = [tmp_path / "etc/systemd/system" / unit for unit in machines.DOCKER]
    assert [unit.is_symlink() for unit in units] == [masked] * len(units)
    assert (tmp_path / "etc/systemd/system/etcd.service").readlink() == Path("/dev/null")


def node(name: str, **changes: str) -> dict[str, str]:
    well = {"ManagerStatus": "Reachable", "Status": "Ready", "Availability": "Active"}
    return {"Hostname": name, **well, **changes}


@pytest.mark.parametrize(
    ("nodes", "services", "mute", "words"),
    [
        ({}, ["3/3", "2/2"], False, ""),
        ({"Status": "Down"}, ["3/3", "2/2"], False, "not ready: vmi2887103"),
        ({"Availability": "Drain"}, ["3/3", "2/2"], False, "not ready: vmi2887103"),
        ({"ManagerStatus": ""}, ["3/3", "2/2"], False, "not ready: vmi2887103"),
        ({}, ["3/3", "1/2 (max 1 per node)"], False, "platform_worker has 1/2 of 2 tasks"),
        ({}, ["2/2", "2/2"], False, "platform_web has 2/2 of 3 tasks"),
        ({}, ["3/3"], False, "platform_worker has 0/0 of 2 tasks"),
        ({}, ["3/3", "2/2"], True, "platform_web does not answer on vmi2887101"),
    ],
)
def test_it_is_whole_when_all_of_it_serves(
    lab: Lab,
    monkeypatch: pytest.MonkeyPatch,
    nodes: dict[str, str],
    services: list[str],
    mute: bool,
    words: str,
) -> None:
    one, two, three = (it.name for it in lab.nodes)
    listed: dict[str, list[Any]] = {
        "node": [node(one, ManagerStatus="Leader"), node(two), node(three, **nodes)],
        "service": [
            {"Name": name, "Replicas": it}
            for name, it in zip(("platform_web", "platform_worker"), services, strict=False)
        ],
    }
    monkeypatch.setattr(swarm, "init", lambda *_: 7)
    monkeypatch.setattr(swarm, "_listed", lambda _, __, what, ___: listed[what])
    monkeypatch.setattr(swarm, "_answers", lambda *_: not mute)
    assert swarm.trouble(lab, LOG).startswith(words)
    assert bool(swarm.trouble(lab, LOG)) == bool(words)


def test_a_lab_without_an_old_platform_has_no_trouble_with_it() -> None:
    assert swarm.trouble(Lab.of(load_profile("lab-full")), LOG) == ""


def test_the_profile_reaches_who_records_as_it_was(lab: Lab) -> None:
    told = lab.profile.model_dump_json(by_alias=True)
    assert Profile.model_validate_json(told) == lab.profile


def test_the_existing_tree_is_laid_out_once(tmp_path: Path) -> None:
    script = seed_data.TREE.replace("/mnt/cephfs", str(tmp_path))
    seen = []
    for _ in range(2):
        subprocess.run([sys.executable, "-I", "-"], input=script, text=True, check=True)
        seen.append({it: it.lstat().st_mtime_ns for it in tmp_path.rglob("*")})
    assert seen[0] == seen[1]
    files = {it.relative_to(tmp_path).as_posix() for it in seen[0] if it.is_file()}
    assert {"platform/web/index.html", "odoo_instances/acme/odoo.conf"} <= files
