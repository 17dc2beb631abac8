"""Evidence from every machine: its journal, its units, its disks, its view of Ceph and Swarm.

Every command only reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.settings import Profile

_UNITS = ("rke2-server", "rke2-agent", "kubelet", "containerd", "chrony", "ceph.target", "docker")
_JOURNAL = ("journalctl", "--no-pager", "--output=short-iso-precise")
_COMMANDS: Mapping[str, Sequence[str]] = {
    "journal of the node's units": (
        *(*_JOURNAL, "--lines=600"),
        *(f"--unit={unit}" for unit in _UNITS),
    ),
    "journal, warnings and worse": (*_JOURNAL, "--lines=400", "--priority=warning"),
    "journal of the kernel": (*_JOURNAL, "--lines=200", "--dmesg"),
    "failed units": ("systemctl", "--no-pager", "--plain", "--failed"),
    "state of the node's units": (
        *("systemctl", "list-units", "--all", "--full", "--no-pager", "--plain"),
        *(f"{unit}*" for unit in _UNITS),
    ),
    "control plane containers": (
        *("sh", "-c"),
        "tail -n 100 /var/log/pods/kube-system_etcd-*/*/*.log "
        "/var/log/pods/kube-system_kube-*/*/*.log",
    ),
    "clock": ("chronyc", "-n", "tracking"),
    "disks": ("df", "--human-readable", "--exclude-type=overlay", "--exclude-type=tmpfs"),
    "memory": ("free", "--mebi"),
    "processes": ("ps", "-eo", "pid,ppid,stat,etimes,rss,pcpu,comm", "--sort=-rss"),
    "addresses": ("ip", "-brief", "address"),
    "routes": ("ip", "route"),
}
_CEPH: Mapping[str, Sequence[str]] = {
    "Ceph's status": ("ceph", "--connect-timeout=10", "status"),
    "Ceph's health": ("ceph", "--connect-timeout=10", "health", "detail"),
    "Ceph's OSDs": ("ceph", "--connect-timeout=10", "osd", "df", "tree"),
}
# A machine that is no manager prints an error instead.
_SWARM: Mapping[str, Sequence[str]] = {
    "Docker": ("docker", "info"),
    "Swarm's nodes": ("docker", "node", "ls"),
    "Swarm's services": ("docker", "service", "ls"),
    "Swarm's tasks": ("sh", "-c", "docker service ps --no-trunc $(docker service ls --quiet)"),
}


def commands(profile: Profile) -> Mapping[str, Sequence[str]]:
    """The commands for every machine, by what they show."""
    # Without a `ceph` program on the machines, CephCluster and the pods' logs show Ceph's state.
    asks_machines = profile.stack.rook != "cluster" and profile.ceph.through == "machines"
    ceph = _CEPH if asks_machines else {}
    return {**ceph, **(_SWARM if profile.stack.source == "swarm" else {}), **_COMMANDS}
