"""The Swarm's probe asks every machine, and takes its answer as it comes."""

from __future__ import annotations

import json

import pytest

from harness.errors import NotProven, TransportError
from harness.probes import swarm_script
from harness.tests.probe_rig import MACHINES, PROFILE, observe, reach
from harness.transport import Completed
from harness.transport.fake import FakeShell

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


def shell(said: object, status: int = 0) -> FakeShell:
    stdout = said if isinstance(said, str) else json.dumps(said)
    done = Completed(status=status, stdout=stdout, stderr="Traceback")
    return FakeShell({("*", "python3"): done})


def test_every_declared_answer_is_asked_for_on_every_machine() -> None:
    report = {"docker": {"silent": "refused"}, "swarm": None, "answers": {}}
    ways = shell(report)
    assert observe("swarm", reach(ways), ONE) == report
    ((machine, argv),) = ways.calls
    assert machine == ONE
    asked = {it["place"]: it for it in json.loads(argv[-2])}
    users = {name: f"{name}:80/user/health/database as api.saasodoo.example" for name in MACHINES}
    assert set(users.values()) <= set(asked)
    assert asked[users[TWO]]["address"] == "10.0.0.2"
    assert asked[users[TWO]]["host"] == "api.saasodoo.example"
    instances = json.loads(argv[-1])
    assert (instances["names"], instances["address"]) == ("odoo-*", "10.0.0.1")


@pytest.mark.parametrize(
    ("said", "status", "words"),
    [
        ({"error": "Permission denied"}, 0, "Docker may not be asked: Permission denied"),
        ("?", 0, "garbled"),
        ("", 1, "python3 ended with 1: Traceback"),
    ],
)
def test_a_machine_that_cannot_be_asked_is_not_seen(said: object, status: int, words: str) -> None:
    with pytest.raises(TransportError, match=words):
        observe("swarm", reach(shell(said, status)), ONE)


def test_without_a_declared_swarm_there_is_nothing_to_ask() -> None:
    stack = PROFILE.stack.model_copy(update={"source": None})
    with pytest.raises(NotProven, match="declares no Swarm"):
        observe("swarm", reach(like=PROFILE.model_copy(update={"stack": stack})), ONE)
