"""W1-SWARM: the platform that earns the money today still serves, as a whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.checks.findings import Facts, Finding, conclude, limited, looks, names, unknown, wanted
from harness.model import Case, SwarmAnswer, SwarmDeclared, Verdict
from harness.throttling import TOO_MANY

_PROBE = "swarm"
_SWARM = "Swarm"
_SAID = 2  # tasks that a reason tells of
# A task that failed so often in a short while fails again and again, whatever it is just now.
_AGAIN = 3


def _seen(case: Case) -> Facts:
    return looks(case, _PROBE, [machine.name for machine in case.cluster.machines])


def _declared(case: Case) -> SwarmDeclared:
    assert case.cluster.swarm is not None, "the requirement needs a Swarm"
    return case.cluster.swarm


def _known(seen: Facts) -> Mapping[str, Any] | None:
    """What a manager knows: each of them tells what the leader knows."""
    told = [it["swarm"]["value"] for it in seen.values.values() if "value" in (it["swarm"] or {})]
    return told[0] if told and not _unheard(told[0]) else None


def _unheard(known: Mapping[str, Any]) -> list[str]:
    """The nodes that a new leader has not heard of yet: how their tasks are it cannot tell."""
    return [node["name"] for node in known["nodes"] if node["state"] == "unknown"]


def nodes_ready(case: Case) -> Verdict:
    seen, declared = _seen(case), _declared(case)
    known = _known(seen)
    listed = known["nodes"] if known is not None else []
    machines = [machine.name for machine in case.cluster.machines]
    findings = list(_engines(seen, listed))
    if known is not None:
        for name in machines:
            nodes = [node for node in listed if node["name"] == name]
            findings += [Finding(name, says) for says in _wrong_node(nodes, name, declared)]
        findings += [
            Finding(name, "expected only declared machines in the Swarm, seen this node as well")
            for name in sorted({node["name"] for node in listed} - set(machines))
        ]
        leaders = sum(node["leader"] for node in listed)
        if leaders != 1:
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
        yield f"expected one Swarm node of this name, seen {len(nodes) or 'none'}"
    for node in nodes:
        for want, have in (("ready", node["state"]), ("active", node["availability"])):
            if have != want:
                yield f"expected its Swarm node to be {want}, seen {have}"
        manager = name in declared.managers
        if node["manager"] != manager:
            words = {True: "a manager", False: "a worker"}
            yield f"expected {words[manager]} of the Swarm, seen {words[node['manager']]}"
        elif manager and node["reachability"] != "reachable":
            yield f"expected a reachable manager, seen {node['reachability'] or 'nothing of it'}"


def replicas(case: Case) -> Verdict:
    """Of every service that Swarm has, declared or not; no task runs where Docker is silent."""
    target = wanted(case, "missing_tasks_count")
    seen = _seen(case)
    known = _known(seen)
    services = known["services"] if known is not None else []
    silent = {name for name, value in seen.values.items() if "silent" in value["docker"]}
    running = {it["name"]: [at for at in it["running"] if at not in silent] for it in services}
    findings = [
        Finding(it["name"], says) for it in services for says in _short(it, running[it["name"]])
    ]
    if known is not None and not services:
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


def _short(service: Mapping[str, Any], running: Sequence[str]) -> Iterator[str]:
    if len(running) != service["replicas"]:
        others = "; ".join(map(_task, service["others"][:_SAID]))
        why = f" ({others})" if others else ""
        yield f"expected {service['replicas']} running tasks, seen {len(running)}{why}"
    for name, times in Counter(it["task"] for it in service["failed"]).items():
        if times >= _AGAIN:
            last = min(
                (it for it in service["failed"] if it["task"] == name), key=lambda it: it["age_s"]
            )
            yield f"expected its tasks to stay, seen {times} failures of one: {_task(last)}"


def _task(task: Mapping[str, Any]) -> str:
    where = f" on {task['node']}" if task["node"] and task["node"] != task["task"] else ""
    return f"task {task['task']}{where} is {task['state']}: {task['why'] or 'no reason is given'}"


def services_there(case: Case) -> Verdict:
    seen, declared = _seen(case), _declared(case)
    known = _known(seen)
    findings = []
    if known is not None:
        listed = {it["name"]: it for it in known["services"]}
        for name, service in declared.services.items():
            found = listed.get(name)
            if found is None:
                findings.append(Finding(name, "expected this service, seen none of that name"))
                continue
            if found["replicas"] != service.replicas:
                text = f"expected it to want {service.replicas} tasks, seen {found['replicas']}"
                findings.append(Finding(name, text))
            unpublished = {it.port for it in service.answers} - set(found["ports"])
            findings += [
                Finding(name, f"expected port {port} to be published, seen {_ports(found)}")
                for port in sorted(unpublished)
            ]
    return conclude(
        [*findings, *_untold(seen, known)],
        seen,
        proven=f"{names(declared.services)} are there with their tasks and ports",
    )


def _ports(service: Mapping[str, Any]) -> str:
    return names(map(str, sorted(service["ports"]))) if service["ports"] else "none"


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
            findings += [
                Finding(f"{service} at {answer.at(machine)}", says)
                for says in _wrong(_unlimited(told, answer), answer, target["answer_s"])
            ]
            if len(_unlimited(told, answer)) < len(told):
                findings.append(unknown(f"{service} at {answer.at(machine)}", limited()))
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


def _unlimited(told: Mapping[str, Any], answer: SwarmAnswer) -> Mapping[str, Any]:
    """What was told without those who got 429: there were too many requests of one address."""
    return {
        asker: it
        for asker, it in told.items()
        if answer.status == TOO_MANY or it.get("value", {}).get("status") != TOO_MANY
    }


def _wrong(told: Mapping[str, Any], answer: SwarmAnswer, within_s: float) -> Iterator[str]:
    """What is wrong with an answer, and from where it was seen so."""
    says: dict[str, list[str]] = {}
    for asker, it in told.items():
        if (wrong := _flaw(it, answer, within_s)) is not None:
            says.setdefault(wrong, []).append(asker)
    for wrong, askers in says.items():
        everywhere = len(askers) == len(told)
        yield wrong if everywhere else f"{wrong} from {names(askers)}"


def _flaw(it: Mapping[str, Any], answer: SwarmAnswer, within_s: float) -> str | None:
    if "error" in it:
        return f"expected an answer, seen {it['error']}"
    value = it["value"]
    if value["status"] != answer.status:
        return f"expected status {answer.status}, seen {value['status']}"
    if not value["said"]:
        return f"expected an answer that says {answer.says!r}, seen another"
    if value["took_s"] > within_s:
        return f"expected an answer within {within_s:g} s, seen a slower one"
    return None


CHECKS = {
    "every Swarm node is ready": nodes_ready,
    "every Swarm service has its replicas": replicas,
    "the declared Swarm services are there": services_there,
    "Swarm services answer": services_answer,
}
