"""The lab's old platform: what is deployed is what its profile declares, and when it is whole."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from harness.lab import builds, machines, seed_data, swarm, traefik
from harness.lab.shape import LAB, Lab, Node
from harness.settings import Profile, load_profile
from harness.tests import loopback

LOG = Path("/dev/null")


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Lab.of(load_profile("lab"))


def answering(lab: Lab, silent: str | None = None) -> Callable[..., str]:
    """A manager's shell that asks each host: all answer well, but URLs that end like this."""
    well = {(it.host, it.path): it.status[0] for it in swarm._asked(lab)}

    def enter(_: Lab, __: Node, argv: Sequence[str], **___: object) -> str:
        lines = []
        for host, url in zip(argv[4::2], argv[5::2], strict=True):
            status = well[host, urlsplit(url).path]
            is_silent = silent is not None and url.endswith(silent)
            lines.append(f"{host} {url} {'000' if is_silent else status}")
        return "\n".join(lines)

    return enter


STACK = yaml.safe_load((LAB / "swarm/stack.yaml").read_text())


def test_the_stack_is_what_the_profile_declares(lab: Lab) -> None:
    declared = lab.profile.swarm
    assert declared is not None
    services = {f"{swarm.STACK}_{name}": it for name, it in STACK["services"].items()}
    assert {name: it["deploy"]["replicas"] for name, it in services.items()} == {
        name: it.replicas for name, it in declared.services.items()
    }
    published = {p["published"] for it in services.values() for p in it.get("ports", ())}
    answers = [answer for it in declared.services.values() for answer in it.answers]
    assert declared.instances is not None
    open_to_all = {it.port for it in (*answers, declared.instances)}
    assert published == {*open_to_all, *(it.source.port for it in lab.profile.equality)}
    # PostgreSQL is published for the move, and the machine's firewall keeps it from outside.
    assert published & set(lab.profile.exposed_ports) == open_to_all
    # A port of one machine answers there alone.
    assert {it.machines for it in (*answers, declared.instances)} == {declared.managers}
    assert [swarm.IMAGE.partition("/")[0]] == list(declared.registries)


def test_one_machine_has_the_only_manager_and_what_is_pinned_to_it(lab: Lab) -> None:
    assert lab.profile.swarm is not None
    assert lab.profile.swarm.managers == (lab.profile.swarm_manager,)
    pinned = {
        name
        for name, it in STACK["services"].items()
        if "node.role == manager" in it["deploy"].get("placement", {}).get("constraints", ())
    }
    assert pinned == {
        *("traefik", "registry", "postgres", "rabbitmq"),
        *("instance-service", "instance-worker", "database-service"),
    }


def test_every_service_has_its_program_and_every_host_its_service(lab: Lab) -> None:
    images = {name: it["image"] for name, it in STACK["services"].items()}
    assert images.pop("traefik") == traefik.IMAGE
    assert {*images.values()} == {swarm.IMAGE}
    # Without ip_vs there is no virtual address, and no routing mesh.
    assert {it["deploy"]["endpoint_mode"] for it in STACK["services"].values()} == {"dnsrr"}
    programs = set(re.findall(r"^([a-z-]+)\)$", (swarm.SERVICES / "run").read_text(), re.MULTILINE))
    run = {
        it["command"][1]
        for it in STACK["services"].values()
        if it["deploy"]["replicas"] and it["command"][0] == "/opt/source/run"
    }
    assert programs == {*run, "odoo"}
    assert lab.profile.swarm is not None
    asked = {
        (answer.host, name.removeprefix(f"{swarm.STACK}_"))
        for name, it in lab.profile.swarm.services.items()
        for answer in it.answers
    }
    routed = {
        (host, name)
        for name, it in STACK["services"].items()
        for host in re.findall(r"Host\(`([^`]+)`\)", " ".join(it["deploy"].get("labels", ())))
    }
    # The log-ins of user-service have a second host.
    assert routed - asked == {("auth.lab.example", "user-service")}
    assert asked < routed


def test_traefik_reads_labels_and_a_folder_of_the_manager_and_has_no_api() -> None:
    front = STACK["services"]["traefik"]
    assert f"--providers.file.directory={swarm.ROUTES}" in front["command"]
    mounted = {it["source"]: it["target"] for it in front["volumes"]}
    assert mounted == {it: it for it in ("/var/run/docker.sock", swarm.ROUTES)}
    assert not [it for it in front["command"] if it.startswith("--api")]
    networks = [it for it in front["command"] if it.startswith("--providers.swarm.network")]
    assert networks == [f"--providers.swarm.network={swarm.NETWORK}"]


def test_the_image_is_built_again_when_a_program_of_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = swarm.archive().path
    assert builds.system("source", ".tar").path.name.encode() in swarm.archive().inputs
    shutil.copytree(swarm.SERVICES, tmp_path / "services")
    monkeypatch.setattr(swarm, "SERVICES", tmp_path / "services")
    assert swarm.archive().path == before
    (tmp_path / "services/run").write_text("#!/bin/sh\n")
    assert swarm.archive().path != before


def test_the_passwords_that_the_profile_names_are_those_of_the_roles(lab: Lab) -> None:
    text = seed_data.postgres()
    for role in seed_data.ROLES:
        assert f"create role {role} login" in text
        assert f"password '{role} of the lab'" in text
    (pair,) = lab.profile.equality
    named = {it.password_file for it in pair.roles.values()}
    assert named == {lab.access / f"postgres-{role}" for role in seed_data.ROLES}


def test_customers_instances_find_their_data(tmp_path: Path) -> None:
    plant(tmp_path)
    for name, (host, _) in swarm.INSTANCES.items():
        page = tmp_path / "odoo_instances" / swarm.folder_of(name) / "web/index.html"
        assert page.read_text() == f"<p>Odoo of {host.partition('.')[0]}</p>\n"


def test_the_machines_reach_the_registry_at_the_manager(lab: Lab) -> None:
    assert "10.0.0.2 registry.lab.example" in machines._hosts(lab)
    told = machines.words(lab, lab.nodes[0])["registries"]
    assert json.loads(told) == ["registry.lab.example:8080"]
    full = Lab.of(load_profile("lab-full"))
    assert json.loads(machines.words(full, full.nodes[0])["registries"]) == []


def test_docker_takes_no_address_of_machines_pods_or_services(lab: Lab) -> None:
    text = (LAB / "machine/etc/docker/daemon.json").read_text()
    daemon = json.loads(machines.fill(text, machines.words(lab, lab.nodes[0])))
    own = [pool["base"] for pool in daemon["default-address-pools"]]
    # Traefik sends visits on to the new ingress of every machine.
    firewall = (LAB / "machine/etc/nftables.conf").read_text()
    assert re.findall(r"ip saddr (\S+) masquerade", firewall) == own
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


def listing(lab: Lab) -> dict[str, list[dict[str, str]]]:
    """What a whole Swarm's manager lists, of nodes and of services."""
    declared = lab.profile.swarm
    assert declared is not None
    nodes = [
        {
            "Hostname": it.name,
            "ManagerStatus": "Leader" if it.name in declared.managers else "",
            "Status": "Ready",
            "Availability": "Active",
        }
        for it in lab.nodes
    ]
    wanted = {name: it.replicas for name, it in declared.services.items()}
    wanted |= {name: replicas for name, (_, replicas) in swarm.INSTANCES.items()}
    services = [{"Name": name, "Replicas": f"{it}/{it}"} for name, it in wanted.items()]
    return {"node": nodes, "service": services}


FRONTEND, INSTANCE = "saasodoo_frontend-service", "odoo-acme-1a2b3c4d"


@pytest.mark.parametrize(
    ("what", "name", "changes", "words"),
    [
        ("node", "vmi2887103", {}, ""),
        ("node", "vmi2887103", {"Status": "Down"}, "not ready: vmi2887103"),
        ("node", "vmi2887103", {"Availability": "Drain"}, "not ready: vmi2887103"),
        ("node", "vmi2887103", {"ManagerStatus": "Reachable"}, "not ready: vmi2887103"),
        ("node", "vmi2887102", {"ManagerStatus": "Unreachable"}, "not ready: vmi2887102"),
        ("service", FRONTEND, {"Replicas": "0/1 (max 1 per node)"}, f"{FRONTEND} has 0/1 of 1"),
        ("service", FRONTEND, {"Replicas": "2/2"}, f"{FRONTEND} has 2/2 of 1 tasks"),
        ("service", FRONTEND, {"Name": "other"}, f"{FRONTEND} has none of 1 tasks"),
        ("service", "saasodoo_kaui", {"Replicas": "1/1"}, "saasodoo_kaui has 1/1 of 0 tasks"),
        ("service", INSTANCE, {"Replicas": "0/1"}, f"{INSTANCE} has 0/1 of 1 tasks"),
    ],
)
def test_it_is_whole_when_all_of_it_serves(
    lab: Lab,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    name: str,
    changes: dict[str, str],
    words: str,
) -> None:
    listed = listing(lab)
    (one,) = [it for it in listed[what] if name in it.values()]
    one.update(changes)
    monkeypatch.setattr(swarm, "init", lambda *_: 7)
    monkeypatch.setattr(swarm, "_listed", lambda _, __, what, ___: listed[what])
    monkeypatch.setattr(swarm, "enter", answering(lab))
    assert swarm.trouble(lab, LOG).startswith(words)
    assert bool(swarm.trouble(lab, LOG)) == bool(words)


@pytest.mark.parametrize("others", ["worker", "manager"])
def test_machines_join_in_the_role_that_the_profile_declares(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, others: str
) -> None:
    names = [node.name for node in lab.nodes]
    declared = lab.profile.swarm
    assert declared is not None
    if others == "manager":
        three = declared.model_copy(update={"managers": tuple(names)})
        lab = replace(lab, profile=lab.profile.model_copy(update={"swarm": three}))
    said: list[tuple[str, ...]] = []
    told: list[object] = []

    def docker(_: Lab, node: Node, *argv: str, **more: object) -> str:
        said.append((node.name, *argv))
        told.append(more.get("stdin"))
        return "token"

    lab.access.mkdir(parents=True)
    monkeypatch.setattr(swarm, "docker", docker)
    made: list[Sequence[str]] = []
    monkeypatch.setattr(swarm, "enter", lambda _, node, argv, **__: made.append((node, *argv)))
    monkeypatch.setattr(swarm, "_state", lambda *_: "inactive")
    monkeypatch.setattr(swarm, "_listed", lambda *_: [])
    monkeypatch.setattr(swarm, "whole", lambda *_, **__: None)
    swarm.up(lab, LOG)
    first = swarm.manager(lab)
    began = [it[0] for it in said if it[1:3] == ("swarm", "init")]
    joined = [it[0] for it in said if it[1:3] == ("swarm", "join")]
    assert (began, sorted([*began, *joined])) == ([first.name], names)
    assert {it[-1] for it in said if it[1:3] == ("swarm", "join-token")} == {others}
    assert made == [(first, "mkdir", "--parents", swarm.ROUTES)]
    # The password of PostgreSQL is in no command, which every user of the machine can list.
    password = (lab.access / swarm.PASSWORD).read_text()
    assert told[[it[1:3] for it in said].index(("secret", "create"))] == password
    assert password not in str(said)
    assert (lab.access / swarm.PASSWORD).stat().st_mode & 0o777 == 0o600


def test_a_site_that_does_not_answer_is_named(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = listing(lab)
    monkeypatch.setattr(swarm, "init", lambda *_: 7)
    monkeypatch.setattr(swarm, "_listed", lambda _, __, what, ___: listed[what])
    monkeypatch.setattr(swarm, "enter", answering(lab, silent=""))
    assert swarm.trouble(lab, LOG).split(", ") == [
        "registry.lab.example/v2/",
        "api.lab.example/user/health/database",
        "api.lab.example/instance/health/database",
        "api.lab.example/billing/health",
        "api.lab.example/database/health",
        "notification.lab.example/health",
        "app.lab.example/",
        *(f"{it.host}{it.path}" for it in swarm.READS),
        "acme.lab.example/",
        "globex.lab.example/ does not answer",
    ]
    monkeypatch.setattr(swarm, "enter", answering(lab, silent="/billing/health"))
    assert swarm.trouble(lab, LOG) == "api.lab.example/billing/health does not answer"


def test_each_host_is_asked_at_its_url_and_told_with_its_status() -> None:
    def answer(asked: loopback.Asked) -> loopback.Answer:
        right = (asked.host, asked.path) == ("one.example", "/here")
        return (204 if right else 404), (), b""

    with loopback.answering(answer) as port:
        words = [
            f"one.example http://127.0.0.1:{port}/here",
            f"two.example http://127.0.0.1:{port}/",
        ]
        words.append("three.example http://127.0.0.1:1/")
        argv = ["sh", "-c", swarm.ASK, "ask", *" ".join(words).split()]
        said = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False).stdout
    statuses = ("204", "404", "000")
    assert sorted(said.splitlines()) == sorted(map(" ".join, zip(words, statuses, strict=True)))


def test_a_lab_without_an_old_platform_has_no_trouble_with_it() -> None:
    assert swarm.trouble(Lab.of(load_profile("lab-full")), LOG) == ""


def test_the_profile_reaches_who_records_as_it_was(lab: Lab) -> None:
    told = lab.profile.model_dump_json(by_alias=True)
    assert Profile.model_validate_json(told) == lab.profile


def plant(folder: Path) -> None:
    script = seed_data.tree().replace("/mnt/cephfs", str(folder))
    subprocess.run([sys.executable, "-I", "-"], input=script, text=True, check=True)


def test_the_existing_tree_is_laid_out_once(tmp_path: Path) -> None:
    seen = []
    for _ in range(2):
        plant(tmp_path)
        seen.append({it: it.lstat().st_mtime_ns for it in tmp_path.rglob("*")})
    assert seen[0] == seen[1]
    files = {it.relative_to(tmp_path).as_posix() for it in seen[0] if it.is_file()}
    assert "odoo_instances/odoo_data_acme_1a2b3c4d/odoo.conf" in files
