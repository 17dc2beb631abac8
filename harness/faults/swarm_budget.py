"""Decides what a fault may take of the old Swarm: the arithmetic of its managers and services.

With a majority of its managers, Swarm restarts a lost task on any node that the service's
constraints allow. Without a majority it starts nothing: only tasks on other nodes are left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.core.errors import HarnessError, NotProven
from harness.facts import swarm as facts
from harness.facts.schema import Known
from harness.facts.swarm import Node, Odd, Silent, Swarm
from harness.faults.budget import Margin, majority
from harness.faults.fault import Fault
from harness.faults.model import BlastRadius
from harness.probes import swarm
from harness.transport import Reach

_ASK_S = 45.0
_NAMED = 3  # services that one line lists by name


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service that should run: the machines of its tasks, and the machines that may run it.

    ``places`` is None when its constraints are not understood.
    """

    name: str
    running: tuple[str, ...]
    places: frozenset[str] | None


def swarm_margins(reach: Reach, fault: Fault) -> Sequence[Margin]:
    """What a fault would leave of the Swarm; empty when there is none, or when it may be lost.

    NotProven when no manager reports the state of the Swarm.
    """
    declared = reach.profile.cluster().swarm
    if declared is None or BlastRadius.SWARM not in fault.blast_radius or fault.accept_swarm_loss:
        return ()
    known = _known(reach, declared.managers)
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
        Service(
            name=it.name,
            running=it.running,
            places=None if it.places is None else frozenset(it.places),
        )
        for it in known.services
        if isinstance(it, facts.Service) and it.replicas > 0
    ]
    return tuple(margins(declared.managers, reachable, services, fault.machine))


def margins(
    managers: Sequence[str], reachable: frozenset[str], services: Sequence[Service], machine: str
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


def _known(reach: Reach, managers: Sequence[str]) -> Swarm:
    """All nodes and services, from the first manager that answers."""
    silent = []
    for manager in managers:
        try:
            said = swarm.ask(reach, manager, within_s=_ASK_S)
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
