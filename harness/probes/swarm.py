"""The old platform as each machine's Docker knows it, and its services' answers from there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from harness.core.errors import NotProven, TransportError
from harness.core.model import JSON
from harness.facts.ceph_names import machine_of_each
from harness.facts.schema import Known, Unknown, dump
from harness.facts.swarm import REPORT, SWARM, Machine, Node, Odd, Service, Task
from harness.probes.probe import Timing
from harness.probes.scripts import docker_script, swarm_script
from harness.transport import Reach
from harness.transport.remote_script import RemoteScript

SCRIPT = RemoteScript(docker_script, swarm_script)


class Swarm:
    """Asks the Docker of every machine; a machine that is not reached counts as not seen."""

    name: ClassVar[str] = SWARM.name
    sentence: ClassVar[str] = "what Docker says on every machine"
    timing: ClassVar[Timing] = Timing.AT_START
    within_s: ClassVar[float] = 120.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [machine.name for machine in reach.profile.machines]

    def observe(self, reach: Reach, target: str) -> JSON:
        asked = (_wanted(reach), _of_instances(reach, target))
        return dump(ask(reach, target, *asked, within_s=self.within_s - 5))


def ask(reach: Reach, target: str, *asked: JSON, within_s: float) -> Machine:
    """What ``swarm_script`` reports on a machine; TransportError without a report.

    Docker names a node after its hostname, which may be longer than the machine's name. A node that
    is certainly a declared machine has that name here.
    """
    found = SCRIPT.on(reach.shell, target, *asked, within_s=within_s, read=REPORT).value
    if isinstance(found, Unknown):
        raise TransportError(
            f"{target}: Docker may not be asked: {found.error}",
            remedy="the harness's user on the machine must be root, or in the group docker",
        )
    if not isinstance(found.swarm, Known):
        return found
    known = found.swarm.value
    machines = [machine.name for machine in reach.profile.machines]
    at = machine_of_each((it.name for it in known.nodes if isinstance(it, Node)), machines)
    nodes = tuple(replace(it, name=at.get(it.name, it.name)) for it in known.nodes)
    services = tuple(_placed(it, at) for it in known.services)
    return replace(found, swarm=Known(replace(known, nodes=nodes, services=services)))


def _placed(service: Service | Odd, at: Mapping[str, str]) -> Service | Odd:
    """The service with its nodes under their machines' names."""
    if isinstance(service, Odd):
        return service

    def named(nodes: Iterable[str]) -> tuple[str, ...]:
        return tuple(at.get(node, node) for node in nodes)

    def tasks(those: Iterable[Task]) -> tuple[Task, ...]:
        # The task of a global service is called after its node.
        return tuple(
            replace(it, task=at.get(it.task, it.task), node=at.get(it.node, it.node))
            for it in those
        )

    return replace(
        service,
        running=named(service.running),
        unheard=named(service.unheard),
        places=None if service.places is None else named(service.places),
        others=tasks(service.others),
        failed=tasks(service.failed),
        ended=tasks(service.ended),
    )


def _of_instances(reach: Reach, target: str) -> JSON:
    """How a manager asks customers' instances: on itself, if the port answers there."""
    cluster = reach.profile.cluster()
    answer = None if cluster.swarm is None else cluster.swarm.instance_answer
    if cluster.swarm is None or answer is None or not answer.machines:
        return None
    at = target if target in answer.machines else answer.machines[0]
    return {
        "names": cluster.swarm.instances,
        "address": cluster.machine(at).address,
        "port": answer.port,
        "path": answer.path,
        "says": answer.says,
    }


def _wanted(reach: Reach) -> JSON:
    """Every declared answer, in the script's form; NotProven without a declared Swarm."""
    cluster = reach.profile.cluster()
    if cluster.swarm is None:
        raise NotProven("the profile declares no Swarm")
    return [
        {
            "place": answer.at(name),
            "address": cluster.machine(name).address,
            "port": answer.port,
            "path": answer.path,
            "host": answer.host,
            "says": answer.says,
        }
        for service in cluster.swarm.services.values()
        for answer in service.answers
        for name in answer.machines
    ]
