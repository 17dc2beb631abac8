"""Current cluster health, as needed by the quorum arithmetic. Read only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from harness.core.errors import NotProven
from harness.core.parallel import in_each
from harness.facts.ceph import OSD_ANSWERS, OSD_MAP, OSD_TREE, PLACEMENT_GROUPS, QUORUM, Osd
from harness.facts.ceph_names import by_machine, in_doubt
from harness.facts.schema import Item, Unknown, part_of
from harness.faults import observers, replicas
from harness.faults.budget import ClusterState, Margin, Pool
from harness.faults.ceph_daemon import monitors_at
from harness.faults.fault import Fault
from harness.faults.model import BlastRadius
from harness.faults.pods import ALL_BUDGETS, ALL_PODS, budgets_at, pods_at
from harness.probes import ceph
from harness.transport import Reach
from harness.transport.objects import count, listed, must

T = TypeVar("T")

_UNASKED = Unknown("it was not asked")


def current_state(reach: Reach) -> ClusterState:
    """Ask the API, every server and Ceph; NotProven if one of them does not answer.

    The harness then injects no fault: what the cluster still tolerates is not known.
    """
    cluster = reach.profile.cluster()
    machines = tuple(machine.name for machine in cluster.machines)
    ready = {name for name, well in observers.ready_nodes(reach).items() if well}
    servers = tuple(server.name for server in cluster.servers)
    # The API server on that machine reaches its etcd member, and the member reaches a majority.
    etcd = in_each(servers, lambda name: observers.server_answers(reach, name, "/readyz/etcd"))
    return ClusterState(
        machines=machines,
        ready=frozenset(ready & set(machines)),
        etcd=servers,
        etcd_well=frozenset(name for name, well in etcd.items() if well is True),
        **(_ceph(reach) if reach.profile.disks is not None else {}),
    )


def pod_margins(reach: Reach, fault: Fault) -> Sequence[Margin]:
    """The margins of the pods on the fault's machine.

    Empty when the fault takes no pods, or when its own ``refuse`` counts them.
    """
    if BlastRadius.NODE not in fault.blast_radius or fault.counts_pods:
        return ()
    wanted = {
        (must(it, "metadata", "namespace"), kind, must(it, "metadata", "name")): many(it)
        for kind, (path, many) in _SETS.items()
        for it in listed(reach.kube.get(f"/apis/apps/v1/{path}"), "items")
    }
    return tuple(
        replicas.pod_margins(
            fault.machine,
            pods_at(reach, ALL_PODS),
            wanted,
            budgets_at(reach, ALL_BUDGETS),
            even_all=fault.even_all,
            against_budget=fault.against_budget,
        )
    )


def _replicas(item: object) -> int:
    return count(item, "spec", "replicas", default=1)


def _scheduled(item: object) -> int:
    return count(item, "status", "desiredNumberScheduled")


# Controllers of pods, by kind: the API path, and how many pods one wants.
_SETS: Mapping[str, tuple[str, Callable[[object], int]]] = {
    "ReplicaSet": ("replicasets", _replicas),
    "StatefulSet": ("statefulsets", _replicas),
    "DaemonSet": ("daemonsets", _scheduled),
}


def _ceph(reach: Reach) -> dict[str, Any]:
    items = ceph.look(reach).items
    quorum = _value("quorum", part_of(items, QUORUM))
    tree = _value("OSD tree", part_of(items, OSD_TREE))
    osd_map = _value("OSD map", part_of(items, OSD_MAP))
    groups = _value("placement groups", part_of(items, PLACEMENT_GROUPS))
    answers = _value("OSDs' answers", part_of(items, OSD_ANSWERS))
    hosts = _by_machine(reach, tree.hosts)
    osds = [(host, osd) for host, each in hosts.items() for osd in each]
    up = [(host, osd.id) for host, osd in osds if osd.up and osd.is_in]
    silent = {
        osd: answer.says
        for _, osd in up
        if not (answer := _value(f"answer of osd.{osd}", answers.get(osd, _UNASKED))).answers
    }
    at = monitors_at(reach, quorum)
    return {
        "monitors": tuple(at.get(name, name) for name in quorum.monitors),
        "in_quorum": frozenset(at.get(name, name) for name in quorum.members),
        "osds": tuple(host for host, _ in osds),
        "osds_up": tuple(host for host, osd in up if osd not in silent),
        "osds_silent": tuple(
            f"osd.{osd} on {host} is up in Ceph's map and does not answer ({silent[osd]})"
            for host, osd in up
            if osd in silent
        ),
        "pools": tuple(
            Pool(name=it.name, size=it.size, min_size=it.min_size) for it in osd_map.pools
        ),
        "unclean": sum(group.state != "active+clean" for group in groups),
    }


def _names(reach: Reach) -> Sequence[str]:
    return [machine.name for machine in reach.profile.machines]


def _by_machine(reach: Reach, hosts: Mapping[str, Sequence[Osd]]) -> Mapping[str, Sequence[Osd]]:
    """The OSDs of each CRUSH host, by machine; NotProven when a host's machine is ambiguous."""
    if doubts := in_doubt((host for host, osds in hosts.items() if osds), _names(reach)):
        raise NotProven(f"it is not known which declared machine Ceph's host {doubts[0]} is")
    return by_machine(hosts, _names(reach))


def _value(what: str, found: Item[T]) -> T:
    if isinstance(found, Unknown):
        raise NotProven(f"Ceph's {what} is not known: {found.error}")
    return found.value
