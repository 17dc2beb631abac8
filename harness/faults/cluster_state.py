"""What stands of a cluster right now, as far as the budget counts it. Read only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.errors import NotProven
from harness.facts.crush_hosts import by_machine, in_doubt
from harness.faults import observers, replicas
from harness.faults.budget import ClusterState, Margin, Pool
from harness.faults.ceph_daemon import monitors_at
from harness.faults.fault import Fault
from harness.faults.model import BlastRadius
from harness.probes import pods
from harness.probes.ceph import Ceph
from harness.transport import Reach


def current_state(reach: Reach) -> ClusterState:
    """Ask the API, every server and Ceph. NotProven for what did not answer: then nothing may be
    broken, because nobody knows what still holds."""
    cluster = reach.profile.cluster()
    machines = tuple(machine.name for machine in cluster.machines)
    ready = {name for name, well in observers.ready_nodes(reach).items() if well}
    servers = tuple(server.name for server in cluster.servers)
    # The API server there reaches its member of etcd, and that member its majority.
    etcd = pods.in_each(servers, lambda name: observers.server_answers(reach, name, "/readyz/etcd"))
    return ClusterState(
        machines=machines,
        ready=frozenset(ready & set(machines)),
        etcd=servers,
        etcd_well=frozenset(name for name, well in etcd.items() if well is True),
        **(_ceph(reach) if reach.profile.disks is not None else {}),
    )


def pod_margins(reach: Reach, fault: Fault) -> Sequence[Margin]:
    """What would be left of the pods that a fault takes with their machine; nothing when it takes
    none, or has counted them by itself."""
    if BlastRadius.NODE not in fault.blast_radius or fault.counts_pods:
        return ()
    wanted = {
        (it["metadata"]["namespace"], kind, it["metadata"]["name"]): many(it)
        for kind, (path, many) in _SETS.items()
        for it in reach.kube.get(f"/apis/apps/v1/{path}")["items"]
    }
    return tuple(
        replicas.pod_margins(
            fault.machine,
            reach.kube.get("/api/v1/pods")["items"],
            wanted,
            reach.kube.get("/apis/policy/v1/poddisruptionbudgets")["items"],
            even_all=fault.even_all,
            against_budget=fault.against_budget,
        )
    )


def _replicas(item: Mapping[str, Any]) -> int:
    return int(item["spec"].get("replicas", 1))


def _scheduled(item: Mapping[str, Any]) -> int:
    return int(item.get("status", {}).get("desiredNumberScheduled", 0))


# What keeps sets of pods: the path of its kind, and how many pods one wants.
_SETS: Mapping[str, tuple[str, Callable[[Mapping[str, Any]], int]]] = {
    "ReplicaSet": ("replicasets", _replicas),
    "StatefulSet": ("statefulsets", _replicas),
    "DaemonSet": ("daemonsets", _scheduled),
}


def _ceph(reach: Reach) -> dict[str, Any]:
    said: Any = Ceph().observe(reach, reach.profile.name)
    items: Mapping[str, Any] = said["items"]
    quorum, tree = _value(items, "quorum"), _value(items, "osd tree")
    pools, groups = _value(items, "osd map"), _value(items, "placement groups")
    hosts = _by_machine(reach, tree["hosts"])
    osds = [(host, osd) for host, each in hosts.items() for osd in each]
    answers = _value(items, "osd answers")
    up = [(host, osd["id"]) for host, osd in osds if osd["up"] and osd["in"]]
    silent = {osd: says for _, osd in up if (says := _silence(answers, osd)) is not None}
    at = monitors_at(reach, quorum)
    return {
        "monitors": tuple(at.get(name, name) for name in quorum["monitors"]),
        "in_quorum": frozenset(at.get(name, name) for name in quorum["in"]),
        "osds": tuple(host for host, _ in osds),
        "osds_up": tuple(host for host, osd in up if osd not in silent),
        "osds_silent": tuple(
            f"osd.{osd} on {host} is up in Ceph's map and does not answer ({silent[osd]})"
            for host, osd in up
            if osd in silent
        ),
        "pools": tuple(
            Pool(name=it["name"], size=it["size"], min_size=it["min_size"]) for it in pools["pools"]
        ),
        "unclean": sum(group["state"] != "active+clean" for group in groups),
    }


def _names(reach: Reach) -> Sequence[str]:
    return [machine.name for machine in reach.profile.machines]


def _by_machine(reach: Reach, hosts: Mapping[str, Any]) -> Mapping[str, Any]:
    """The OSDs of each host of CRUSH, by machine; NotProven where nobody can tell which it is."""
    if doubts := in_doubt((host for host, osds in hosts.items() if osds), _names(reach)):
        raise NotProven(f"nobody can tell which declared machine Ceph's host {doubts[0]} is")
    return by_machine(hosts, _names(reach))


def _silence(answers: Mapping[str, Any], osd: int) -> str | None:
    """What was said instead of an OSD's answer; None if it answered, NotProven if that is open."""
    answer = _value(answers, str(osd), "answer of osd.")
    return None if answer["answers"] else str(answer["says"])


def _value(items: Mapping[str, Any], name: str, kind: str = "") -> Any:
    item = items.get(name, {"error": "not reported"})
    if "error" in item:
        raise NotProven(f"Ceph's {kind}{name} is not known: {item['error']}")
    return item["value"]
