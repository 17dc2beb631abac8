"""Kubernetes on the lab's machines: three control planes through kubeadm, in RKE2's layout."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from harness.core.errors import LabError
from harness.core.waiting import until
from harness.lab import ceph
from harness.lab.host import run, until_well
from harness.lab.machines import enter, fill, on_since, words
from harness.lab.network import inside
from harness.lab.shape import LAB, Lab, Node

SOCKET = "unix:///run/k3s/containerd/containerd.sock"
RKE2 = "/var/lib/rancher/rke2"
CTR = ["ctr", "--address", "/run/k3s/containerd/containerd.sock", "--namespace", "k8s.io"]
# Shared by all control planes; each makes the rest of its certificates itself.
SHARED = ("ca", "front-proxy-ca", "etcd/ca", "etcd/peer-ca")

# An object as kubectl prints it.
Item: TypeAlias = dict[str, Any]


def import_images(lab: Lab, archive: str, log: Path) -> None:
    """Bring an archive's images into containerd on every machine, side by side."""
    with ThreadPoolExecutor(len(lab.nodes)) as pool:
        list(
            pool.map(
                lambda node: _import(lab, node, archive, log.with_suffix(f".{node.name}.log")),
                lab.nodes,
            )
        )


def _import(lab: Lab, node: Node, archive: str, log: Path) -> None:
    done = node.system / "rancher/rke2/agent/images" / archive
    if not done.exists():
        command = [*CTR, "images", "import", f"/opt/cutover/{archive}"]
        enter(lab, node, command, log=log, within_s=300)
        done.parent.mkdir(parents=True, exist_ok=True)
        done.touch()


# Names an image by its digest too: one that is imported has only its tag.
_PIN = """
digest=$("$@" images ls "name==docker.io/$IMAGE" | awk 'NR == 2 { print $3 }')
test -n "$digest"
"$@" images tag --force "docker.io/$IMAGE" "docker.io/${IMAGE%:*}@$digest"
"""


def pinned(lab: Lab, image: str, log: Path) -> str:
    """The name by its digest of an imported image, which every machine has from now on."""
    command = ["env", f"IMAGE={image}", "sh", "-ceu", _PIN, "-", *CTR]
    for node in lab.nodes:
        said = enter(lab, node, command, log=log)
    return said.split()[-1]


def configuration(lab: Lab, node: Node) -> str:
    """kubeadm's configuration for one machine: for the first machine, and for a join."""
    return fill((LAB / "kubeadm.yaml").read_text(encoding="utf-8"), words(lab, node))


def etcd_configuration(lab: Lab, node: Node) -> str:
    """etcd's configuration for one machine: it joins the members of the machines before it."""
    members = ",".join(
        f"{other.name}=https://{other.address}:2380" for other in lab.nodes[: node.index]
    )
    values = words(lab, node) | {
        "members": members,
        "cluster_state": "new" if node.index == 1 else "existing",
    }
    return fill((LAB / "etcd.yaml").read_text(encoding="utf-8"), values)


def first(lab: Lab, log: Path) -> None:
    """Create the cluster on the first machine."""
    node = lab.nodes[0]
    if not _joined(node):
        _fresh(lab, node, log)
        _etcd(lab, node, log)
        enter(
            lab,
            node,
            ["kubeadm", "init", "--config", "/etc/kubernetes/kubeadm.yaml"],
            log=log,
            within_s=300,
        )
        _mark(node)
    _kubeconfig(lab, node)


def others(lab: Lab, log: Path) -> None:
    """Join the other machines as control planes."""
    one = lab.nodes[0]
    for node in lab.nodes[1:]:
        own = log.with_suffix(f".{node.name}.log")
        if _joined(node):
            continue
        _fresh(lab, node, own)
        tls = node.system / "rancher/rke2/server/tls"
        (tls / "etcd").mkdir(parents=True, exist_ok=True)
        for name in SHARED:
            for suffix in (".crt", ".key"):
                _copy(
                    one.system / f"rancher/rke2/server/tls/{name}{suffix}", tls / f"{name}{suffix}"
                )
        for name in ("sa.key", "sa.pub"):
            _copy(one.system / f"rancher/rke2/server/tls/{name}", tls / name)
        _etcd(lab, node, own)
        _copy(one.root / "etc/kubernetes/admin.conf", node.root / "etc/kubernetes/discovery.conf")
        enter(
            lab,
            node,
            ["kubeadm", "join", "--config", "/etc/kubernetes/kubeadm.yaml"],
            log=own,
            within_s=300,
        )
        (node.root / "etc/kubernetes/discovery.conf").unlink()
        _mark(node)


def _fresh(lab: Lab, node: Node, log: Path) -> None:
    """Undo a join that was interrupted, and write what kubeadm reads."""
    path = node.root / "etc/kubernetes/kubeadm.yaml"
    if path.exists():
        reset = ["kubeadm", "reset", "--force", "--cri-socket", SOCKET]
        enter(lab, node, reset, log=log, within_s=120)
    for folder in ("agent/pod-manifests", "server/tls"):
        (node.system / "rancher/rke2" / folder).mkdir(parents=True, exist_ok=True)
    path.write_text(configuration(lab, node), encoding="utf-8")


def _etcd(lab: Lab, node: Node, log: Path) -> None:
    """Write etcd's configuration, beside its data as RKE2 does, and certify it to its peers."""
    rke2 = node.system / "rancher/rke2/server"
    (rke2 / "tls/etcd").mkdir(parents=True, exist_ok=True)
    enter(lab, node, ["/usr/local/sbin/cutover-peer-certificate"], log=log)
    path = rke2 / "db/etcd/config"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(etcd_configuration(lab, node), encoding="utf-8")


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    target.chmod(0o644 if source.suffix in (".crt", ".pub") else 0o600)


def _joined(node: Node) -> bool:
    return (node.system / "rancher/rke2/server/joined").exists()


def _mark(node: Node) -> None:
    """Mark the machine as joined; its kubeconfig is at RKE2's path."""
    admin = (node.root / "etc/kubernetes/admin.conf").read_text()
    config = yaml.safe_load(admin)
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:6443"
    target = node.root / "etc/rancher/rke2/rke2.yaml"
    target.touch(mode=0o600)
    target.write_text(yaml.safe_dump(config, sort_keys=False))
    (node.system / "rancher/rke2/server/joined").touch()


def _kubeconfig(lab: Lab, node: Node) -> None:
    """The harness's own kubeconfig, with the address that survives the loss of a machine."""
    path = lab.profile.access.kubeconfig
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text((node.root / "etc/kubernetes/admin.conf").read_text())


def kubectl(lab: Lab, *argv: str, log: Path, stdin: str | None = None, check: bool = True) -> str:
    """Run kubectl against the lab's API and return its output."""
    config = f"--kubeconfig={lab.profile.access.kubeconfig}"
    command = [*inside(lab), str(lab.tools / "kube"), "kubectl", config, "--request-timeout=10s"]
    return run([*command, *argv], log=log, stdin=stdin, within_s=60, check=check).stdout


def insist(lab: Lab, *argv: str, log: Path, stdin: str | None = None) -> str:
    """The output of kubectl, run until it succeeds, for a minute at most: of what is repeatable.

    An API whose etcd has just gained or lost a member sometimes breaks off a request.
    """
    said = ""

    def trouble() -> str:
        nonlocal said
        try:
            said = kubectl(lab, *argv, log=log, stdin=stdin)
        except LabError as error:
            return str(error)
        return ""

    until_well(trouble, what=f"the answer to kubectl {argv[0]}", within_s=60, log=log)
    return said


def objects(lab: Lab, *argv: str, log: Path) -> list[Item]:
    """The result of ``kubectl get`` as JSON; an empty list while the API does not answer."""
    out = kubectl(lab, "get", *argv, "--output=json", log=log, check=False)
    try:
        found: list[Item] = json.loads(out).get("items", [])
    except ValueError:
        return []
    return found


def trouble(lab: Lab, log: Path) -> str:
    """Reasons why Kubernetes is not whole; empty when it is."""
    found = objects(lab, "nodes,deployments,daemonsets,pods", "--all-namespaces", log=log)
    if not found:
        return "the API does not answer"
    ready = {it["metadata"]["name"] for it in _of(found, "Node") if _condition(it, "Ready")}
    lost = {node.name for node in lab.nodes} - ready
    if lost:
        return f"not Ready: {', '.join(sorted(lost))}"
    for item in _of(found, "Deployment", "DaemonSet"):
        if not _rolled_out(item):
            return f"{item['kind']} {item['metadata']['name']} is not rolled out"
    began = {node.name: on_since(lab, node) for node in lab.nodes}
    for pod in _of(found, "Pod"):
        # A failed pod was replaced; otherwise its owner is not rolled out.
        done = pod["status"].get("phase") in ("Succeeded", "Failed")
        leaving = "deletionTimestamp" in pod["metadata"]
        if done or leaving:
            continue
        stands = _condition(pod, "Ready")
        # After a power cut the API still lists pods as ready from before it.
        if not stands or _started(pod) < began.get(pod["spec"]["nodeName"], 0.0):
            return f"pod {pod['metadata']['namespace']}/{pod['metadata']['name']} is not ready"
    return ""


def _of(items: list[Item], *kinds: str) -> list[Item]:
    return [item for item in items if item["kind"] in kinds]


def _started(pod: Item) -> float:
    """When the oldest of a pod's containers started, in UTC seconds, rounded up."""
    states = [status["state"] for status in pod["status"].get("containerStatuses", [])]
    texts = [state["running"]["startedAt"] for state in states if "running" in state]
    return min((datetime.fromisoformat(text).timestamp() + 1 for text in texts), default=0.0)


def _rolled_out(item: Item) -> bool:
    status = item["status"]
    if status.get("observedGeneration") != item["metadata"]["generation"]:
        return False
    if item["kind"] == "DaemonSet":
        want = status["desiredNumberScheduled"]
        have = (status.get("updatedNumberScheduled", 0), status.get("numberAvailable", 0))
    else:
        want = item["spec"]["replicas"]
        have = (status.get("updatedReplicas", 0), status.get("availableReplicas", 0))
    return have == (want, want) and status.get("replicas", want) == want


def _condition(item: Item, kind: str) -> bool:
    conditions = item.get("status", {}).get("conditions", [])
    return any(c["type"] == kind and c["status"] == "True" for c in conditions)


def whole(lab: Lab, log: Path, within_s: float = 180) -> None:
    """Wait until every machine and every pod is Ready."""

    until_well(lambda: trouble(lab, log), what="Kubernetes", within_s=within_s, log=log)


def look_again(lab: Lab, nodes: Sequence[Node], log: Path) -> None:
    """Make the agents of newly booted machines look as soon as the API and CephFS answer.

    Each agent asked for both before that, in vain, and would ask again only half a minute later.
    """
    with ThreadPoolExecutor(max(1, len(nodes))) as pool:
        list(pool.map(lambda node: _look_again(lab, node, log), nodes))


def server_trouble(lab: Lab, node: Node, log: Path) -> str:
    """What the machine's own API server says instead of being ready; empty when it is."""
    server = f"https://{node.address}:{lab.profile.kubernetes.api_port}/readyz"
    ask = ["curl", "--silent", "--insecure", "--max-time", "5", server]
    said = enter(lab, node, ask, log=log, check=False).strip()
    return "" if said == "ok" else f"{server} says {said[-200:]!r}"


def _look_again(lab: Lab, node: Node, log: Path) -> None:
    what = f"the API server of {node.name}"
    until_well(lambda: server_trouble(lab, node, log), what=what, within_s=180, log=log)
    until(lambda: ceph.mounted(lab, node, log), within_s=120, what=f"CephFS of {node.name}")
    enter(lab, node, ["systemctl", "restart", "kubelet"], log=log)


def snapshot(lab: Lab, log: Path) -> None:
    """Take a snapshot of etcd on every machine: the timer takes one only within an hour."""
    for node in lab.nodes:
        enter(lab, node, ["systemctl", "start", "rke2-etcd-snapshot"], log=log, within_s=150)


def uid(lab: Lab, log: Path) -> str:
    """The cluster's identity: the UID of its kube-system namespace."""
    path = "--output=jsonpath={.metadata.uid}"
    return kubectl(lab, "get", "namespace", "kube-system", path, log=log).strip()
