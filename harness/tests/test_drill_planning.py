"""What a drill would do is said beforehand, and nothing is touched by saying it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.core.errors import ConfigError, NotProven, Refused
from harness.drill.planning import FaultPlan, must_be_there, planned
from harness.settings.drills import drill_names, load_drill
from harness.tests.fake_transport import FakeKube, FakeShell
from harness.tests.fault_examples import pod, whole_cluster
from harness.transport import Reach

STACK = {"cni": "bridge", "network_policy": False}
INGRESS = {"addresses": ["127.0.0.1"], "ingress_class": "web", "sites": ["shop.example"]}

PRIMARIES = "/api/v1/namespaces/shop/pods?labelSelector=app%3Ddb"


def lose_machine(reach: Reach) -> FaultPlan:
    document = planned(load_drill("lose-machine"), reach, seed=7)
    (run, _) = document["runs"]
    (fault,) = run["faults"]
    return fault


def test_acts_and_undo_are_said_as_they_would_be_run() -> None:
    fault = lose_machine(whole_cluster())
    assert fault["target"] == "one"
    assert fault["acts"] == [{"place": "here", "command": "off one"}]
    assert fault["undo"] == {"place": "here", "commands": ["on one"]}


def test_the_load_is_said_or_why_there_is_none() -> None:
    drill = load_drill("lose-machine")
    none = planned(drill, whole_cluster(stack=STACK, ingress=None), seed=7)["load"]
    assert none == "none: there is no ingress here"
    with_ingress: dict[str, Any] = {"stack": {**STACK, "ingress": "nginx"}, "ingress": INGRESS}
    said = planned(drill, whole_cluster(**with_ingress), seed=7)["load"]
    assert said.startswith(
        "ingress: 20 requests/s, seed 1 to https://shop.example/healthz at 127.0.0.1;"
    )
    siteless = {**with_ingress, "ingress": {**INGRESS, "sites": []}}
    said = planned(drill, whole_cluster(**siteless), seed=7)["load"]
    assert "declares no site" in said


@pytest.mark.parametrize("name", drill_names())
def test_no_plan_of_any_drill_touches_anything(name: str) -> None:
    whole = whole_cluster()
    document = planned(load_drill(name), whole, seed=7, machines=["one"])
    assert document["drill"] == name
    faults = [fault for run in document["runs"] for fault in run["faults"]]
    assert len(faults) == len(load_drill(name).faults), document["runs"]
    assert all(fault["margins"] and fault["acts"] for fault in faults)
    assert isinstance(whole.shell, FakeShell)
    started = {argv[0] for _, argv in whole.shell.calls}
    assert not started & {"sh", "mv", "systemd-run", "on", "off", "date", "fallocate"}
    assert isinstance(whole.kube, FakeKube)
    assert not [verb for verb, _ in whole.kube.calls if verb in ("POST", "APPLY", "DELETE")]


@pytest.mark.parametrize("number", [1, 2])
def test_the_machine_of_the_databases_primary_is_the_one_that_is_hit(number: int) -> None:
    pods = {PRIMARIES: {"items": [pod("web-1"), pod("web-2")]}}
    pods[PRIMARIES]["items"][number - 1]["metadata"]["labels"]["role"] = "primary"
    names = ("lose-primary-machine", "cut-off-primary-machine", "lose-primary-osd")
    for name in (*names, "fill-primary-volume"):
        (run,) = planned(load_drill(name), whole_cluster(pods), seed=7)["runs"]
        assert run["machine"] == ("one", "two")[number - 1]


def test_a_primary_that_is_not_known_is_not_guessed() -> None:
    drill = load_drill("lose-primary-machine")
    with pytest.raises(ConfigError, match="does not declare the platform's PostgreSQL"):
        planned(drill, whole_cluster(postgres=None), seed=7)
    with pytest.raises(NotProven, match="no ready pod in shop is the primary: role=primary"):
        planned(drill, whole_cluster({PRIMARIES: {"items": [pod("web-1")]}}), seed=7)


def test_a_primary_that_has_moved_is_not_hit_where_it_was() -> None:
    drill = load_drill("lose-primary-machine")
    moved = whole_cluster({PRIMARIES: {"items": [pod("web-1"), pod("web-2", role="primary")]}})
    must_be_there(drill, "two", moved)
    with pytest.raises(Refused, match="expected the primary of PostgreSQL on one, seen on two"):
        must_be_there(drill, "one", moved)
    must_be_there(load_drill("lose-machine"), "one", moved)


def test_what_cannot_be_known_is_said_and_nothing_is_invented() -> None:
    fault = lose_machine(replace(whole_cluster(), shell=FakeShell({})))
    margins = fault["margins"]
    assert isinstance(margins, list)
    assert "not known" in margins[0]
    assert len(margins) == 1


@pytest.mark.parametrize("name", ["kill-pods", "kill-postgres-primary"])
def test_whom_a_fault_of_the_ledgers_own_pods_hits_is_said_to_be_resolved_later(name: str) -> None:
    (run,) = planned(load_drill(name), whole_cluster(), seed=7, machines=["one"])["runs"]
    (fault,) = run["faults"]
    assert (fault["refused"], fault["resolved"]) == (None, "when the ledger is kept")
    assert "DELETE" in fault["acts"][0]["command"]
    assert "cutover/pod=" in fault["acts"][0]["command"]
    assert not any("no ready pod" in str(it) for it in fault.values())
