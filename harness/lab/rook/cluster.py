"""Rook in cluster mode: it makes a Ceph of its own, with an OSD on every machine's partition.

The machines' old Ceph stays beside it. Rook's daemons are on the pod network, so that no two listen
at one address.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from harness.lab.host import until_well
from harness.lab.kubernetes import Item, insist, kubectl, objects
from harness.lab.machines import enter, fill, init
from harness.lab.rook.program import HERE
from harness.lab.shape import LAB, Lab, Node

CEPH = "v18.2.7"
SPACE = "rook-ceph"
# What ceph-fuse needs of Rook's Ceph, on a machine.
MOUNTED_AT = "/mnt/rook"
CONF, KEYRING = "etc/ceph/rook.conf", "etc/ceph/rook.keyring"
# Managers load no module that is not in use, as on the machines.
CEPH_CONF = LAB / "machine/etc/ceph/ceph.conf"
_FIRST_OSD_S, _OSD_S, _POOLS_S = 600.0, 300.0, 300.0


def image_files() -> Mapping[str, Path]:
    """What Ceph's image has besides Debian's packages, by its place there."""
    shims = HERE / "image"
    own = {str(it.relative_to(shims)): it for it in sorted(shims.rglob("*")) if it.is_file()}
    bcrypt = "usr/share/ceph/mgr/bcrypt.py"
    return {**own, bcrypt: LAB / "machine" / bcrypt}


def up(lab: Lab, folder: Path, log: Path) -> None:
    """Let Rook make its Ceph, and mount its CephFS on every machine.

    The machines give their disks one after another: so OSD 0 is on the first. OSDs that exist
    already, from a run that was interrupted, stay.
    """
    insist(lab, "apply", "--filename=-", stdin=json.dumps(monitor_services(lab)), log=log)
    begin = max(1, len(_osds(lab, log)))
    for count in range(begin, len(lab.nodes) + 1):
        insist(lab, "apply", "--filename=-", stdin=ceph_cluster(lab, count), log=log)
        _await_osds(lab, count, log)
        if count == begin:
            _apply_pools_and_toolbox(lab, folder, log)
    until_well(lambda: ceph_trouble(lab, log), what="Rook's Ceph", within_s=_POOLS_S, log=log)
    _mount(lab, log)


def monitor_services(lab: Lab) -> dict[str, Any]:
    """The monitors' services, with the addresses that the profile declares.

    Rook keeps the address of a service that is there, as after a disaster.
    """
    assert lab.profile.rook is not None
    items = []
    for letter, endpoint in zip("abcdefghi", lab.profile.rook.monitors, strict=False):
        address, _, port = endpoint.rpartition(":")
        ports = [
            {"name": "tcp-msgr1", "port": int(port), "targetPort": int(port)},
            {"name": "tcp-msgr2", "port": 3300, "targetPort": 3300},
        ]
        items.append(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": f"rook-ceph-mon-{letter}", "namespace": SPACE},
                "spec": {"clusterIP": address, "ports": ports},
            }
        )
    return {"apiVersion": "v1", "kind": "List", "items": items}


def ceph_cluster(lab: Lab, machines: int) -> str:
    """The CephCluster with OSDs on so many machines, as YAML."""
    assert lab.profile.rook is not None
    device = f"/dev/{lab.profile.rook.device}"
    nodes = [{"name": node.name, "devices": [{"name": device}]} for node in lab.nodes[:machines]]
    disabled = re.search(r"^mgr_disabled_modules = (.*)$", CEPH_CONF.read_text(), re.M)
    assert disabled is not None
    text = (HERE / "manifests/cluster.yaml").read_text(encoding="utf-8")
    # Rook asks for a setting of this module's, also where it is off.
    modules = " ".join(name for name in disabled[1].split() if name != "prometheus")
    return fill(text, {"nodes": json.dumps(nodes), "modules": modules})


def _osds(lab: Lab, log: Path) -> list[Item]:
    """The Deployments of Rook's OSDs."""
    which = ("deployments", f"--namespace={SPACE}", "--selector=app=rook-ceph-osd")
    return objects(lab, *which, log=log)


def _await_osds(lab: Lab, wanted: int, log: Path) -> None:
    """Wait until so many OSDs run; before the first one, Rook makes monitors and managers."""

    def missing() -> str:
        ready = sum(it.get("status", {}).get("readyReplicas", 0) for it in _osds(lab, log))
        return "" if ready >= wanted else f"{ready} of {wanted} OSDs run"

    within_s = _FIRST_OSD_S if wanted == 1 else _OSD_S
    until_well(missing, what="Ceph under Rook", within_s=within_s, log=log)


def _apply_pools_and_toolbox(lab: Lab, folder: Path, log: Path) -> None:
    insist(lab, "apply", f"--filename={HERE / 'manifests/pools.yaml'}", log=log)
    toolbox = two_toolboxes((folder / "toolbox.yaml").read_text(encoding="utf-8"))
    insist(lab, "apply", "--filename=-", stdin=json.dumps(toolbox), log=log)


def two_toolboxes(manifest: str) -> Any:
    """Rook's toolbox with Ceph's image of the lab, on two machines: one survives the other's."""
    toolbox = yaml.safe_load(manifest)
    toolbox["spec"]["replicas"] = 2
    pod = toolbox["spec"]["template"]["spec"]
    pod["containers"][0]["image"] = f"lab/ceph:{CEPH}"
    apart = {
        "topologyKey": "kubernetes.io/hostname",
        "labelSelector": toolbox["spec"]["selector"],
    }
    pod["affinity"] = {
        "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [apart]}
    }
    return toolbox


def _mount(lab: Lab, log: Path) -> None:
    """Mount Rook's CephFS on every machine, where the provisioner makes claims' folders."""
    assert lab.profile.rook is not None
    path = "--output=jsonpath={.data.ceph-secret}"
    secret = ("get", "secret", "rook-ceph-mon", f"--namespace={SPACE}")
    key = base64.b64decode(kubectl(lab, *secret, path, log=log)).decode()
    monitors = ",".join(lab.profile.rook.monitors)
    for node in lab.nodes:
        conf, keyring = node.root / CONF, node.root / KEYRING
        conf.write_text(f"[global]\nmon_host = {monitors}\nkeyring = /{KEYRING}\n")
        keyring.touch(mode=0o600)
        keyring.write_text(f"[client.admin]\n\tkey = {key}\n")
        enter(lab, node, ["systemctl", "start", "mnt-rook"], log=log)
    until_well(lambda: _unmounted(lab, log), what="Rook's CephFS", within_s=60, log=log)


def _unmounted(lab: Lab, log: Path) -> str:
    def has_it(node: Node) -> bool:
        ask = ["timeout", "5", "stat", "-f", "-c", "%T", MOUNTED_AT]
        return "fuse" in enter(lab, node, ask, log=log, check=False)

    running = [node for node in lab.nodes if init(lab, node) is not None]
    lost = [node.name for node in running if not has_it(node)]
    return f"{MOUNTED_AT} is not mounted on {', '.join(lost)}" if lost else ""


def ceph_trouble(lab: Lab, log: Path) -> str:
    """Why Rook's Ceph is not whole, as it says itself in its toolbox; empty when it is."""
    inside = ("exec", "deployment/rook-ceph-tools", f"--namespace={SPACE}", "--")
    ask = ("timeout", "12", "ceph", "--connect-timeout", "5", "status", "--format", "json")
    try:
        status = json.loads(kubectl(lab, *inside, *ask, log=log, check=False))
    except ValueError:
        return "its Ceph does not answer in the toolbox"
    health = status["health"]
    if health["status"] != "HEALTH_OK":
        return f"its Ceph is {health['status']}: {', '.join(health.get('checks', {}))}"
    osds, wanted = status["osdmap"]["num_up_osds"], len(lab.nodes)
    return "" if osds == wanted else f"{osds} of {wanted} OSDs are up"


def trouble(lab: Lab, log: Path) -> str:
    """Why Rook's own Ceph, its pools or its mounts are not whole; empty when they are."""
    kinds = "cephblockpools,cephfilesystems"
    for item in objects(lab, kinds, f"--namespace={SPACE}", log=log):
        phase = item.get("status", {}).get("phase")
        if phase != "Ready":
            return f"its {item['kind']} {item['metadata']['name']} is {phase}"
    return ceph_trouble(lab, log) or _unmounted(lab, log)
