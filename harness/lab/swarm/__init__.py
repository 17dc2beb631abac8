"""Docker Swarm on the lab's machines: the platform that is migrated, until the migration."""

from __future__ import annotations

import json
import secrets
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

from harness.lab import archives, builds, images, seed_data, traefik
from harness.lab.host import until_well
from harness.lab.machines import enter, init
from harness.lab.shape import LAB, Lab, Node
from harness.lab.stages import Stage
from harness.settings.services import SwarmAnswers

ARCHIVE = "source.tar"
SERVICES = LAB / "swarm/services"
# Of PostgreSQL's superuser, in the harness's folder of keys.
PASSWORD = "postgres-password"
# The old PostgreSQL and the new one are made side by side, and both ask for it.
_MAKING = Lock()
STACK, NETWORK = "saasodoo", "saasodoo-network"
# On the manager's machine: routes of Traefik beside the services' labels, read when they change.
ROUTES = "/etc/traefik/dynamic"
# Named as an image of the registry in this Swarm; the machines are given it in an archive.
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
# Asks each host at its URL; prints both and the status of the answer, 000 for none.
ASK = """
while [ $# -gt 0 ]; do
    curl --silent --max-time 3 --output /dev/null --write-out "$1 $2 %{http_code}\\n" \\
        --header "Host: $1" "$2" &
    shift 2
done
wait
"""
# Each of these reads one of the databases that no declared answer reads: billing's and MariaDB.
READS = (
    SwarmAnswers(host="api.lab.example", port=8080, path="/billing/health/database"),
    SwarmAnswers(
        host="api.lab.example",
        port=8080,
        path=f"/billing/api/billing/invoices/{uuid.UUID(int=0)}",
        status=(404,),
    ),
)
# Not Swarm's own 10.0.0.0/8, which the machines use; and no certificate of a lab expires.
INIT = ("--default-addr-pool", "172.31.0.0/16", "--cert-expiry", "87600h")


def stages(lab: Lab) -> list[Stage]:
    """What brings Swarm up: "swarm" serves, and the last has filled its registry."""
    logs = lab.logs
    return [
        Stage("swarm image", lambda: image(lab, logs / "swarm-image.log"), 90, ("workload",)),
        Stage(
            "swarm",
            lambda: up(lab, logs / "swarm.log"),
            60,
            ("swarm image", "traefik images", "existing storage"),
        ),
        Stage("registry filled", lambda: fill_registry(lab, logs / "registry.log"), 30, ("swarm",)),
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
            placed = {"opt/source": SERVICES, **archives.parts()}
            for name, text in scripts.items():
                placed[f"opt/source/{name}"] = folder / name
                placed[f"opt/source/{name}"].write_text(text, encoding="utf-8")
            images.files_layer(folder / "services", placed)
            images.archive(target, [images.Image(IMAGE, (base, folder / "services"))])

    parts = (path.read_bytes() for path in archives.parts().values())
    made_of = (*archives.code(), system.path.name.encode(), *builds.contents(SERVICES), *parts)
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
    enter(lab, first, ["mkdir", "--parents", ROUTES], log=log)
    stack = (LAB / "swarm/stack.yaml").read_text(encoding="utf-8")
    deploy = ["stack", "deploy", "--compose-file", "-", "--resolve-image", "never", STACK]
    docker(lab, first, *deploy, stdin=stack, log=log)
    _instances(lab, first, log)
    # Databases are made and filled meanwhile, beside the new platform's.
    whole(lab, log, within_s=300)


def fill_registry(lab: Lab, log: Path) -> None:
    """Give the Swarm's own registry an image: a small one, as a push compresses it."""
    name = f"{IMAGE.partition('/')[0]}/{traefik.IMAGE.rpartition('/')[2]}"
    docker(lab, manager(lab), "tag", traefik.IMAGE, name, log=log)
    docker(lab, manager(lab), "push", "--quiet", name, log=log)


def password(lab: Lab) -> str:
    """The password of PostgreSQL's superuser, made for this lab; the harness reads it too."""
    path = lab.access / PASSWORD
    with _MAKING:
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
            runs = (IMAGE, "/opt/source/run", "odoo", folder_of(name))
            docker(lab, first, *CREATE, *own, *_labels(name, host), *runs, log=log)


def _labels(instance: str, host: str) -> tuple[str, ...]:
    """The labels by which Traefik leads a host to an instance."""
    return (
        "--label=traefik.enable=true",
        f"--label=traefik.http.routers.{instance}.rule=Host(`{host}`)",
        f"--label=traefik.http.services.{instance}.loadbalancer.server.port=8069",
    )


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
    """Give a machine's Docker the images; only the manager runs Traefik."""
    archives_of = {IMAGE: ARCHIVE}
    if node is manager(lab):
        archives_of[traefik.IMAGE] = traefik.ARCHIVE
    has = docker(lab, node, "image", "ls", "--format={{.Repository}}:{{.Tag}}", log=log)
    for wanted, packed in archives_of.items():
        if wanted not in has.split():
            docker(lab, node, "load", "--quiet", f"--input=/opt/cutover/{packed}", log=log)


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
    silent = _silent(lab, one, log)
    return f"{', '.join(silent)} does not answer" if silent else ""


def _listed(lab: Lab, node: Node, what: str, log: Path) -> list[dict[str, str]]:
    out = docker(lab, node, what, "ls", "--format={{json .}}", log=log, check=False)
    return [json.loads(line) for line in out.splitlines()]


def _serves(node: dict[str, str], managers: Sequence[str]) -> bool:
    wanted = ("Leader", "Reachable") if node["Hostname"] in managers else ("",)
    serving = (node["Status"], node["Availability"]) == ("Ready", "Active")
    return serving and node["ManagerStatus"] in wanted


def _asked(lab: Lab) -> list[SwarmAnswers]:
    """What the old platform answers: its sites, its databases, and customers' running instances."""
    declared = lab.profile.swarm
    assert declared is not None
    assert declared.instances is not None
    sites = [answer for it in declared.services.values() for answer in it.answers]
    own = declared.instances.model_dump(exclude={"names", "host"})
    running = [host for host, replicas in INSTANCES.values() if replicas]
    return [*sites, *READS, *(SwarmAnswers(host=host, **own) for host in running)]


def _silent(lab: Lab, node: Node, log: Path) -> list[str]:
    """The sites that do not answer as they must; all are asked side by side."""
    asked = {(it.host, f"http://{node.address}:{it.port}{it.path}"): it for it in _asked(lab)}
    words = [word for pair in asked for word in pair]
    said = enter(lab, node, ["sh", "-c", ASK, "ask", *words], log=log, check=False)
    seen = {(host, url): int(status) for host, url, status in map(str.split, said.splitlines())}
    return [f"{it.host}{it.path}" for pair, it in asked.items() if seen.get(pair) not in it.status]


def whole(lab: Lab, log: Path, within_s: float = 120) -> None:
    """Wait until every machine serves in the Swarm, and every service has its tasks."""
    until_well(lambda: trouble(lab, log), what="Swarm", within_s=within_s, log=log)
