"""Current cluster health, as needed by the arithmetic of the budget. Read only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from harness.core.errors import HarnessError, NotProven
from harness.core.parallel import in_each
from harness.facts import swarm as facts
from harness.facts.ceph import OSD_ANSWERS, OSD_MAP, OSD_TREE, PLACEMENT_GROUPS, QUORUM, Osd
from harness.facts.ceph_names import by_machine, in_doubt
from harness.facts.schema import Item, Known, Unknown, part_of
from harness.facts.swarm import Node, Odd, Silent, Swarm
from harness.faults import budget, observers
from harness.faults.budget import ClusterState, Margin, Pool, SwarmService
from harness.faults.ceph import monitors_at
from harness.faults.fault import Fault
from harness.faults.model import BlastRadius
from harness.faults.pods import ALL_BUDGETS, ALL_PODS, budgets_at, pods_at
from harness.probes import ceph, swarm
from harness.transport import Reach
from harness.transport.objects import count, listed, must

T = TypeVar("T")

_UNASKED = Unknown("it was not asked")
_SWARM_S = 45.0


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
    state = ClusterState(
        machines=machines,
        ready=frozenset(ready & set(machines)),
        etcd=servers,
        etcd_well=frozenset(name for name, well in etcd.items() if well is True),
    )
    return state if reach.profile.disks is None else _with_ceph(reach, state)


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
        budget.pod_margins(
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


def _with_ceph(reach: Reach, state: ClusterState) -> ClusterState:
    """The state, and what Ceph reports; NotProven for an item that Ceph does not report."""
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
    return replace(
        state,
        monitors=tuple(at.get(name, name) for name in quorum.monitors),
        in_quorum=frozenset(at.get(name, name) for name in quorum.members),
        osds=tuple(host for host, _ in osds),
        osds_up=tuple(host for host, osd in up if osd not in silent),
        osds_silent=tuple(
            f"osd.{osd} on {host} is up in Ceph's map and does not answer ({silent[osd]})"
            for host, osd in up
            if osd in silent
        ),
        pools=tuple(Pool(name=it.name, size=it.size, min_size=it.min_size) for it in osd_map.pools),
        unclean=sum(not group.is_clean for group in groups),
    )


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


def swarm_margins(reach: Reach, fault: Fault) -> Sequence[Margin]:
    """What a fault would leave of the Swarm; empty when there is none, or when it may be lost.

    NotProven when no manager reports the state of the Swarm.
    """
    declared = reach.profile.cluster().swarm
    if declared is None or BlastRadius.SWARM not in fault.blast_radius or fault.accept_swarm_loss:
        return ()
    known = _swarm(reach, declared.managers)
    odd = [it.name for it in (*known.nodes, *known.services) if isinstance(it, Odd)]
    if odd:
        raise NotProven(f"Docker's answer about {', '.join(odd)} is not understood")
    reachable = frozenset(
        node.name
        for node in known.nodes
        if isinstance(node, Node)
        and node.reachability == "reachable"
        and node.name in declared.managers
    )
    services = [
        SwarmService(
            name=it.name,
            running=it.running,
            places=None if it.places is None else frozenset(it.places),
        )
        for it in known.services
        if isinstance(it, facts.Service) and it.replicas > 0
    ]
    return tuple(budget.swarm_margins(declared.managers, reachable, services, fault.machine))


def _swarm(reach: Reach, managers: Sequence[str]) -> Swarm:
    """All nodes and services, from the first manager that answers."""
    silent = []
    for manager in managers:
        try:
            said = swarm.ask(reach, manager, within_s=_SWARM_S)
        except HarnessError as error:
            silent.append(f"{manager}: {str(error).partition(chr(10))[0]}")
            continue
        if isinstance(said.swarm, Known):
            return said.swarm.value
        if isinstance(said.docker, Silent):
            why = said.docker.silent
        else:
            why = said.swarm.error if said.swarm else "it is no manager"
        silent.append(f"{manager}: {why}")
    raise NotProven(f"no manager reports the state of the Swarm ({'; '.join(silent)})")
