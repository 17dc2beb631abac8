"""The Swarm's probe asks every machine, and takes its answer as it comes."""

from __future__ import annotations

import json

import pytest

from harness.core.errors import NotProven, TransportError
from harness.tests.clean_case import clean
from harness.tests.fake_transport import FakeShell
from harness.tests.probe_rig import MACHINES, PROFILE, observe, reach
from harness.transport import Completed

ONE, TWO, THREE = MACHINES


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
        ("", 1, "swarm_script ended with status 1: Traceback"),
    ],
)
def test_a_machine_that_cannot_be_asked_is_not_seen(said: object, status: int, words: str) -> None:
    with pytest.raises(TransportError, match=words):
        observe("swarm", reach(shell(said, status)), ONE)


def test_without_a_declared_swarm_there_is_nothing_to_ask() -> None:
    stack = PROFILE.stack.model_copy(update={"source": None})
    with pytest.raises(NotProven, match="declares no Swarm"):
        observe("swarm", reach(like=PROFILE.model_copy(update={"stack": stack})), ONE)


def test_a_node_whose_hostname_is_longer_than_the_machine_s_name_is_that_machine() -> None:
    """As `docker node ls` shows it where /etc/hostname is fully qualified, and a foreign node."""
    full = f"{TWO}.contaboserver.net"
    of_manager = json.loads(json.dumps(clean()["swarm"][ONE]))
    renamed = json.loads(json.dumps(of_manager).replace(f'"{TWO}"', f'"{full}"'))
    assert full in json.dumps(renamed)
    assert observe("swarm", reach(shell(renamed)), ONE) == of_manager
    foreign = json.loads(json.dumps(of_manager).replace(f'"{TWO}"', '"vmi9.contaboserver.net"'))
    assert observe("swarm", reach(shell(foreign)), ONE) == foreign
