"""What a fault may take of the Swarm that is migrated: managers, and services of one machine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from harness.core.errors import Refused
from harness.faults import budget, disruption_lock, preflight
from harness.faults.budget import SwarmService
from harness.faults.cluster_state import swarm_margins
from harness.faults.kinds.kubernetes import StopRke2
from harness.faults.kinds.machine import PowerOff
from harness.faults.preflight import affordable
from harness.probes import swarm
from harness.tests.clean_case import swarm_service
from harness.tests.fake_transport import FakeKube
from harness.tests.fault_examples import whole_cluster
from harness.transport import Completed, Reach, Shell


@pytest.fixture
def ours(monkeypatch: pytest.MonkeyPatch) -> disruption_lock.DisruptionLock:
    monkeypatch.setattr(disruption_lock.DisruptionLock, "confirm", lambda _: None)
    monkeypatch.setattr(preflight, "PODS_WITHIN_S", 0.0)
    return disruption_lock.DisruptionLock(FakeKube(), "r")


SWARM_STACK = {"cni": "bridge", "network_policy": False, "source": "swarm"}


class BesideSwarm:
    """The machines' shell, whose Docker says this."""

    def __init__(self, shell: Shell, report: str) -> None:
        self._shell, self._report = shell, report

    def run(self, machine: str, argv: Sequence[str], *, stdin: str = "", **how: Any) -> Completed:
        if stdin == swarm.SCRIPT.text:
            return Completed(status=0, stdout=self._report, stderr="")
        return self._shell.run(machine, argv, stdin=stdin, **how)


def _manager(name: str) -> dict[str, Any]:
    well = {"state": "ready", "why": "", "availability": "active", "reachability": "reachable"}
    return {"id": name, "name": name, "manager": True, "leader": name == "one", **well}


def with_swarm(*managers: str, **answers: Any) -> Reach:
    """Two whole machines, whose Swarm has these managers and one service that is pinned to one."""
    declared = {"managers": managers, "services": {"postgres": {"replicas": 1}}}
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    nodes = [{"metadata": {"name": name}, "status": ready} for name in ("one", "two")]
    objects = {"/api/v1/nodes": {"items": nodes}, "/api/v1/pods": {"items": []}}
    whole = whole_cluster(objects, disks=None, stack=SWARM_STACK, swarm=declared)
    postgres = swarm_service("postgres", 1, running=["one"], places=["one"])
    known = {"nodes": [_manager(name) for name in managers], "services": [postgres]}
    own = {"id": "a", "state": "active", "manager": True, "why": ""}
    report = {
        "docker": {"value": own},
        "swarm": {"value": known},
        "answers": {},
        "instances": None,
        **answers,
    }
    return replace(whole, shell=BesideSwarm(whole.shell, json.dumps(report)))  # type: ignore[arg-type]


def cut(machine: str, **changes: Any) -> PowerOff:
    return PowerOff(id="f00d", machine=machine, **changes)


def test_the_only_manager_of_the_swarm_is_not_taken_unless_that_is_accepted(
    ours: disruption_lock.DisruptionLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "refusal", lambda *_: None)
    words = "Swarm managers that are reachable: 1 − 1 = 0, 1 needed: TOO FEW; running tasks of the"
    words += " Swarm service postgres: 1 − 1 = 0, 1 needed: TOO FEW"
    lines = swarm_margins(with_swarm("one"), cut("one"))
    assert "; ".join(str(it) for it in lines) == words
    with pytest.raises(Refused, match=r"(?s)1 − 1 = 0, 1 needed: TOO FEW.*accept_swarm_loss"):
        affordable(with_swarm("one"), ours, cut("one"))
    affordable(with_swarm("one"), ours, cut("one", accept_swarm_loss=True))
    affordable(with_swarm("one"), ours, cut("two"))


def test_a_service_that_is_pinned_to_the_machine_keeps_it_from_being_taken() -> None:
    two = swarm_margins(with_swarm("one", "two"), cut("two"))
    assert [it.holds for it in two] == [False]
    service = SwarmService(name="db", running=("one",), places=frozenset({"one"}))
    lines = list(
        budget.swarm_margins(
            ("one", "two", "three"), frozenset(("one", "two", "three")), [service], "one"
        )
    )
    assert [str(it) for it in lines if not it.holds] == [
        "machines that may run the Swarm service db: 1 − 1 = 0, 1 needed: TOO FEW"
    ]
    moves = SwarmService(name="web", running=("one", "one"), places=frozenset({"one", "two"}))
    assert all(
        it.holds for it in budget.swarm_margins(("one",) * 3, frozenset("abc"), [moves], "one")
    )
    blind = SwarmService(name="web", running=("one", "two"), places=None)
    assert all(
        it.holds for it in budget.swarm_margins(("one",) * 3, frozenset("abc"), [blind], "one")
    )


def test_a_fault_is_refused_while_the_swarm_does_not_answer(
    ours: disruption_lock.DisruptionLock,
) -> None:
    silent = with_swarm("one", docker={"silent": "refused"}, swarm=None)
    with pytest.raises(Refused, match=r"no manager reports the state of the Swarm \(one: refused"):
        affordable(silent, ours, cut("one"))


def test_a_fault_that_leaves_docker_alone_takes_nothing_of_the_swarm() -> None:
    assert swarm_margins(with_swarm("one"), StopRke2(id="f00d", machine="one")) == ()
