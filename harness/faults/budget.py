"""Decides what a fault may break: the arithmetic before every fault. Pure functions.

``margins``        quorums and copies. Three members survive the loss of one; members that are
                   already broken count as lost. Ceph's data is counted in copies: with every
                   placement group active and clean, each has its pool's ``size`` copies.
``pod_refusal``    pods that a fault selects, by replicas and disruption budgets
``pod_margins``    pods that are lost with a machine. A set of one pod may be lost: it is made so,
                   and otherwise no loss of its machine could be rehearsed. A set of several pods
                   must have a ready pod elsewhere. A budget over several pods must still allow a
                   disruption: otherwise pods are already missing.
``swarm_margins``  managers and services of the old Swarm. With a majority of its managers, Swarm
                   restarts a lost task on any node that the service's constraints allow. Without a
                   majority it starts nothing: only tasks on other nodes are left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from harness.faults.model import BlastRadius
from harness.faults.pods import Budget, Pod
from harness.transport.objects import matches

# How many pods each controller wants: namespace, kind, name.
Wanted: TypeAlias = Mapping[tuple[str, str, str], int]

# Pods that are not counted: those without a controller, static pods, and pods of a job, which
# finishes its work later.
_NOT_SERVING = ("", "Node", "Job")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """A Ceph pool: the copies that it keeps, and the copies that it needs to serve I/O."""

    name: str
    size: int
    min_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterState:
    """Current cluster health before a fault, by names of machines.

    Without Ceph, ``monitors``, ``osds`` and ``pools`` are empty. A monitor on an unknown machine
    appears under its own name.
    ``osds_silent`` are OSDs that Ceph reports as up and that do not answer. They count as holding
    no copy, and are not in ``osds_up``. ``unclean`` counts placement groups that are not active and
    clean.
    """

    machines: tuple[str, ...]
    ready: frozenset[str]
    etcd: tuple[str, ...]
    etcd_well: frozenset[str]
    monitors: tuple[str, ...] = ()
    in_quorum: frozenset[str] = field(default_factory=frozenset)
    osds: tuple[str, ...] = ()  # the machine of each OSD
    osds_up: tuple[str, ...] = ()
    osds_silent: tuple[str, ...] = ()  # in words: the OSD, its machine, the error
    pools: tuple[Pool, ...] = ()
    unclean: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """One line of the arithmetic: of ``have``, the fault takes ``lose``; ``need`` must be left."""

    what: str
    have: int
    lose: int
    need: int

    @property
    def holds(self) -> bool:
        return self.have - self.lose >= self.need

    def __str__(self) -> str:
        left = self.have - self.lose
        word = "enough" if self.holds else "TOO FEW"
        return f"{self.what}: {self.have} − {self.lose} = {left}, {self.need} needed: {word}"


def majority(members: int) -> int:
    """The majority of so many members."""
    return members // 2 + 1


def margins(
    state: ClusterState, machine: str, blast_radius: frozenset[BlastRadius]
) -> Iterator[Margin]:
    """The arithmetic for a fault with this blast radius on one machine."""
    others_ready = len(state.machines) - 1
    yield Margin(
        what="machines that are ready",
        have=len(state.ready),
        # Any fault on a machine counts it as lost. Only one machine may be lost at a time: the
        # cluster tolerates no second one.
        lose=int(bool(blast_radius) and machine in state.ready),
        need=others_ready if blast_radius else len(state.machines),
    )
    yield Margin(
        what="etcd members that are well",
        have=len(state.etcd_well),
        lose=int(BlastRadius.ETCD in blast_radius and machine in state.etcd_well),
        need=majority(len(state.etcd)),
    )
    if state.monitors:
        yield Margin(
            what="monitors in quorum",
            have=len(state.in_quorum),
            lose=int(BlastRadius.MONITOR in blast_radius and _may_decide(state, machine)),
            need=majority(len(state.monitors)),
        )
    yield from _copies(state, machine, blast_radius)


def _may_decide(state: ClusterState, machine: str) -> bool:
    """True if the machine may have a monitor that is in quorum.

    A monitor on an unknown machine may be on any machine that has no known monitor.
    """
    unplaced = state.in_quorum - set(state.machines)
    return machine in state.in_quorum or bool(unplaced and machine not in state.monitors)


def refusal(state: ClusterState, machine: str, blast_radius: frozenset[BlastRadius]) -> str | None:
    """Why such a fault may not be injected now; None if it may."""
    reasons = [str(margin) for margin in margins(state, machine, blast_radius) if not margin.holds]
    if state.unclean:
        reasons.append(f"{state.unclean} placement groups are not active and clean")
    reasons += [f"{osd}: it holds no copy" for osd in state.osds_silent]
    down = len(state.osds) - len(state.osds_up) - len(state.osds_silent)
    if down:
        reasons.append(f"{down} OSDs are down")
    return "; ".join(reasons) or None


def _copies(
    state: ClusterState, machine: str, blast_radius: frozenset[BlastRadius]
) -> Iterator[Margin]:
    """Copies that each pool has left: each machine has one, so a machine's loss takes one."""
    lost = int(BlastRadius.OSD in blast_radius and machine in state.osds_up)
    sizes: Sequence[tuple[int, int]] = sorted({(it.size, it.min_size) for it in state.pools})
    for size, min_size in sizes:
        alike = [it.name for it in state.pools if (it.size, it.min_size) == (size, min_size)]
        yield Margin(
            what=f"copies in {', '.join(alike)}",
            have=min(size, len(set(state.osds_up))),
            lose=lost,
            # The pool serves I/O from min_size copies on; one copy is never enough.
            need=max(min_size, 2),
        )


def pod_refusal(
    victims: Sequence[Pod],
    pods: Sequence[Pod],
    budgets: Sequence[Budget],
    *,
    one_by_one: bool = False,
    even_all: bool = False,
    against_budget: bool = False,
) -> str | None:
    """Why the fault may not take these pods of all ``pods``; None if it may.

    ``one_by_one``: each pod is evicted when its budget allows it, as a drain does. ``even_all``
    takes every replica, ``against_budget`` more than a budget allows. A fault never takes a pod
    without a controller.
    """
    lone = sorted(str(pod) for pod in victims if pod.controller is None)
    reasons = [f"nothing brings {name} back: it has no controller" for name in lone]
    at_once = 1 if one_by_one else len(victims)
    lines = [] if against_budget else list(disruptions_allowed(victims, budgets, at_once))
    lines += [] if even_all else list(pods_left(victims, pods))
    return "; ".join([*reasons, *(str(it) for it in lines if not it.holds)]) or None


def pod_margins(
    machine: str,
    pods: Sequence[Pod],
    wanted: Wanted,
    budgets: Sequence[Budget],
    *,
    even_all: bool = False,
    against_budget: bool = False,
) -> Iterator[Margin]:
    """What is left of sets of several pods after the loss of a machine, and of their budgets.

    ``even_all`` skips the sets, ``against_budget`` the budgets. A controller that is not in
    ``wanted`` wants as many pods as it has.
    """
    victims = [pod for pod in pods if pod.machine == machine and _serves(pod)]
    there = Counter(_set_of(pod) for pod in pods if not pod.is_done)
    several = [it for it in victims if (key := _set_of(it)) and wanted.get(key, there[key]) > 1]
    if not even_all:
        yield from pods_left(several, pods)
    if not against_budget:
        used = [it for it in budgets if it.pods > 1]
        # At most one of them counts: a budget applies to evictions, one at a time.
        yield from disruptions_allowed(victims, used, 1)


def disruptions_allowed(
    victims: Sequence[Pod], budgets: Sequence[Budget], at_once: int
) -> Iterator[Margin]:
    """For each budget that covers a victim, the disruptions that it allows.

    At most ``at_once`` pods are gone at the same time.
    """
    for budget in budgets:
        covered = [
            pod
            for pod in victims
            if pod.namespace == budget.namespace and matches(budget.selector, pod.labels)
        ]
        if covered:
            yield Margin(
                what=f"disruptions that the budget {budget} allows",
                have=budget.allowed,
                lose=min(len(covered), at_once),
                need=0,
            )


def pods_left(victims: Sequence[Pod], pods: Sequence[Pod]) -> Iterator[Margin]:
    """For each controller of a victim, the ready pods that it has left."""
    lost = _ready_by_owner(victims)
    have = _ready_by_owner(pods)
    for (space, kind, name), count in sorted(lost.items()):
        yield Margin(
            what=f"ready pods of {kind} {space}/{name}",
            have=have[space, kind, name],
            lose=count,
            need=1,
        )


def _serves(pod: Pod) -> bool:
    return pod.is_whole and pod.kind not in _NOT_SERVING


def _set_of(pod: Pod) -> tuple[str, str, str] | None:
    made_by = pod.controller
    return None if made_by is None else (pod.namespace, made_by.kind, made_by.name)


def _ready_by_owner(pods: Sequence[Pod]) -> Counter[tuple[str, str, str]]:
    return Counter(key for pod in pods if (key := _set_of(pod)) and pod.is_whole)


_NAMED = 3  # services that one line lists by name


@dataclass(frozen=True, slots=True, kw_only=True)
class SwarmService:
    """A service that should run: the machines of its tasks, and the machines that may run it.

    ``places`` is None when its constraints are not understood.
    """

    name: str
    running: tuple[str, ...]
    places: frozenset[str] | None


def swarm_margins(
    managers: Sequence[str],
    reachable: frozenset[str],
    services: Sequence[SwarmService],
    machine: str,
) -> Iterator[Margin]:
    """The arithmetic for the loss of a machine; services with the same sum share a line."""
    of_managers = Margin(
        what="Swarm managers that are reachable",
        have=len(reachable),
        lose=int(machine in reachable),
        need=majority(len(managers)),
    )
    yield of_managers
    alike: dict[tuple[str, int, int], list[str]] = {}
    for service in services:
        if of_managers.holds and service.places is not None:
            sums = ("machines that may run", len(service.places), int(machine in service.places))
        else:
            running = service.running
            sums = ("running tasks of", len(running), running.count(machine))
        if sums[2]:
            alike.setdefault(sums, []).append(service.name)
    for (what, have, lose), names in sorted(alike.items()):
        yield Margin(what=f"{what} {_listed(names)}", have=have, lose=lose, need=1)


def _listed(names: Sequence[str]) -> str:
    """Some names in a line: ``the Swarm services a, b, c and 4 more``."""
    many = "the Swarm service" if len(names) == 1 else "each of the Swarm services"
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{many} {', '.join(names[:_NAMED])}{more}"
