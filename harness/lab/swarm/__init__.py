"""Docker Swarm on the lab's machines: the platform that is migrated, until the migration."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness.lab import archives, builds, images
from harness.lab.host import until_well
from harness.lab.machines import enter, init
from harness.lab.shape import LAB, Lab, Node
from harness.lab.stages import Stage

ARCHIVE = "source.tar"
# The image is never pulled: no registry listens at this name.
IMAGE = "localhost:1/lab/today:1"
STACK, PORT = "platform", 8080
# Not Swarm's own 10.0.0.0/8, which the machines use; and no certificate of a lab expires.
INIT = ("--default-addr-pool", "172.31.0.0/16", "--cert-expiry", "87600h")


def stages(lab: Lab) -> list[Stage]:
    """What brings Swarm up; the last is called "swarm"."""
    logs = lab.logs
    return [
        Stage("swarm image", lambda: image(lab, logs / "swarm-image.log"), 30, ("workload",)),
        Stage(
            "swarm", lambda: up(lab, logs / "swarm.log"), 20, ("swarm image", "existing storage")
        ),
    ]


def image(lab: Lab, log: Path) -> None:
    """The archive with the image that every service of the old platform runs."""
    lab.tools.mkdir(parents=True, exist_ok=True)
    archives.place(archive().ensure(log), lab.tools / ARCHIVE)


def archive() -> builds.Build:
    """The workload's system as an image for Docker."""
    workload = builds.system("workload", ".tar")

    def make(target: Path, log: Path) -> None:
        images.archive(target, [images.Image(IMAGE, (workload.ensure(log),))])

    inputs = (*archives.code(), workload.path.name.encode(), IMAGE.encode())
    return builds.Build("source", inputs, make)


def up(lab: Lab, log: Path) -> None:
    """Make the Swarm and deploy the old platform; returns when it serves."""
    with ThreadPoolExecutor(len(lab.nodes)) as pool:
        own = [log.with_suffix(f".{node.name}.log") for node in lab.nodes]
        list(pool.map(lambda node, log: _load(lab, node, log), lab.nodes, own))
    first, *others = lab.nodes
    _join(lab, first, ["init", *INIT], log)
    token = docker(lab, first, "swarm", "join-token", "--quiet", "manager", log=log).strip()
    for node in others:
        _join(lab, node, ["join", "--token", token, f"{first.address}:2377"], log)
    stack = (LAB / "swarm/stack.yaml").read_text(encoding="utf-8")
    deploy = ["stack", "deploy", "--compose-file", "-", "--resolve-image", "never", STACK]
    docker(lab, first, *deploy, stdin=stack, log=log)
    whole(lab, log)


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
    on = [node for node in lab.nodes if init(lab, node) is not None] or list(lab.nodes[:1])
    listed = _listed(lab, on[0], "node", log)
    if not listed:
        return f"Docker on {on[0].name} lists no nodes"
    serving = {it["Hostname"] for it in listed if _serves(it)}
    lost = {node.name for node in lab.nodes} - serving
    if lost:
        return f"not ready: {', '.join(sorted(lost))}"
    running = {it["Name"]: it["Replicas"] for it in _listed(lab, on[0], "service", log)}
    for name, service in declared.services.items():
        # "2/3", sometimes with more words after it.
        has = running.get(name, "0/0").split()[0]
        if has != f"{service.replicas}/{service.replicas}":
            return f"{name} has {has} of {service.replicas} tasks"
    silent = [node.name for node in on if not _answers(lab, node, log)]
    return f"{STACK}_web does not answer on {', '.join(silent)}" if silent else ""


def _listed(lab: Lab, node: Node, what: str, log: Path) -> list[dict[str, str]]:
    out = docker(lab, node, what, "ls", "--format={{json .}}", log=log, check=False)
    return [json.loads(line) for line in out.splitlines()]


def _serves(node: dict[str, str]) -> bool:
    managing = node["ManagerStatus"] in ("Leader", "Reachable")
    return managing and (node["Status"], node["Availability"]) == ("Ready", "Active")


def _answers(lab: Lab, node: Node, log: Path) -> bool:
    """Whether the web service answers: a manager may still count a task of a lost machine."""
    ask = ["curl", "--silent", "--fail", "--max-time", "3", f"http://{node.address}:{PORT}/"]
    return bool(enter(lab, node, ask, log=log, check=False).strip())


def whole(lab: Lab, log: Path, within_s: float = 120) -> None:
    """Wait until every machine serves in the Swarm, and every service has its tasks."""
    until_well(lambda: trouble(lab, log), what="Swarm", within_s=within_s, log=log)
