"""The just-built state of a lab: its disks and keys, copied in one moment, and copied back.

After that, all machines start at once. Settings that make a daemon wait for others are changed for
that one start: its others are not there, and the copies of one moment agree.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from harness.lab import cgroups, disks, host, machines
from harness.lab.shape import Lab, Node

# Members of etcd compare their data before they start: each waits 15 s for each other one, which
# does not answer before it has started itself.
ETCD_WAITS, ETCD_STARTS = "InitialCorruptCheck=true", "InitialCorruptCheck=false"
# A metadata server waits for its clients, which lost power, too. In seconds.
MDS_WAITS, MDS_STARTS = "mds_reconnect_timeout = 20", "mds_reconnect_timeout = 1"


def save(lab: Lab, log: Path) -> None:
    """Copy the live disks while every machine is frozen: one moment for all of them."""
    for old in lab.pool.glob("golden-*"):
        shutil.rmtree(old)
    groups = [machines.group(lab, node) for node in lab.nodes]
    containers = [f"{group}/{part}" for group in groups for part in machines.CONTAINERS]
    try:
        cgroups.stand_still(groups, containers)
        for folder in (*(node.system for node in lab.nodes), lab.pool):
            host.run(["sync", "--file-system", folder], log=log, within_s=120)
        disks.copy(lab.live, lab.golden, log)
    finally:
        cgroups.freeze([*groups, *containers], False)


def start_without_waiting(lab: Lab) -> None:
    """Change the settings of machines that are off, before they start from copies."""
    for node in lab.nodes:
        _replace(etcd(node), ETCD_WAITS, ETCD_STARTS)
        _replace(ceph(node), MDS_WAITS, MDS_STARTS)


def wait_as_usual(lab: Lab, log: Path) -> None:
    """Take that back on machines that run; without effect where nothing was changed."""
    seconds = MDS_WAITS.rpartition(" ")[2]
    for node in lab.nodes:
        _replace(etcd(node), ETCD_STARTS, ETCD_WAITS)
        _replace(ceph(node), MDS_STARTS, MDS_WAITS)
        tell = ["ceph", "daemon", f"mds.{node.name}", "config", "set", "mds_reconnect_timeout"]
        machines.enter(lab, node, [*tell, seconds], log=log)


def etcd(node: Node) -> Path:
    """The configuration of a machine's etcd, as this host sees it."""
    return node.system / "rancher/rke2/server/db/etcd/config"


def ceph(node: Node) -> Path:
    """The configuration of a machine's Ceph, as this host sees it."""
    return node.root / "etc/ceph/ceph.conf"


def _replace(path: Path, old: str, new: str) -> None:
    """Replace a whole line, or the end of one, in place: the file keeps its mode."""
    lines = path.read_text(encoding="utf-8").split("\n")
    kept = [line.removesuffix(old) + new if line.endswith(old) else line for line in lines]
    path.write_text("\n".join(kept), encoding="utf-8")
