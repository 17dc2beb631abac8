"""Runs on a machine, as ``python3 - WANTED``: asks its Docker once, prints a line of JSON.

Either {"error"}, when we may not ask; or:

``docker``   {"value": {"id", "state", "manager", "why"}} of this machine as a node of the Swarm,
             or {"silent": why}: nothing answers there
``swarm``    {"value": {"nodes", "services"}}, which a manager knows, or {"error"}; None elsewhere
``answers``  place → {"value": {"status", "said", "took_s"}} or {"error"}, for each of WANTED:
             {"place", "address", "port", "path", "says"}

Standard library of Python 3.8 only.
"""

from __future__ import annotations

import calendar
import http.client
import json
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

SOCKET = "/var/run/docker.sock"
DOCKER_S = 10.0
ANSWER_S = 8.0
SIDE_BY_SIDE = 8
MOST_BYTES = 1024 * 1024
# Which failures are told: of tasks that had hardly begun, a short while ago, where none has lived
# longer since. A machine that lost power fails its tasks too, but once.
RECENT_S = 300.0
BEGUN_S = 60.0
FAILED = ("failed", "rejected")
WHY = 160  # characters


class Docker(http.client.HTTPConnection):
    """One call to the Docker of this machine, through its socket."""

    def __init__(self) -> None:
        super().__init__("docker", timeout=DOCKER_S)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(DOCKER_S)
        self.sock.connect(SOCKET)


def ask(path: str) -> Any:
    """What Docker answers to a GET; RuntimeError with its complaint, OSError without an answer."""
    with closing(Docker()) as docker:
        docker.request("GET", path)
        answer = docker.getresponse()
        said = json.loads(answer.read())
        if answer.status != 200:
            raise RuntimeError(str(said.get("message", said))[-WHY:])
        return said


def node(said: Any) -> Any:
    """This machine as a node, of /info."""
    swarm = said["Swarm"]
    return {
        "id": swarm["NodeID"],
        "state": swarm["LocalNodeState"],
        "manager": swarm["ControlAvailable"],
        "why": swarm.get("Error", ""),
    }


def nodes(said: Any) -> Any:
    """Every node, of /nodes."""
    return [
        {
            "id": it["ID"],
            "name": it["Description"]["Hostname"],
            "state": it["Status"]["State"],
            "availability": it["Spec"]["Availability"],
            "manager": it["Spec"]["Role"] == "manager",
            "reachability": it.get("ManagerStatus", {}).get("Reachability", ""),
            "leader": it.get("ManagerStatus", {}).get("Leader", False),
        }
        for it in said
    ]


def services(said: Any, tasks: Any, told: Any, now: float) -> Any:
    """Every service that runs for good, of /services, with its tasks, of /tasks.

    A task counts as running only on a node that is there: of one that is gone, its last word is
    kept for a day.
    """
    names = {it["id"]: it["name"] for it in told}
    there = {it["id"] for it in told if it["state"] == "ready"}
    found = []
    for service in said:
        mode = service["Spec"]["Mode"]
        if not {"Replicated", "Global"} & set(mode):
            continue  # a job, which ends
        own = [it for it in tasks if it["ServiceID"] == service["ID"]]
        wanted = [it for it in own if it["DesiredState"] == "running"]
        running = [
            it for it in wanted if it["Status"]["State"] == "running" and it.get("NodeID") in there
        ]
        replicas = mode["Replicated"]["Replicas"] if "Replicated" in mode else len(wanted)
        found.append(
            {
                "name": service["Spec"]["Name"],
                "replicas": replicas,
                "running": [names[it["NodeID"]] for it in running],
                "others": [task(it, names, now) for it in wanted if it not in running],
                "failed": failures(own, running, names, now),
                "ports": ports(service),
            }
        )
    return found


def ports(service: Any) -> Any:
    """The ports that a service publishes: asked for, or given to it."""
    asked = service["Spec"].get("EndpointSpec", {}).get("Ports", [])
    given = service.get("Endpoint", {}).get("Ports", [])
    return sorted({it["PublishedPort"] for it in asked + given if it.get("PublishedPort")})


def failures(tasks: Any, running: Any, names: Any, now: float) -> Any:
    """The tasks that failed a short while ago, soon after they were begun, and to no good end."""
    short = [
        it
        for it in tasks
        if it["Status"]["State"] in FAILED
        and seconds(it["Status"]["Timestamp"]) - seconds(it["CreatedAt"]) < BEGUN_S
    ]
    stay = {it["task"] for it in (task(it, names, now) for it in running) if it["age_s"] >= BEGUN_S}
    told = [task(it, names, now) for it in short]
    return [it for it in told if it["age_s"] < RECENT_S and it["task"] not in stay]


def task(said: Any, names: Any, now: float) -> Any:
    """A task in short: which of its service, where, how it is and since when."""
    status, at = said["Status"], names.get(said.get("NodeID"), "")
    return {
        # Numbered, or, of a service that has one on every machine, named by its machine.
        "task": str(said.get("Slot") or at),
        "node": at,
        "state": status["State"],
        "why": (status.get("Err") or status.get("Message") or "")[-WHY:],
        "age_s": round(now - seconds(status["Timestamp"]), 1),
    }


def seconds(text: str) -> float:
    """UTC seconds since the epoch of a time as Docker writes it, whole seconds of it."""
    return float(calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")))


def swarm() -> Any:
    """What a manager knows of all nodes and services."""
    told = nodes(ask("/nodes"))
    return {
        "nodes": told,
        "services": services(ask("/services"), ask("/tasks"), told, time.time()),
    }


def answer(wanted: Any) -> Any:
    """What a service answers by HTTP."""
    began = time.monotonic()
    connection = http.client.HTTPConnection(wanted["address"], wanted["port"], timeout=ANSWER_S)
    try:
        with closing(connection):
            connection.request("GET", wanted["path"])
            got = connection.getresponse()
            body = got.read(MOST_BYTES).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return {"error": str(error) or type(error).__name__}
    took_s = time.monotonic() - began
    said = wanted["says"] in body
    return {"value": {"status": got.status, "said": said, "took_s": round(took_s, 3)}}


def look(wanted: Any) -> Any:
    """The whole report."""
    try:
        docker = {"value": node(ask("/info"))}
    except PermissionError as error:
        return {"error": f"{SOCKET}: {error.strerror}"}
    except (OSError, http.client.HTTPException, RuntimeError) as error:
        docker = {"silent": str(error) or type(error).__name__}
    knows = None
    if docker.get("value", {}).get("manager"):
        try:
            knows = {"value": swarm()}
        except (OSError, http.client.HTTPException, RuntimeError) as error:
            knows = {"error": str(error) or type(error).__name__}
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        places = [it["place"] for it in wanted]
        answers = dict(zip(places, pool.map(answer, wanted)))  # noqa: B905 (strict came with 3.10)
    return {"docker": docker, "swarm": knows, "answers": answers}


def main(arguments: list[str]) -> None:
    sys.stdout.write(json.dumps(look(json.loads(arguments[0]))) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
