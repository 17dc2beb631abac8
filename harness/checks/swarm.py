"""W1-SWARM: the platform that earns the money today still serves, as a whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from fnmatch import fnmatchcase
from typing import Any

from harness.checks.findings import Facts, Finding, conclude, limited, looks, names, unknown, wanted
from harness.model import Case, SwarmAnswer, SwarmDeclared, SwarmService, Verdict
from harness.throttling import TOO_MANY

_PROBE = "swarm"
_SWARM = "Swarm"
_SAID = 2  # tasks that a reason tells of
# A task that failed so often in a short while keeps failing, also if it runs at the moment.
_AGAIN = 3
# States of an update in which it needs no operator; in others (paused, rollback_paused) it does.
_SETTLED = ("completed", "rollback_completed")
_GOING_ON = ("updating", "rollback_started")


def _seen(case: Case) -> Facts:
    return looks(case, _PROBE, [machine.name for machine in case.cluster.machines])


def _declared(case: Case) -> SwarmDeclared:
    assert case.cluster.swarm is not None, "the requirement needs a Swarm"
    return case.cluster.swarm


def _known(seen: Facts) -> Mapping[str, Any] | None:
    """What a manager knows: each of them tells what the leader knows."""
    told = [it["swarm"]["value"] for it in seen.values.values() if "value" in (it["swarm"] or {})]
    return told[0] if told else None


def _odd(known: Mapping[str, Any] | None, kind: str) -> Iterator[Finding]:
    """The nodes or services of which Docker says what is not understood."""
    for it in known[kind] if known is not None else ():
        if "odd" in it:
            yield unknown(it["name"], f"what Docker says of it is not understood: {it['odd']}")


def _understood(known: Mapping[str, Any] | None, kind: str) -> list[Any]:
    return [it for it in known[kind] if "odd" not in it] if known is not None else []


def nodes_ready(case: Case) -> Verdict:
    seen, declared = _seen(case), _declared(case)
    known = _known(seen)
    listed = _understood(known, "nodes")
    machines = [machine.name for machine in case.cluster.machines]
    odd = [*_odd(known, "nodes")]
    # A node that is not understood may be any machine's.
    findings = [*_engines(seen, [] if odd else listed), *odd]
    if known is not None:
        for name in machines:
            nodes = [node for node in listed if node["name"] == name]
            if nodes or not odd:
                findings += [Finding(name, says) for says in _wrong_node(nodes, name, declared)]
            findings += [unknown(name, _unheard(node)) for node in nodes if _is_unheard(node)]
        findings += [
            Finding(
                node["name"],
                "expected only declared machines in the Swarm, seen this node as well"
                f" ({node['state']})",
            )
            for node in listed
            if node["name"] not in machines
        ]
        leaders = sum(node["leader"] for node in listed)
        if leaders != 1 and not odd:
            findings.append(Finding(_SWARM, f"expected one leader, seen {leaders}"))
    ready = [it for it in listed if it["name"] in machines and it["state"] == "ready"]
    return conclude(
        [*findings, *_untold(seen, known)],
        seen,
        proven=f"all {len(machines)} machines are ready and active in the Swarm, and its managers"
        f" {names(declared.managers)} have one leader",
        measured={"ready_count": len(ready)} if known is not None else {},
        target={"ready_count": len(machines)},
    )


def _is_unheard(node: Mapping[str, Any]) -> bool:
    return bool(node["state"] == "unknown")


def _unheard(node: Mapping[str, Any]) -> str:
    """That a leader has not heard of a node: for a moment when it is new, or for good."""
    why = f" ({node['why']})" if node["why"] else ""
    return f"the Swarm's leader has not heard of this node: its state is unknown{why}"


def _untold(seen: Facts, known: Mapping[str, Any] | None) -> list[Finding]:
    """That no manager could say how the Swarm is, though some machine was looked at."""
    if known is not None or not seen.values:
        return []
    return [unknown(_SWARM, "no manager tells the state of all nodes and services")]


def _engines(seen: Facts, listed: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """What each machine says of its own part."""
    ids = {node["id"] for node in listed}
    for name, value in seen.values.items():
        if "silent" in value["docker"]:
            yield Finding(name, f"expected Docker to answer, seen {value['docker']['silent']}")
            continue
        own = value["docker"]["value"]
        if own["state"] != "active":
            why = f" ({own['why']})" if own["why"] else ""
            yield Finding(name, f"expected it active in the Swarm, seen {own['state']}{why}")
        elif ids and own["id"] not in ids:
            yield Finding(name, "expected it in the same Swarm as the others, seen it in another")
        if "error" in (value["swarm"] or {}):
            text = (
                f"expected this manager to tell the Swarm's state, seen {value['swarm']['error']}"
            )
            yield Finding(name, text)


def _wrong_node(
    nodes: Sequence[Mapping[str, Any]], name: str, declared: SwarmDeclared
) -> Iterator[str]:
    if len(nodes) != 1:
        states = f" ({names(node['state'] for node in nodes)})" if nodes else ""
        yield f"expected one Swarm node of this name, seen {len(nodes) or 'none'}{states}"
    for node in nodes:
        for want, have in (("ready", node["state"]), ("active", node["availability"])):
            if have != want and have != "unknown":
                yield f"expected its Swarm node to be {want}, seen {have}"
        manager = name in declared.managers
        if node["manager"] != manager:
            words = {True: "a manager", False: "a worker"}
            yield f"expected {words[manager]} of the Swarm, seen {words[node['manager']]}"
        elif manager and node["reachability"] != "reachable" and not _is_unheard(node):
            yield f"expected a reachable manager, seen {node['reachability'] or 'nothing of it'}"


def replicas(case: Case) -> Verdict:
    """Of every service that Swarm has, declared or not; no task runs where Docker is silent."""
    target = wanted(case, "missing_tasks_count")
    seen = _seen(case)
    known = _known(seen)
    services = _understood(known, "services")
    silent = {name for name, value in seen.values.items() if "silent" in value["docker"]}
    running = {it["name"]: [at for at in it["running"] if at not in silent] for it in services}
    findings = [
        it for service in services for it in _short(service, running[service["name"]], case)
    ]
    findings += _odd(known, "services")
    if known is not None and not known["services"]:
        findings.append(unknown(_SWARM, "it has no service, so none has its tasks"))
    missing = sum(max(0, it["replicas"] - len(running[it["name"]])) for it in services)
    tasks = sum(map(len, running.values()))
    return conclude(
        [*findings, *_untold(seen, known)],
        seen,
        proven=f"all {len(services)} services have their {tasks} tasks running",
        measured={"missing_tasks_count": missing} if services else {},
        target=target,
    )


def _short(service: Mapping[str, Any], running: Sequence[str], case: Case) -> Iterator[Finding]:
    """What speaks against a service's tasks: too few or too many, or some that come and go."""
    name, seen = service["name"], len(running)
    if seen < service["replicas"] <= seen + len(service["unheard"]):
        where = names(dict.fromkeys(service["unheard"]))
        text = f"{len(service['unheard'])} of its tasks ran on {where}, whose state is unknown"
        yield unknown(name, text)
    elif seen != service["replicas"]:
        others = "; ".join(map(_task, service["others"][:_SAID]))
        why = f" ({others})" if others else ""
        yield Finding(name, f"expected {service['replicas']} running tasks, seen {seen}{why}")
    elif service["mode"] == "global" and not seen and not _is_to_be_empty(name, case):
        text = "expected this global service to have a task on some machine, seen none"
        yield Finding(name, text)
    for slot, times in Counter(it["task"] for it in service["failed"]).items():
        if times >= _AGAIN:
            last = min(
                (it for it in service["failed"] if it["task"] == slot), key=lambda it: it["age_s"]
            )
            text = f"expected its tasks to stay, seen {times} failures of one: {_task(last)}"
            yield Finding(name, text)


def _is_to_be_empty(name: str, case: Case) -> bool:
    service = _declared(case).services.get(name)
    return service is not None and service.replicas == 0


def _task(task: Mapping[str, Any]) -> str:
    where = f" on {task['node']}" if task["node"] and task["node"] != task["task"] else ""
    return f"task {task['task']}{where} is {task['state']}: {task['why'] or 'no reason is given'}"


def updates_are_done(case: Case) -> Verdict:
    """No update is paused, and none takes longer than the target."""
    key = "update_minutes"
    target = wanted(case, key)
    seen = _seen(case)
    known = _known(seen)
    services = _understood(known, "services")
    findings = [*_odd(known, "services")]
    minutes = [0.0]
    for it in services:
        update = it["update"]
        if update is None or update["state"] in _SETTLED:
            continue
        why = f": {update['why']}" if update["why"] else ""
        if update["state"] not in _GOING_ON:
            text = f"expected no update to stand still, seen it {update['state']}{why}"
            findings.append(Finding(it["name"], text))
        elif update["age_s"] is None:
            findings.append(
                unknown(it["name"], f"an update goes on, and Docker does not say since when{why}")
            )
        else:
            minutes.append(update["age_s"] / 60)
            if minutes[-1] > target[key]:
                text = f"expected an update to take {target[key]:g} minutes at most, seen"
                text += f" {update['state']} for {minutes[-1]:.0f}{why}"
                findings.append(Finding(it["name"], text))
    return conclude(
        [*findings, *_untold(seen, known)],
        seen,
        proven=f"no update of the {len(services)} services stands still",
        measured={key: round(max(minutes), 1)} if services else {},
        target=target,
    )


def services_there(case: Case) -> Verdict:
    seen, declared = _seen(case), _declared(case)
    known = _known(seen)
    findings = []
    if known is not None:
        listed = {it["name"]: it for it in known["services"]}
        published = {port for it in _understood(known, "services") for port in it["ports"]}
        odd = list(_odd(known, "services"))
        findings += [it for it in odd if it.where in declared.services]
        for name, service in declared.services.items():
            found = listed.get(name)
            if found is None:
                findings.append(Finding(name, "expected this service, seen none of that name"))
            elif "odd" not in found:
                elsewhere = None if odd else published
                findings += [Finding(name, text) for text in _otherwise(found, service, elsewhere)]
    return conclude(
        [*findings, *_untold(seen, known)],
        seen,
        proven=f"{names(declared.services)} are there with their tasks and ports",
    )


def _otherwise(
    found: Mapping[str, Any], service: SwarmService, published: Set[int] | None
) -> Iterator[str]:
    """What of a service is not as it is declared; a port that is asked with a host may be
    ``published`` by any service, or, where that is None, by one that is not understood."""
    if found["mode"] != service.mode:
        yield f"expected a {service.mode} service, seen a {found['mode']} one"
    if service.replicas is not None and found["replicas"] != service.replicas:
        yield f"expected it to want {service.replicas} tasks, seen {found['replicas']}"
    own = {it.port for it in service.answers if not it.host}
    for port in sorted(own - set(found["ports"])):
        yield f"expected port {port} to be published, seen {_ports(found)}"
    if published is not None:
        for port in sorted({it.port for it in service.answers if it.host} - published):
            yield f"expected port {port} to be published by some service, seen none"


def _ports(service: Mapping[str, Any]) -> str:
    return names(map(str, sorted(service["ports"]))) if service["ports"] else "none"


def instances_answer(case: Case) -> Verdict:
    """Every customer's instance that is to run, asked with the hosts of its own labels."""
    target = wanted(case, "instance_answer_s")
    seen, declared = _seen(case), _declared(case)
    known, answer = _known(seen), declared.instance_answer
    findings: list[Finding] = []
    took: list[float] = []
    listed = [
        it
        for it in (known["services"] if known is not None else ())
        if fnmatchcase(it["name"], declared.instances)
    ]
    findings += [it for it in _odd(known, "services") if fnmatchcase(it.where, declared.instances)]
    to_run = [it for it in listed if it.get("replicas", 0) > 0]
    asked = {at: it["instances"] for at, it in seen.values.items() if it["instances"] is not None}
    for name in (it["name"] for it in to_run):
        of_it = {at: told[name] for at, told in asked.items() if name in told}
        hosts = sorted({host for told in of_it.values() for host in told})
        if not hosts:
            text = "it is to run, and has no Traefik label with a rule Host(`…`) to ask it by"
            findings.append(unknown(name, text))
        for host in hosts:
            told = {at: it[host] for at, it in of_it.items() if host in it}
            took += [it["value"]["took_s"] for it in told.values() if "value" in it]
            if answer is not None:
                findings += _wrong(f"{name} as {host}", told, answer, target["instance_answer_s"])
    if answer is None:
        findings.append(unknown("the profile", "it declares no customers' instances"))
    elif known is not None and not listed:
        findings.append(unknown(_SWARM, f"no service is named {declared.instances}"))
    stopped = len(listed) - len(to_run)
    return conclude(
        [*findings, *_untold(seen, known)],
        seen,
        proven=f"{len(to_run)} instances answer as declared; {stopped} are stopped",
        measured={"instance_answer_s": max(took, default=0.0)} if listed else {},
        target=target,
    )


def services_answer(case: Case) -> Verdict:
    """Every declared answer of every machine, asked for on every machine."""
    target = wanted(case, "answer_s")
    seen, declared = _seen(case), _declared(case)
    findings: list[Finding] = []
    took: list[float] = []
    for service, answer in _answers(declared):
        for machine in answer.machines:
            told = {
                asker: value["answers"][answer.at(machine)] for asker, value in seen.values.items()
            }
            took += [it["value"]["took_s"] for it in told.values() if "value" in it]
            where = f"{service} at {answer.at(machine)}"
            findings += _wrong(where, told, answer, target["answer_s"])
    if not any(True for _ in _answers(declared)):
        findings.append(unknown("the profile", "it declares no answer of any service"))
    return conclude(
        findings,
        seen,
        proven=f"{len(took)} requests were answered as declared, on and from every machine",
        measured={"answer_s": max(took)} if took else {},
        target=target,
    )


def _answers(declared: SwarmDeclared) -> Iterator[tuple[str, SwarmAnswer]]:
    for name, service in declared.services.items():
        for answer in service.answers:
            yield name, answer


def _wrong(
    where: str, told: Mapping[str, Any], answer: SwarmAnswer, within_s: float
) -> Iterator[Finding]:
    """What is wrong with an answer, and from which machines it was seen so."""
    says: dict[str, list[str]] = {}
    for asker, it in told.items():
        if "unasked" in it:
            yield unknown(where, f"it was not asked from {asker}: {it['unasked']}")
        elif _is_limited(it, answer):
            yield unknown(where, limited())
        elif (wrong := _flaw(it, answer, within_s)) is not None:
            says.setdefault(wrong, []).append(asker)
    for wrong, askers in says.items():
        everywhere = len(askers) == len(told)
        yield Finding(where, wrong if everywhere else f"{wrong} from {names(askers)}")


def _is_limited(it: Mapping[str, Any], answer: SwarmAnswer) -> bool:
    """True for a 429 that is not declared: the ingress limits the one address that asks."""
    status = it.get("value", {}).get("status")
    return status == TOO_MANY and TOO_MANY not in answer.statuses


def _flaw(it: Mapping[str, Any], answer: SwarmAnswer, within_s: float) -> str | None:
    if "error" in it:
        return f"expected an answer, seen {it['error']}"
    value = it["value"]
    if value["status"] not in answer.statuses:
        wanted_one = " or ".join(map(str, answer.statuses))
        return f"expected status {wanted_one}, seen {value['status']}"
    if answer.location and value["location"] != answer.location:
        return f"expected a redirect to {answer.location}, seen {value['location'] or 'none'}"
    if not value["said"]:
        return f"expected an answer that says {answer.says!r}, seen another"
    if value["took_s"] > within_s:
        return f"expected an answer within {within_s:g} s, seen a slower one"
    return None


CHECKS = {
    "every Swarm node is ready": nodes_ready,
    "every Swarm service has its replicas": replicas,
    "no Swarm update stands still": updates_are_done,
    "the declared Swarm services are there": services_there,
    "Swarm services answer": services_answer,
    "customers' Swarm instances answer": instances_answer,
}
