"""Docker Swarm on the lab's machines: the platform that is migrated, until the migration."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness.lab import archives, builds, images, seed_data
from harness.lab.host import until_well
from harness.lab.machines import enter, init
from harness.lab.shape import LAB, Lab, Node
from harness.lab.stages import Stage

ARCHIVE = "source.tar"
SERVICES = LAB / "swarm/services"
# Of PostgreSQL's superuser, in the harness's folder of keys.
PASSWORD = "postgres-password"
STACK, NETWORK = "saasodoo", "saasodoo-network"
# As the registry in this Swarm serves it; the machines are given it before that registry runs.
IMAGE = "registry.lab.example:8080/source:latest"
# Customers' instances: a service each beside the stack, with its host and its number of tasks.
INSTANCES = {
    "odoo-acme-1a2b3c4d": ("acme.lab.example", 1),
    "odoo-globex-5e6f7a8b": ("globex.lab.example", 1),
    "odoo-initech-9c0d1e2f": ("initech.lab.example", 0),
}
CREATE = (
    *("service", "create", "--detach", "--no-resolve-image", "--init", "--endpoint-mode=dnsrr"),
    *(f"--network={NETWORK}", "--restart-delay=2s"),
    "--mount=type=bind,source=/mnt,target=/mnt,bind-propagation=rslave",
)
# Not Swarm's own 10.0.0.0/8, which the machines use; and no certificate of a lab expires.
INIT = ("--default-addr-pool", "172.31.0.0/16", "--cert-expiry", "87600h")


def stages(lab: Lab) -> list[Stage]:
    """What brings Swarm up; the last is called "swarm"."""
    logs = lab.logs
    return [
        Stage("swarm image", lambda: image(lab, logs / "swarm-image.log"), 90, ("workload",)),
        Stage(
            "swarm", lambda: up(lab, logs / "swarm.log"), 60, ("swarm image", "existing storage")
        ),
    ]


def image(lab: Lab, log: Path) -> None:
    """The archive with the image that every service of the old platform runs."""
    lab.tools.mkdir(parents=True, exist_ok=True)
    archives.place(archive().ensure(log), lab.tools / ARCHIVE)


def archive() -> builds.Build:
    """Databases, queues and web servers of Debian, what starts and fills them, for Docker."""
    system = builds.system("source", ".tar")
    scripts = {"postgres.sql": seed_data.postgres(), "mariadb.sql": seed_data.mariadb()}

    def make(target: Path, log: Path) -> None:
        base = system.ensure(log)
        with archives.layers(target) as folder:
            placed = {"opt/source": SERVICES}
            for name, text in scripts.items():
                placed[f"opt/source/{name}"] = folder / name
                placed[f"opt/source/{name}"].write_text(text, encoding="utf-8")
            images.files_layer(folder / "services", placed)
            images.archive(target, [images.Image(IMAGE, (base, folder / "services"))])

    made_of = (*archives.code(), system.path.name.encode(), *builds.contents(SERVICES))
    filled = (text.encode() for text in scripts.values())
    return builds.Build("source-image", (*made_of, *filled, IMAGE.encode()), make)


def manager(lab: Lab) -> Node:
    """The first of the declared managers."""
    assert lab.profile.swarm is not None
    return lab.node(lab.profile.swarm.managers[0])


def up(lab: Lab, log: Path) -> None:
    """Make the Swarm and deploy the old platform; returns when it serves."""
    with ThreadPoolExecutor(len(lab.nodes)) as pool:
        own = [log.with_suffix(f".{node.name}.log") for node in lab.nodes]
        list(pool.map(lambda node, log: _load(lab, node, log), lab.nodes, own))
    first = manager(lab)
    _join(lab, first, ["init", *INIT], log)
    for node in lab.nodes:
        if node is not first:
            token = docker(lab, first, "swarm", "join-token", "--quiet", _role(lab, node), log=log)
            _join(lab, node, ["join", "--token", token.strip(), f"{first.address}:2377"], log)
    if "postgres" not in docker(lab, first, "secret", "ls", "--format={{.Name}}", log=log).split():
        docker(lab, first, "secret", "create", "postgres", "-", stdin=password(lab), log=log)
    stack = (LAB / "swarm/stack.yaml").read_text(encoding="utf-8")
    deploy = ["stack", "deploy", "--compose-file", "-", "--resolve-image", "never", STACK]
    docker(lab, first, *deploy, stdin=stack, log=log)
    _instances(lab, first, log)
    whole(lab, log)
    docker(lab, first, "push", "--quiet", IMAGE, log=log)


def password(lab: Lab) -> str:
    """The password of PostgreSQL's superuser, made for this lab; the harness reads it too."""
    path = lab.access / PASSWORD
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(24), encoding="utf-8")
    return path.read_text(encoding="utf-8")


def _role(lab: Lab, node: Node) -> str:
    assert lab.profile.swarm is not None
    return "manager" if node.name in lab.profile.swarm.managers else "worker"


def _instances(lab: Lab, first: Node, log: Path) -> None:
    """Create customers' instances, as the instance-service does; existing ones stay."""
    there = {it["Name"] for it in _listed(lab, first, "service", log)}
    for name, (host, replicas) in INSTANCES.items():
        if name not in there:
            own = (f"--name={name}", f"--replicas={replicas}")
            rule = f"--label=traefik.http.routers.{name}.rule=Host(`{host}`)"
            runs = (IMAGE, "/opt/source/run", "odoo", folder_of(name))
            docker(lab, first, *CREATE, *own, rule, *runs, log=log)


def folder_of(instance: str) -> str:
    """The folder with an instance's data, in CephFS's odoo_instances."""
    return instance.replace("odoo", "odoo_data", 1).replace("-", "_")


def docker(
    lab: Lab, node: Node, *argv: str, log: Path, stdin: str | None = None, check: bool = True
) -> str:
    """Run Docker's command on a machine and return its output."""
    command = ["docker", *argv]
    return enter(lab, node, command, log=log, stdin=stdin, within_s=300, check=check)


def _load(lab: Lab, node: Node, log: Path) -> None:
    if IMAGE not in docker(lab, node, "image", "ls", "--format={{.Repository}}:{{.Tag}}", log=log):
        docker(lab, node, "load", "--quiet", f"--input=/opt/cutover/{ARCHIVE}", log=log)


def _join(lab: Lab, node: Node, words: list[str], log: Path) -> None:
    """Bring a machine into the Swarm; a join whose command was killed continues in its daemon."""
    until_well(
        lambda: "joining" if _state(lab, node, log) == "pending" else "",
        what=f"Docker on {node.name}",
        within_s=60,
        log=log,
    )
    if _state(lab, node, log) != "active":
        docker(lab, node, "swarm", "leave", "--force", log=log, check=False)
        verb, *rest = words
        docker(lab, node, "swarm", verb, "--advertise-addr", node.address, *rest, log=log)


def _state(lab: Lab, node: Node, log: Path) -> str:
    return docker(lab, node, "info", "--format={{.Swarm.LocalNodeState}}", log=log).strip()


def trouble(lab: Lab, log: Path) -> str:
    """Reasons why Swarm is not whole; empty when it is, or when the lab has none."""
    declared = lab.profile.swarm
    if lab.profile.stack.source != "swarm" or declared is None:
        return ""
    one = next((it for it in map(lab.node, declared.managers) if init(lab, it)), manager(lab))
    listed = _listed(lab, one, "node", log)
    if not listed:
        return f"Docker on {one.name} lists no nodes"
    serving = {it["Hostname"] for it in listed if _serves(it, declared.managers)}
    lost = {node.name for node in lab.nodes} - serving
    if lost:
        return f"not ready: {', '.join(sorted(lost))}"
    running = {it["Name"]: it["Replicas"] for it in _listed(lab, one, "service", log)}
    wanted = {name: it.replicas for name, it in declared.services.items()}
    for name, replicas in (wanted | {name: it for name, (_, it) in INSTANCES.items()}).items():
        # "2/3", sometimes with more words after it.
        has = running.get(name, "none").split()[0]
        if has != f"{replicas}/{replicas}":
            return f"{name} has {has} of {replicas} tasks"
    # A manager may still count a task of a lost machine.
    silent = [host for host in _hosts(lab) if not _answers(lab, one, host, log)]
    return f"{', '.join(silent)} does not answer" if silent else ""


def _listed(lab: Lab, node: Node, what: str, log: Path) -> list[dict[str, str]]:
    out = docker(lab, node, what, "ls", "--format={{json .}}", log=log, check=False)
    return [json.loads(line) for line in out.splitlines()]


def _serves(node: dict[str, str], managers: Sequence[str]) -> bool:
    wanted = ("Leader", "Reachable") if node["Hostname"] in managers else ("",)
    serving = (node["Status"], node["Availability"]) == ("Ready", "Active")
    return serving and node["ManagerStatus"] in wanted


def _hosts(lab: Lab) -> list[str]:
    """The hosts that the old platform serves."""
    assert lab.profile.swarm is not None
    asked = [answer for it in lab.profile.swarm.services.values() for answer in it.answers]
    own = [answer.host for answer in asked]
    return [*own, *(host for host, replicas in INSTANCES.values() if replicas)]


def _answers(lab: Lab, node: Node, host: str, log: Path) -> bool:
    assert lab.profile.swarm is not None
    assert lab.profile.swarm.instances is not None
    url = f"http://{node.address}:{lab.profile.swarm.instances.port}/"
    ask = ["curl", "--silent", "--max-time", "3", "--output", "/dev/null"]
    ask += ["--write-out", "%{http_code}", "--header", f"Host: {host}", url]
    return enter(lab, node, ask, log=log, check=False).startswith("2")


def whole(lab: Lab, log: Path, within_s: float = 120) -> None:
    """Wait until every machine serves in the Swarm, and every service has its tasks."""
    until_well(lambda: trouble(lab, log), what="Swarm", within_s=within_s, log=log)
