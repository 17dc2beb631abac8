"""Runs on a machine, as ``python3 - WANTED [INSTANCES]``: asks its Docker once, prints JSON.

Either {"error"}, if Docker may not be asked; or:

``docker``   {"value": {"id", "state", "manager", "why"}} of this machine as a node of the Swarm,
             or {"silent": why}: nothing answers there
``swarm``    {"value": {"nodes", "services"}}, which a manager knows, or {"error"}; None elsewhere
``answers``  place → {"value": {"status", "said", "location", "took_s"}} or {"error"}, for each of
             WANTED: {"place", "address", "port", "path", "host", "says"}
``instances``  service → host → the same, or {"unasked": why}, of each service whose name matches
             INSTANCES: {"names", "address", "port", "path", "says"}; None where nothing was asked

Standard library of Python 3.8 only.
"""

from __future__ import annotations

import calendar
import fnmatch
import http.client
import json
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from harness.probes.scripts import docker_script
from harness.probes.scripts.docker_script import ODD, TOLD_NOTHING, WHY, Said, ask

ANSWER_S = 8.0
SIDE_BY_SIDE = 8
MOST_BYTES = 1024 * 1024
# Recent failures soon after a start count; a machine without power fails its tasks only once.
RECENT_S = 300.0
BEGUN_S = 60.0
# Any other failure. By default Swarm keeps five tasks of a number: four, and the one that runs.
PAST_S = 3600.0
# Time limit to ask all customers' instances together.
INSTANCES_S = 40.0
ROUTER_RULE = re.compile(r"^traefik\.http\.routers\.[^.]+\.rule$", re.IGNORECASE)
# Not !Host(...), which is every other host, and not HostRegexp(...) or HostSNI(...).
HOST = re.compile(r"(?<![\w!])Host\(([^)]*)\)")
HOST_NAME = re.compile(r"[`\"']([A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)[`\"']")


def node(said: Said) -> Said:
    """This machine as a node, of /info."""
    swarm = said["Swarm"]
    return {
        "id": swarm["NodeID"],
        "state": swarm["LocalNodeState"],
        "manager": swarm["ControlAvailable"],
        "why": swarm.get("Error", ""),
    }


def nodes(said: Said) -> Said:
    """Every node, of /nodes; one that has never reported has an id alone."""
    return [one_node(it) for it in said]


def one_node(it: Said) -> Said:
    """A summary of a node; ``odd`` says why it is not understood."""
    try:
        manager = it.get("ManagerStatus") or {}
        return {
            "id": it["ID"],
            "name": (it.get("Description") or {}).get("Hostname") or it["ID"],
            "state": it["Status"]["State"],
            "why": str(it["Status"].get("Message") or "")[-WHY:],
            "availability": it["Spec"]["Availability"],
            "manager": it["Spec"]["Role"] == "manager",
            "reachability": manager.get("Reachability", ""),
            "leader": manager.get("Leader", False),
        }
    except ODD as error:
        return {"id": called(it), "name": called(it), "odd": says(error)}


def services(said: Said, tasks: Said, listed: Said, now: float) -> Said:
    """Every service that runs for good, of /services, with its tasks, of /tasks.

    ``listed`` is the answer of /nodes. A task counts as running only on a listed node: Swarm keeps
    a removed node's last report for a day. A service that is not understood, or has such a task,
    has ``odd`` instead, the reason; the others are reported.
    """
    found = []
    for service in said:
        try:
            one = one_service(service, tasks, listed, now)
        except ODD as error:
            one = {"name": called(service), "odd": says(error)}
        if one is not None:
            found.append(one)
    return found


def called(it: Said) -> str:
    """The name of a service or a node; its id without a name."""
    if not isinstance(it, dict):
        return "?"
    spec = it.get("Spec")
    name = spec.get("Name") if isinstance(spec, dict) else None
    return str(name or it.get("ID") or "?")


def says(error: Exception) -> str:
    """What was not understood, in words."""
    return f"{type(error).__name__}: {error}"[-WHY:]


def one_service(service: Said, tasks: Said, listed: Said, now: float) -> Said:
    """A summary of a service; None for a job, which ends."""
    mode = service["Spec"]["Mode"]
    if not {"Replicated", "Global"} & set(mode):
        return None
    told = nodes(listed)
    names = {it["id"]: it["name"] for it in told}
    states = {it["id"]: it.get("state") for it in told}
    own = [it for it in tasks if isinstance(it, dict) and it.get("ServiceID") == service["ID"]]
    wanted = [it for it in own if it["DesiredState"] == "running"]
    run = [it for it in wanted if it["Status"]["State"] == "running"]
    running = [it for it in run if states.get(it.get("NodeID")) == "ready"]
    unheard = [it for it in run if states.get(it.get("NodeID")) == "unknown"]
    labels = service["Spec"].get("Labels") or {}
    return {
        "name": called(service),
        "mode": "replicated" if "Replicated" in mode else "global",
        "replicas": int(mode["Replicated"]["Replicas"]) if "Replicated" in mode else len(wanted),
        "running": [names[it["NodeID"]] for it in running],
        "unheard": [names[it["NodeID"]] for it in unheard],
        "others": [task(it, names, now) for it in wanted if it not in running],
        **failures(service, own, running, names, now),
        "ports": ports(service),
        "update": update(service, now),
        "places": places(service, listed),
        "hosts": hosts(labels),
    }


def update(service: Said, now: float) -> Said:
    """The state of its last update; None without one."""
    said = service.get("UpdateStatus")
    if not said or not said.get("State"):
        return None
    began = said.get("StartedAt")
    return {
        "state": str(said["State"]),
        "why": str(said.get("Message") or "")[-WHY:],
        "age_s": round(now - seconds(began), 1) if began else None,
    }


def places(service: Said, listed: Said) -> Said:
    """The nodes that may run it, by name: ready, active, and as its constraints want them.

    None when a constraint is not understood.
    """
    placement = (service["Spec"].get("TaskTemplate") or {}).get("Placement") or {}
    constraints = placement.get("Constraints") or []
    well = [
        (node, it["name"])
        for node, it in zip(listed, nodes(listed))  # noqa: B905 (strict came with 3.10)
        if (it.get("state"), it.get("availability")) == ("ready", "active")
    ]
    try:
        return sorted(name for node, name in well if all(meets(node, it) for it in constraints))
    except ValueError:
        return None


def meets(node: Said, constraint: str) -> bool:
    """True if a node meets a constraint: ``node.role == manager``, ``!=``."""
    found = re.match(r"^\s*([\w.-]+?)\s*(==|!=)\s*(.*?)\s*$", constraint)
    if found is None:
        raise ValueError(f"constraint {constraint!r}")
    key, sign, value = found.groups()
    about = node.get("Description") or {}
    platform, engine = about.get("Platform") or {}, about.get("Engine") or {}
    fixed = {
        "node.id": node["ID"],
        "node.hostname": about.get("Hostname", ""),
        "node.role": node["Spec"]["Role"],
        "node.ip": node["Status"].get("Addr", ""),
        "node.platform.os": platform.get("OS", ""),
        "node.platform.arch": platform.get("Architecture", ""),
    }
    for start, labels in (
        ("node.labels.", node["Spec"].get("Labels")),
        ("engine.labels.", engine.get("Labels")),
    ):
        if key.startswith(start):
            fixed[key] = (labels or {}).get(key[len(start) :], "")
    if key not in fixed or (key == "node.ip" and "/" in value):  # a subnet
        raise ValueError(f"constraint {constraint!r}")
    return bool(str(fixed[key]).lower() == value.lower()) == (sign == "==")


def hosts(labels: Said) -> Said:
    """The hosts of a service's Traefik routers; the plainest rules first, then by their names.

    Only names in ``Host(...)`` count: a rule for any host, or by a pattern, cannot be asked.
    """
    rules = sorted(
        (rule.count("&&"), key, rule) for key, rule in labels.items() if ROUTER_RULE.match(key)
    )
    plainest = [rule for count, _, rule in rules if count == rules[0][0]]
    found = [
        name
        for rule in plainest
        for group in HOST.findall(rule)
        for name in HOST_NAME.findall(group)
    ]
    return list(dict.fromkeys(found))


def ports(service: Said) -> Said:
    """The ports that a service publishes: asked for, or given to it."""
    asked = (service["Spec"].get("EndpointSpec") or {}).get("Ports") or []
    given = (service.get("Endpoint") or {}).get("Ports") or []
    return sorted({int(it["PublishedPort"]) for it in asked + given if it.get("PublishedPort")})


def failures(service: Said, tasks: Said, running: Said, names: Said, now: float) -> Said:
    """``failed``: recent failures soon after a start, without a longer run since; ``ended``: all.

    A task of the same number that runs for a while excuses earlier failures, and those of a
    container that is not wanted any more. It does not excuse later ones: an update that starts the
    new task first keeps the old one running. ``ended`` counts the container that is wanted now.
    """
    template = (service["Spec"].get("TaskTemplate") or {}).get("ContainerSpec")
    stay = [
        (one["task"], one["age_s"], is_of(it, template))
        for it in running
        for one in [task(it, names, now)]
        if one["age_s"] >= BEGUN_S
    ]

    def excused(one: Said, current: bool) -> bool:
        return any(
            slot == one["task"] and (age_s < one["age_s"] or (wanted and not current))
            for slot, age_s, wanted in stay
        )

    told = [
        (task(it, names, now), is_of(it, template), failed_soon(it))
        for it in tasks
        if it["Status"]["State"] in ("failed", "rejected")
    ]
    late = [one for one, current, soon in told if soon and not excused(one, current)]
    return {
        "failed": [one for one in late if one["age_s"] < RECENT_S],
        "ended": [one for one, current, _ in told if current and one["age_s"] < PAST_S],
    }


def failed_soon(it: Said) -> bool:
    """True if a task failed soon after its start; a rejected one never ran."""
    lived_s = seconds(it["Status"]["Timestamp"]) - seconds(it["CreatedAt"])
    return bool(it["Status"]["State"] == "rejected" or lived_s < BEGUN_S)


def is_of(it: Said, template: Said) -> bool:
    """True if a task runs, or was to run, the container that its service wants now."""
    return bool((it.get("Spec") or {}).get("ContainerSpec") == template)


def task(said: Said, names: Said, now: float) -> Said:
    """A summary of a task: its number or node, its state and since when."""
    status, at = said["Status"], names.get(said.get("NodeID"), "")
    return {
        # By its number or, for a global service, by its machine.
        "task": str(said.get("Slot") or at),
        "node": at,
        "state": status["State"],
        "why": (status.get("Err") or status.get("Message") or "")[-WHY:],
        "age_s": round(now - seconds(status["Timestamp"]), 1),
    }


def seconds(text: str) -> float:
    """UTC seconds since the epoch of a time as Docker writes it, without fractions."""
    return float(calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")))


def swarm() -> Said:
    """What a manager knows of all nodes and services."""
    listed = ask("/nodes")
    return {
        "nodes": nodes(listed),
        "services": services(ask("/services"), ask("/tasks"), listed, time.time()),
    }


def answer(wanted: Said) -> Said:
    """A service's answer by HTTP; a redirect is reported, not followed."""
    began = time.monotonic()
    within_s = min(ANSWER_S, wanted.get("until", began + ANSWER_S) - began)
    if within_s <= 0:
        return {"unasked": f"{INSTANCES_S:g} s are not enough to ask all instances"}
    connection = http.client.HTTPConnection(wanted["address"], wanted["port"], timeout=within_s)
    headers = {"Host": wanted["host"]} if wanted.get("host") else {}
    try:
        with closing(connection):
            connection.request("GET", wanted["path"], headers=headers)
            got = connection.getresponse()
            body = got.read(MOST_BYTES).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return {"error": str(error) or type(error).__name__}
    took_s = time.monotonic() - began
    said = wanted["says"] in body
    return {
        "value": {
            "status": got.status,
            "said": said,
            "location": got.getheader("Location", ""),
            "took_s": round(took_s, 3),
        }
    }


def instances(wanted: Said, found: Said) -> Said:
    """Service → host → its answer, of each service of the name that has tasks to run."""
    names = [it for it in found if fnmatch.fnmatchcase(it["name"], wanted["names"])]
    until = time.monotonic() + INSTANCES_S
    asked = [
        (it["name"], host, {**wanted, "host": host, "until": until})
        for it in names
        if it.get("replicas", 0) > 0
        for host in it["hosts"]
    ]
    answers: Said = {it["name"]: {} for it in names}
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        told = list(pool.map(answer, [how for _, _, how in asked]))
    for (name, host, _), said in zip(asked, told):  # noqa: B905 (strict came with 3.10)
        answers[name][host] = said
    return answers


def look(wanted: Said = (), of_instances: Said = None) -> Said:
    """The whole report."""
    try:
        docker = {"value": node(ask("/info"))}
    except PermissionError as error:
        return {"error": f"{docker_script.SOCKET}: {error.strerror}"}
    except TOLD_NOTHING as error:
        docker = {"silent": str(error) or type(error).__name__}
    knows = asked = None
    if docker.get("value", {}).get("manager"):
        try:
            knows = {"value": swarm()}
        except TOLD_NOTHING as error:
            knows = {"error": str(error) or type(error).__name__}
    if of_instances is not None and knows is not None and "value" in knows:
        asked = instances(of_instances, knows["value"]["services"])
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        places = [it["place"] for it in wanted]
        answers = dict(zip(places, pool.map(answer, wanted)))  # noqa: B905 (strict came with 3.10)
    return {"docker": docker, "swarm": knows, "answers": answers, "instances": asked}


def main(arguments: list[str]) -> None:
    report = look(*(json.loads(it) for it in arguments))
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
