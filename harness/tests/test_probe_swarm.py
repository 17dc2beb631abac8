"""The probe of the old platform: what Docker says through its socket, and what services answer."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.checks import swarm as swarm_checks
from harness.checks import swarm_answers
from harness.probes.scripts import docker_script, swarm_script
from harness.tests.clean_case import case, clean
from harness.tests.docker_engine import Engine, Handler, Site, serving
from harness.tests.probe_rig import MACHINES

ONE, TWO, THREE = MACHINES
BEGAN = "2026-11-26T05:40:42.713238484Z"
NOW = swarm_script.seconds("2026-11-26T05:45:00")
# As Docker 20.10 says it, without what nobody needs.
INFO = {
    "ServerVersion": "20.10.24",
    "Swarm": {
        "NodeID": "4ihp",
        "LocalNodeState": "active",
        "ControlAvailable": True,
        "Error": "",
        "Nodes": 3,
    },
}
NODES = [
    {
        "ID": "4ihp",
        "Spec": {"Labels": {}, "Role": "manager", "Availability": "active"},
        "Description": {"Hostname": ONE, "Engine": {"EngineVersion": "20.10.24"}},
        "Status": {"State": "ready", "Addr": "10.0.0.1"},
        "ManagerStatus": {"Leader": True, "Reachability": "reachable", "Addr": "10.0.0.1:2377"},
    },
    {
        "ID": "lf78",
        "Spec": {"Labels": {}, "Role": "worker", "Availability": "drain"},
        "Description": {"Hostname": TWO},
        "Status": {"State": "down", "Message": "heartbeat failure", "Addr": "10.0.0.2"},
    },
]
WEB = {
    "ID": "web",
    "Spec": {
        "Name": "platform_web",
        "TaskTemplate": {"ContainerSpec": {"Env": ["PASSWORD=c4n4ry"]}},
        "Mode": {"Replicated": {"Replicas": 3}},
        "EndpointSpec": {"Mode": "dnsrr", "Ports": [{"TargetPort": 80, "PublishedPort": 8080}]},
    },
    "Endpoint": {"Ports": [{"TargetPort": 80, "PublishedPort": 30000}]},
}
AGENT = {
    "ID": "agent",
    "Spec": {"Name": "agent", "Mode": {"Global": {}}, "EndpointSpec": {"Mode": "vip"}},
    "Endpoint": {"Spec": {}},
}
JOB = {"ID": "job", "Spec": {"Name": "once", "Mode": {"ReplicatedJob": {"MaxConcurrent": 1}}}}


def task(service: str, at: str, state: str, **more: Any) -> dict[str, Any]:
    status = {"Timestamp": more.get("since", BEGAN), "State": state, "Message": "started"}
    if "error" in more:
        status["Err"] = more["error"]
    return {
        "ServiceID": service,
        "NodeID": at,
        "CreatedAt": more.get("made", BEGAN),
        "DesiredState": more.get("desired", "running"),
        "Status": status,
        **({"Slot": more["slot"]} if "slot" in more else {}),
    }


def services(*tasks: dict[str, Any]) -> dict[str, Any]:
    found = swarm_script.services([WEB, AGENT, JOB], list(tasks), NODES, NOW)
    return {it["name"]: it for it in found}


def test_a_task_runs_only_on_a_node_that_is_there() -> None:
    found = services(
        task("web", "4ihp", "running", slot=1),
        task("web", "lf78", "running", slot=2),
        task("web", "", "pending", slot=3, error="no suitable node"),
        task("web", "4ihp", "running", slot=4, desired="shutdown"),
    )["platform_web"]
    assert (found["replicas"], found["running"], found["ports"]) == (3, [ONE], [8080, 30000])
    assert [(it["task"], it["node"], it["state"], it["why"]) for it in found["others"]] == [
        ("2", TWO, "running", "started"),
        ("3", "", "pending", "no suitable node"),
    ]


# As Docker's API describes it (Service.UpdateStatus), of an update whose first task was rejected.
PAUSED = {
    "State": "paused",
    "StartedAt": "2026-11-26T05:40:00.1Z",
    "Message": "update paused due to failure or early termination of task 7yl",
}


def told_of(**changes: Any) -> dict[str, Any]:
    """What is told of the web when Docker says something else of it."""
    (found,) = swarm_script.services([{**WEB, **changes}], [], NODES, NOW)
    return dict(found)


def test_an_update_is_told_with_its_state_and_age() -> None:
    assert told_of()["update"] is None
    assert told_of(UpdateStatus={})["update"] is None
    update = told_of(UpdateStatus=PAUSED)["update"]
    assert (update["state"], update["age_s"], update["why"][:13]) == (
        "paused",
        300.0,
        "update paused",
    )


@pytest.mark.parametrize(
    ("constraint", "places"),
    [
        ("node.role==manager", [ONE]),
        ("node.role != manager", []),
        (f"node.hostname == {ONE.upper()}", [ONE]),
        ("node.labels.disk == ssd", []),
        ("node.labels.disk != ssd", [ONE]),
        ("engine.labels.os==x", []),
        ("node.nothing == known", None),
        ("node.ip == 10.0.0.1", [ONE]),
        ("node.ip != 10.0.0.0/24", None),
        ("nonsense", None),
    ],
)
def test_the_nodes_that_may_run_a_service_are_told(
    constraint: str, places: list[str] | None
) -> None:
    spec = {**WEB["Spec"], "TaskTemplate": {"Placement": {"Constraints": [constraint]}}}  # type: ignore[dict-item]
    assert told_of(Spec=spec)["places"] == places


RULE = "traefik.http.routers.{}.rule"


@pytest.mark.parametrize(
    ("labels", "hosts"),
    [
        ({RULE.format("acme"): "Host(`acme.example.com`)"}, ["acme.example.com"]),
        (
            {RULE.format("a"): 'Host("a.example.com") || Host("b.example.com")'},
            ["a.example.com", "b.example.com"],
        ),
        (
            {RULE.format("a"): "Host(`a.example.com`, `b.example.com`)"},
            ["a.example.com", "b.example.com"],
        ),
        (
            {
                RULE.format("a"): "Host(`poll.example.com`) && PathPrefix(`/longpolling`)",
                RULE.format("b"): "Host(`acme.example.com`)",
            },
            ["acme.example.com"],
        ),
        ({RULE.format("a"): "Host(`acme.example.com`) && PathPrefix(`/`)"}, ["acme.example.com"]),
        ({RULE.format("a"): "HostRegexp(`.+`)"}, []),
        ({RULE.format("a"): "!Host(`acme.example.com`)"}, []),
        ({"traefik.http.routers.a.entrypoints": "web"}, []),
        ({}, []),
    ],
)
def test_an_instance_is_asked_by_the_hosts_of_its_plainest_rules(
    labels: dict[str, str], hosts: list[str]
) -> None:
    assert told_of(Spec={**WEB["Spec"], "Labels": labels})["hosts"] == hosts  # type: ignore[dict-item]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(st.data())
def test_a_mutilated_service_is_named_and_the_others_are_told_all_the_same(data: Any) -> None:
    odd = json.loads(json.dumps({**WEB, "UpdateStatus": PAUSED}))
    found: Any = odd
    while True:
        key = data.draw(
            st.sampled_from(sorted(found) if isinstance(found, dict) else range(len(found)))
        )
        if not isinstance(found[key], dict | list) or not found[key] or data.draw(st.booleans()):
            break
        found = found[key]
    if data.draw(st.booleans()):
        del found[key]
    else:
        found[key] = data.draw(json_values)
    tasks = [task("agent", "4ihp", "running"), data.draw(json_values)]
    told = swarm_script.services([odd, AGENT], tasks, NODES, NOW)
    json.dumps(told)
    seen = clean()
    for it in seen["swarm"].values():
        if it["swarm"] is not None:
            it["swarm"]["value"]["services"] += told
    for check in (swarm_checks.CHECKS | swarm_answers.CHECKS).values():
        assert check(case(seen)).reason
    assert told[-1] == {**swarm_script.services([AGENT], tasks[:1], NODES, NOW)[0]}
    assert all(isinstance(it["name"], str) for it in told)


@given(json_values)
def test_a_mutilated_node_is_named_and_the_others_are_told_all_the_same(odd: object) -> None:
    one, _, other = swarm_script.nodes([NODES[0], odd, NODES[1]])
    assert (one["name"], other["name"]) == (ONE, TWO)
    never_reported = {**NODES[1], "Description": {}}
    assert swarm_script.nodes([never_reported])[0]["name"] == "lf78"


def test_a_service_on_every_machine_wants_the_tasks_that_swarm_made_and_a_job_is_none() -> None:
    found = services(task("agent", "4ihp", "running"), task("agent", "lf78", "running"))
    assert set(found) == {"platform_web", "agent"}
    assert (found["agent"]["replicas"], found["agent"]["running"]) == (2, [ONE])
    assert found["agent"]["others"][0]["task"] == TWO


def test_a_failure_counts_when_it_came_soon_and_nothing_has_lasted_since() -> None:
    def at(minute: int, second: int) -> str:
        return f"2026-11-26T05:{minute}:{second:02}.5Z"

    def failed(slot: int, made: str, since: str) -> dict[str, Any]:
        made_and_lost = {"made": made, "since": since, "desired": "shutdown"}
        return task("web", "4ihp", "failed", slot=slot, error="exit (1)", **made_and_lost)

    looping = [failed(1, at(44, it), at(44, it + 5)) for it in (10, 20, 30)]
    old = failed(2, at(39, 0), at(39, 5))
    lost_power = failed(3, at(40, 0), at(44, 0))
    healed = failed(4, at(42, 0), at(42, 5))
    running = [
        task("web", "4ihp", "running", slot=1, since=at(44, 40)),
        task("web", "4ihp", "running", slot=4, since=at(42, 20)),
    ]
    # Rejected beside a task that was there before and runs on: an update that starts the new first.
    beside = [
        {
            **failed(5, at(41, 0), at(44, it)),
            "Status": {"State": "rejected", "Timestamp": at(44, it)},
        }
        for it in (2, 4, 6)
    ]
    running.append(task("web", "4ihp", "running", slot=5, since=at(30, 0)))
    found = services(*beside, *running)["platform_web"]
    assert [(it["task"], it["state"]) for it in found["failed"]] == [("5", "rejected")] * 3
    found = services(*looping, old, lost_power, healed, *running)["platform_web"]
    assert [(it["task"], it["why"]) for it in found["failed"]] == [("1", "exit (1)")] * 3


def test_a_failure_after_a_long_life_is_told_of_the_container_that_is_wanted_now() -> None:
    """As Docker lists the tasks of a service whose container is killed for its memory again and
    again, every six minutes: the one that runs, and four before it."""
    wanted, old = ({"ContainerSpec": {"Image": f"web:{it}"}} for it in (2, 1))

    def one(minute: int, state: str, spec: Any = wanted) -> dict[str, Any]:
        since = f"2026-11-26T05:{minute}:00.5Z"
        made = {"made": f"2026-11-26T05:{minute - 6:02}:00.5Z", "since": since, "slot": 1}
        error = {"error": "task: non-zero exit (137)"} if state == "failed" else {}
        return {**task("web", "4ihp", state, **made, **error), "Spec": spec}

    spec = {**WEB["Spec"], "TaskTemplate": wanted}  # type: ignore[dict-item]
    tasks = [
        *(one(it, "failed") for it in (20, 26, 32, 38)),
        one(14, "failed", old),
        one(36, "shutdown"),
        one(39, "complete"),
        one(44, "running"),
    ]
    (found,) = swarm_script.services([{**WEB, "Spec": spec}], tasks, NODES, NOW)
    assert found["failed"] == []
    assert [it["age_s"] for it in found["ended"]] == [1500.0, 1140.0, 780.0, 420.0]
    assert {(it["task"], it["why"]) for it in found["ended"]} == {
        ("1", "task: non-zero exit (137)")
    }


@given(st.integers(0, 4_000_000_000), st.text("0123456789", max_size=9))
def test_a_time_is_read_to_the_second_however_fine_it_is(moment: int, fraction: str) -> None:
    text = datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    assert swarm_script.seconds(f"{text}.{fraction}Z" if fraction else f"{text}Z") == moment


# --- through the socket -----------------------------------------------------------------------


@pytest.fixture
def socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    path = str(tmp_path / "docker.sock")
    monkeypatch.setattr(docker_script, "SOCKET", path)
    return path


TABLE = {
    "/info": (200, INFO),
    "/nodes": (200, NODES),
    "/services": (200, [WEB]),
    "/tasks": (200, []),
}


def test_a_manager_tells_all_and_no_secret_of_a_service(socket: str) -> None:
    with serving(Engine(socket, Handler), TABLE):
        found = swarm_script.look([])
    own = {"id": "4ihp", "state": "active", "manager": True, "why": ""}
    assert found["docker"] == {"value": own}
    assert [it["name"] for it in found["swarm"]["value"]["nodes"]] == [ONE, TWO]
    assert found["swarm"]["value"]["services"][0]["name"] == "platform_web"
    assert "c4n4ry" not in json.dumps(found)


def test_a_worker_is_not_asked_what_only_managers_know(socket: str) -> None:
    worker = {"Swarm": {**INFO["Swarm"], "ControlAvailable": False}}  # type: ignore[dict-item]
    with serving(Engine(socket, Handler), {"/info": (200, worker)}):
        found = swarm_script.look([])
    assert (found["docker"]["value"]["manager"], found["swarm"]) == (False, None)


def test_a_manager_without_a_leader_says_so(socket: str) -> None:
    lost = (503, {"message": "rpc error: The swarm does not have a leader."})
    with serving(Engine(socket, Handler), {**TABLE, "/nodes": lost}):
        found = swarm_script.look([])
    assert found["swarm"] == {"error": "rpc error: The swarm does not have a leader."}


def test_a_docker_that_is_not_there_is_silent_and_one_that_is_not_ours_is_an_error(
    socket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "No such file" in swarm_script.look([])["docker"]["silent"]

    def denied(_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(docker_script.Docker, "connect", denied)
    assert swarm_script.look([]) == {"error": f"{socket}: Permission denied"}


def test_what_a_service_answers_is_told_and_so_is_one_that_does_not(socket: str) -> None:
    site = Site(("127.0.0.1", 0), Handler)
    (address, port) = site.server_address[:2]
    asked = {"address": address, "port": port, "path": "/health"}
    with serving(Engine(socket, Handler), TABLE), serving(site, {"/health": (503, "odoo: no db")}):
        wanted = [{**asked, "place": "a", "says": "odoo"}, {**asked, "place": "b", "says": "shop"}]
        found = swarm_script.look(wanted)["answers"]
        answers = {at: (it["value"]["status"], it["value"]["said"]) for at, it in found.items()}
    assert answers == {"a": (503, True), "b": (503, False)}
    assert "refused" in swarm_script.look(wanted)["answers"]["a"]["error"]
