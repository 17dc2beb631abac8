"""W1-SWARM: the platform that serves customers today is whole: nodes, services, tasks, updates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence, Set

from harness.checks.findings import Finding, Seen, conclude, looks, names, unknown, wanted
from harness.core.declared import SwarmDeclared, SwarmService
from harness.core.model import Case, Verdict
from harness.facts import swarm
from harness.facts.schema import Known, Unknown
from harness.facts.swarm import Machine, Node, Odd, Service, Silent, Swarm, Task

SWARM = "Swarm"
_SAID = 2  # tasks that a reason names
# A task with this many failures in a short time keeps failing, even if it runs now.
_AGAIN = 3
# Within this time, a healthy service has no task that fails again and again. A rolling restart of
# three machines fails the task of one number three times.
_WHILE_MINUTES = 30
# States of an update that needs no operator; the others (paused, rollback_paused) do.
_ROLLED_BACK = "rollback_completed"
_SETTLED = ("completed", _ROLLED_BACK)
_GOING_ON = ("updating", "rollback_started")


def seen_of(case: Case) -> Seen[Machine]:
    """What each machine's Docker said."""
    return looks(case, swarm.SWARM, [machine.name for machine in case.cluster.machines])


def declared_of(case: Case) -> SwarmDeclared:
    """The Swarm as the profile declares it."""
    assert case.cluster.swarm is not None, "the requirement needs a Swarm"
    return case.cluster.swarm


def known_of(seen: Seen[Machine]) -> Swarm | None:
    """What a manager knows: each manager tells what the leader knows."""
    told = (it.swarm for it in seen.values.values())
    return next((it.value for it in told if isinstance(it, Known)), None)


def services_of(known: Swarm | None) -> list[Service]:
    """The services that are understood."""
    return [it for it in known.services if isinstance(it, Service)] if known is not None else []


def odd_of(listed: Sequence[Node | Service | Odd]) -> Iterator[Finding]:
    """The nodes or services whose description by Docker is not understood."""
    for it in listed:
        if isinstance(it, Odd):
            yield unknown(it.name, f"what Docker says of it is not understood: {it.odd}")


def nodes_ready(case: Case) -> Verdict:
    seen, declared = seen_of(case), declared_of(case)
    known = known_of(seen)
    listed = [it for it in known.nodes if isinstance(it, Node)] if known is not None else []
    machines = [machine.name for machine in case.cluster.machines]
    odd = [*odd_of(known.nodes)] if known is not None else []
    # A node that is not understood may belong to any machine.
    findings = [*_engines(seen, [] if odd else listed), *odd]
    if known is not None:
        for name in machines:
            nodes = [node for node in listed if node.name == name]
            if nodes or not odd:
                findings += [Finding(name, says) for says in _wrong_node(nodes, name, declared)]
            findings += [unknown(name, _unheard(node)) for node in nodes if _is_unheard(node)]
        findings += [
            Finding(
                node.name,
                "expected only declared machines in the Swarm, seen this node as well"
                f" ({node.state})",
            )
            for node in listed
            if node.name not in machines
        ]
        leaders = sum(node.leader for node in listed)
        if leaders != 1 and not odd:
            findings.append(Finding(SWARM, f"expected one leader, seen {leaders}"))
    ready = [it for it in listed if it.name in machines and it.state == "ready"]
    return conclude(
        [*findings, *untold(seen, known)],
        seen,
        proven=f"all {len(machines)} machines are ready and active in the Swarm, and its managers"
        f" {names(declared.managers)} have one leader",
        measured={"ready_count": len(ready)} if known is not None else {},
        target={"ready_count": len(machines)},
    )


def _is_unheard(node: Node) -> bool:
    return node.state == "unknown"


def _unheard(node: Node) -> str:
    """The leader has no news of a node: for a moment if the leader is new, or for ever."""
    why = f" ({node.why})" if node.why else ""
    return f"the Swarm's leader has not heard of this node: its state is unknown{why}"


def untold(seen: Seen[Machine], known: Swarm | None) -> list[Finding]:
    """A finding if a machine was looked at and no manager told the state of the Swarm."""
    if known is not None or not seen.values:
        return []
    return [unknown(SWARM, "no manager tells the state of all nodes and services")]


def _engines(seen: Seen[Machine], listed: Sequence[Node]) -> Iterator[Finding]:
    """What each machine reports about itself."""
    ids = {node.id for node in listed}
    for name, value in seen.values.items():
        if isinstance(value.docker, Silent):
            yield Finding(name, f"expected Docker to answer, seen {value.docker.silent}")
            continue
        own = value.docker.value
        if own.state != "active":
            why = f" ({own.why})" if own.why else ""
            yield Finding(name, f"expected it active in the Swarm, seen {own.state}{why}")
        elif ids and own.id not in ids:
            yield Finding(name, "expected it in the same Swarm as the others, seen it in another")
        if isinstance(value.swarm, Unknown):
            text = f"expected this manager to tell the Swarm's state, seen {value.swarm.error}"
            yield Finding(name, text)


def _wrong_node(nodes: Sequence[Node], name: str, declared: SwarmDeclared) -> Iterator[str]:
    if len(nodes) != 1:
        states = f" ({names(node.state for node in nodes)})" if nodes else ""
        yield f"expected one Swarm node of this name, seen {len(nodes) or 'none'}{states}"
    for node in nodes:
        for want, have in (("ready", node.state), ("active", node.availability)):
            if have != want and have != "unknown":
                yield f"expected its Swarm node to be {want}, seen {have}"
        manager = name in declared.managers
        if node.manager != manager:
            words = {True: "a manager", False: "a worker"}
            yield f"expected {words[manager]} of the Swarm, seen {words[node.manager]}"
        elif manager and node.reachability != "reachable" and not _is_unheard(node):
            yield f"expected a reachable manager, seen {node.reachability or 'no reachability'}"


def replicas(case: Case) -> Verdict:
    """Covers every service of the Swarm, declared or not; a silent Docker runs no task.

    A global service must run on every machine that may run it, even if Swarm made no task there. A
    task that fails every few minutes runs nearly always, so the check counts failures too.
    """
    target = wanted(case, "missing_tasks_count", "task_failures_count")
    seen = seen_of(case)
    known = known_of(seen)
    services = services_of(known)
    silent = {name for name, value in seen.values.items() if isinstance(value.docker, Silent)}
    running = {it.name: [at for at in it.running if at not in silent] for it in services}
    findings = [
        it
        for service in services
        for it in (
            *_short(service, running[service.name]),
            *_nowhere(service, case),
            *_again_and_again(service, target["task_failures_count"]),
        )
    ]
    findings += odd_of(known.services if known else ())
    if known is not None and not known.services:
        findings.append(unknown(SWARM, "it has no service, so none has its tasks"))
    missing = sum(
        max(0, it.replicas - len(running[it.name])) + len(_bare(it, case)) for it in services
    )
    tasks = sum(map(len, running.values()))
    failures = [times for it in services for times in _failures(it).values()]
    return conclude(
        [*findings, *untold(seen, known)],
        seen,
        proven=f"all {len(services)} services have their {tasks} tasks running",
        measured={"missing_tasks_count": missing, "task_failures_count": max(failures, default=0)}
        if services
        else {},
        target=target,
    )


def _short(service: Service, running: Sequence[str]) -> Iterator[Finding]:
    """What is wrong with a service's tasks: too few, too many, or failing again and again."""
    name, seen = service.name, len(running)
    if seen < service.replicas <= seen + len(service.unheard):
        where = names(dict.fromkeys(service.unheard))
        text = f"{len(service.unheard)} of its tasks ran on {where}, whose state is unknown"
        yield unknown(name, text)
    elif seen != service.replicas:
        others = "; ".join(map(_task, service.others[:_SAID]))
        why = f" ({others})" if others else ""
        yield Finding(name, f"expected {service.replicas} running tasks, seen {seen}{why}")
    for slot, times in Counter(it.task for it in service.failed).items():
        if times >= _AGAIN:
            last = min((it for it in service.failed if it.task == slot), key=lambda it: it.age_s)
            text = f"expected its tasks to stay, seen {times} failures of one: {_task(last)}"
            yield Finding(name, text)


def _failures(service: Service) -> Counter[str]:
    """How often the task of each number failed lately, after a short or a long run."""
    return Counter(it.task for it in service.ended if it.age_s < _WHILE_MINUTES * 60)


def _again_and_again(service: Service, most: float) -> Iterator[Finding]:
    """Tasks that run for minutes and then fail, again and again."""
    for slot, times in _failures(service).items():
        if times > most:
            last = min((it for it in service.ended if it.task == slot), key=lambda it: it.age_s)
            text = f"expected {most:g} failures of one task in {_WHILE_MINUTES} min at most"
            ago = f"the last {last.age_s / 60:.0f} min ago: {_task(last)}"
            yield Finding(service.name, f"{text}, seen {times}, {ago}")


def _bare(service: Service, case: Case) -> list[str]:
    """The machines that may run a global service, and for which Swarm has no task of it."""
    if not _is_everywhere(service, case):
        return []
    has = {*service.running, *service.unheard, *(it.node for it in service.others)}
    return [name for name in service.places or () if name not in has]


def _nowhere(service: Service, case: Case) -> Iterator[Finding]:
    """What is wrong with the places of a global service's tasks."""
    if not _is_everywhere(service, case):
        return
    name, bare = service.name, _bare(service, case)
    if bare:
        text = "expected a task of this global service on every machine that may run it, seen none"
        yield Finding(name, f"{text} on {names(bare)}")
    elif not service.running and not service.replicas:
        text = "expected this global service to have a task on some machine, seen none"
        yield Finding(name, text)
    elif service.places is None:
        text = "a placement constraint of this global service is not understood, so it is unknown"
        yield unknown(name, f"{text} which machines are to run it")


def _is_everywhere(service: Service, case: Case) -> bool:
    """True for a global service, except one that is declared to have no task."""
    declared = declared_of(case).services.get(service.name)
    return service.mode == "global" and (declared is None or declared.replicas != 0)


def _task(task: Task) -> str:
    where = f" on {task.node}" if task.node and task.node != task.task else ""
    return f"task {task.task}{where} is {task.state}: {task.why or 'no reason is given'}"


def updates_are_done(case: Case) -> Verdict:
    """No update is paused, and none takes longer than the target.

    A service that was rolled back, by Swarm or by an operator, passes; the reason names it.
    """
    key = "update_minutes"
    target = wanted(case, key)
    seen = seen_of(case)
    known = known_of(seen)
    services = services_of(known)
    findings = [*odd_of(known.services if known else ())]
    minutes = [0.0]
    back = [it.name for it in services if it.update and it.update.state == _ROLLED_BACK]
    for it in services:
        update = it.update
        if update is None or update.state in _SETTLED:
            continue
        why = f": {update.why}" if update.why else ""
        if update.state not in _GOING_ON:
            text = f"expected no update to stand still, seen it {update.state}{why}"
            findings.append(Finding(it.name, text))
        elif update.age_s is None:
            findings.append(
                unknown(it.name, f"an update goes on, and Docker does not say since when{why}")
            )
        else:
            minutes.append(update.age_s / 60)
            if minutes[-1] > target[key]:
                text = f"expected an update to take {target[key]:g} minutes at most, seen"
                text += f" {update.state} for {minutes[-1]:.0f}{why}"
                findings.append(Finding(it.name, text))
    return conclude(
        [*findings, *untold(seen, known)],
        seen,
        proven=f"no update of the {len(services)} services stands still"
        + (f"; rolled back, and running the earlier version: {names(back)}" if back else ""),
        measured={key: round(max(minutes), 1)} if services else {},
        target=target,
    )


def services_there(case: Case) -> Verdict:
    seen, declared = seen_of(case), declared_of(case)
    known = known_of(seen)
    findings = []
    if known is not None:
        listed = {it.name: it for it in known.services}
        published = {port for it in services_of(known) for port in it.ports}
        odd = list(odd_of(known.services if known else ()))
        findings += [it for it in odd if it.where in declared.services]
        for name, service in declared.services.items():
            found = listed.get(name)
            if found is None:
                findings.append(Finding(name, "expected this service, seen none of that name"))
            elif isinstance(found, Service):
                elsewhere = None if odd else published
                findings += [Finding(name, text) for text in _otherwise(found, service, elsewhere)]
    return conclude(
        [*findings, *untold(seen, known)],
        seen,
        proven=f"{names(declared.services)} are there with their tasks and ports",
    )


def _otherwise(found: Service, service: SwarmService, published: Set[int] | None) -> Iterator[str]:
    """What differs between a service and its declaration.

    A port that is asked with a host may be ``published`` by any service or, if that is None, by one
    that is not understood.
    """
    if found.mode != service.mode:
        yield f"expected a {service.mode} service, seen a {found.mode} one"
    if service.replicas is not None and found.replicas != service.replicas:
        yield f"expected it to want {service.replicas} tasks, seen {found.replicas}"
    own = {it.port for it in service.answers if not it.host}
    for port in sorted(own - set(found.ports)):
        yield f"expected port {port} to be published, seen {_ports(found)}"
    if published is not None:
        for port in sorted({it.port for it in service.answers if it.host} - published):
            yield f"expected port {port} to be published by some service, seen none"


def _ports(service: Service) -> str:
    return names(map(str, sorted(service.ports))) if service.ports else "none"


CHECKS = {
    "every Swarm node is ready": nodes_ready,
    "every Swarm service has its replicas": replicas,
    "no Swarm update stands still": updates_are_done,
    "the declared Swarm services are there": services_there,
}
