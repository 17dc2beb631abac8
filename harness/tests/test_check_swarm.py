"""Checks of the old platform: a Swarm that is not whole, and services that do not serve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.checks import CHECKS, swarm, swarm_answers
from harness.core.declared import SwarmDeclared, SwarmService
from harness.core.model import Outcome
from harness.tests.clean_case import Seen, case, clean, swarm_service
from harness.tests.clean_cluster import NAMES, WEB
from harness.tests.swarm_seen import (
    Defect,
    answers,
    docker,
    node,
    nodes,
    service,
    services,
    silent,
    stale,
    value,
    voiceless,
)

NODES, REPLICAS = "every Swarm node is ready", "every Swarm service has its replicas"
THERE, ANSWER = "the declared Swarm services are there", "Swarm services answer"
UPDATES, INSTANCES = "no Swarm update stands still", "customers' Swarm instances answer"
ONE, TWO, THREE = NAMES
LOST = {
    "task": "2",
    "node": TWO,
    "state": "failed",
    "why": "task: non-zero exit (1)",
    "age_s": 4.0,
}


DEFECTS: list[tuple[str, Defect, str]] = [
    (NODES, node(1, state="down"), f"{TWO}: expected its Swarm node to be ready, seen down"),
    (NODES, node(2, availability="drain"), f"{THREE}: expected its Swarm node to be active, seen"),
    (NODES, node(1, reachability="unreachable"), f"{TWO}: expected a reachable manager, seen"),
    (NODES, node(1, manager=False), f"{TWO}: expected a manager of the Swarm, seen a worker"),
    (NODES, node(2, manager=True), f"{THREE}: expected a worker of the Swarm, seen a manager"),
    (NODES, node(0, leader=False), "Swarm: expected one leader, seen 0"),
    (NODES, nodes(lambda it: it.pop()), f"{THREE}: expected one Swarm node of this name, seen non"),
    (NODES, nodes(stale), f"{ONE}: expected one Swarm node of this name, seen 2"),
    (NODES, node(2, name="guest"), "guest: expected only declared machines in the Swarm"),
    (NODES, silent(THREE), f"{THREE}: expected Docker to answer, seen Connection refused"),
    (NODES, docker(THREE, state="inactive"), f"{THREE}: expected it active in the Swarm, seen ina"),
    (NODES, docker(THREE, state="error", why="expired"), "active in the Swarm, seen error (expire"),
    (NODES, docker(THREE, id="node-x"), f"{THREE}: expected it in the same Swarm as the others"),
    (NODES, voiceless(TWO), f"{TWO}: expected this manager to tell the Swarm's state, seen The sw"),
    (NODES, voiceless(ONE, TWO), "seen The swarm does not have a leader"),
    (REPLICAS, service(1, running=[ONE]), "platform_worker: expected 2 running tasks, seen 1"),
    (REPLICAS, service(0, running=[*NAMES, ONE]), "platform_web: expected 3 running tasks, seen 4"),
    (REPLICAS, service(0, running=[], others=[LOST]), "(task 2 on vmi2887102 is failed: task: non"),
    (REPLICAS, service(1, failed=[LOST] * 3), "expected its tasks to stay, seen 3 failures of one"),
    (REPLICAS, silent(TWO), "platform_web: expected 3 running tasks, seen 2"),
    (THERE, services(lambda it: it.pop(1)), "platform_worker: expected this service, seen none"),
    (THERE, service(0, replicas=1), "platform_web: expected it to want 3 tasks, seen 1"),
    (
        THERE,
        service(0, ports=[8069]),
        "platform_web: expected port 8080 to be published, seen 8069",
    ),
    (THERE, service(0, ports=[]), "expected port 8080 to be published, seen none"),
    (
        ANSWER,
        answers(TWO, *NAMES, error="refused"),
        f"at {TWO}:8080/: expected an answer, seen ref",
    ),
    (ANSWER, answers(TWO, ONE, error="timed out"), f"seen timed out from {ONE}"),
    (ANSWER, answers(TWO, *NAMES, value=value(status=502)), "expected status 200, seen 502"),
    (
        ANSWER,
        answers(TWO, *NAMES, value=value(said=False)),
        "an answer that says 'odoo', seen anot",
    ),
    (ANSWER, answers(TWO, *NAMES, value=value(took_s=6.0)), "expected an answer within 5 s"),
]
EVERYWHERE = (
    "platform_worker: expected a task of this global service on every machine that may run it,"
    " seen none on "
)


def everywhere(*places: str) -> dict[str, Any]:
    """A global service that has its tasks on the machines that may run it."""
    at = list(places or NAMES)
    return {"mode": "global", "places": at, "replicas": len(at), "running": at}


ODD = {"id": "?", "name": TWO, "odd": "KeyError: 'Mode'"}


def update(state: str, age_s: float | None, why: str = "") -> Defect:
    return service(1, update={"state": state, "age_s": age_s, "why": why})


def instance(**answers: Any) -> Defect:
    """What every manager is answered by the hosts of the instance that runs."""

    def defect(seen: Seen) -> None:
        for it in seen["swarm"].values():
            if it["instances"] is not None:
                it["instances"]["odoo-acme-1a2b3c4d"] = answers

    return defect


DEFECTS += [
    (
        REPLICAS,
        service(1, mode="global", replicas=0, running=[], places=[]),
        "platform_worker: expected this global service to have a task on some machine, seen none",
    ),
    *(
        (REPLICAS, service(1, **{**everywhere(), **changes}), EVERYWHERE + where)
        for changes, where in (
            ({"running": [], "replicas": 0}, f"{ONE}, {TWO} and {THREE}"),
            ({"running": [ONE, TWO], "replicas": 2}, THREE),
            ({"running": [ONE], "unheard": [TWO], "places": [ONE, THREE]}, THREE),
        )
    ),
    (
        UPDATES,
        update("paused", 90.0, "update paused due to failure or early termination of task x"),
        "platform_worker: expected no update to stand still, seen it paused: update paused due to",
    ),
    (UPDATES, update("rollback_paused", 90.0), "stand still, seen it rollback_paused"),
    (UPDATES, update("updating", 2400.0), "to take 30 minutes at most, seen updating for 40"),
    (UPDATES, update("rollback_started", 2400.0), "seen rollback_started for 40"),
    (THERE, service(1, mode="global"), "expected a replicated service, seen a global one"),
    (
        INSTANCES,
        instance(**{"acme.example.com": {"value": value(status=404)}}),
        "odoo-acme-1a2b3c4d as acme.example.com: expected status 200 or 303, seen 404",
    ),
    (INSTANCES, instance(**{"acme.example.com": {"error": "refused"}}), "an answer, seen refused"),
]
GAPS: list[tuple[str, Defect, str]] = [
    (REPLICAS, voiceless(ONE, TWO), "no manager tells the state of all nodes and services"),
    (THERE, voiceless(ONE, TWO), "no manager tells"),
    # A new leader has heard of nobody yet.
    (NODES, node(1, state="unknown"), f"{TWO}: the Swarm's leader has not heard of this node"),
    (NODES, node(1, state="unknown", why="leadership change"), "is unknown (leadership change)"),
    (
        REPLICAS,
        service(1, running=[ONE], unheard=[TWO]),
        f"platform_worker: 1 of its tasks ran on {TWO}, whose state is unknown",
    ),
    (NODES, nodes(lambda it: it.__setitem__(1, ODD)), f"{TWO}: what Docker says of it is not und"),
    *(
        (check, services(lambda it: it.__setitem__(1, {**ODD, "name": "platform_worker"})), words)
        for check in (REPLICAS, THERE, UPDATES)
        for words in (
            "platform_worker: what Docker says of it is not understood: KeyError: 'Mode'",
        )
    ),
    (
        REPLICAS,
        service(1, mode="global", places=None),
        "platform_worker: a placement constraint of this global service is not understood",
    ),
    (
        UPDATES,
        update("updating", None),
        "an update goes on, and Docker does not say",
    ),
    (INSTANCES, services(lambda it: it.__delitem__(slice(2, 4))), "no service is named odoo-*"),
    (INSTANCES, instance(), "odoo-acme-1a2b3c4d: it must run, but no Traefik label"),
    (
        INSTANCES,
        instance(**{"acme.example.com": {"unasked": "40 s are not enough"}}),
        "odoo-acme-1a2b3c4d as acme.example.com: it was not asked from",
    ),
    (REPLICAS, services(lambda it: it.clear()), "it has no service, so none has its tasks"),
    (ANSWER, answers(TWO, ONE, value=value(status=429)), "limits our one address (429"),
]


@pytest.mark.parametrize(
    ("check", "defect", "words"), DEFECTS, ids=[f"{c}: {w}" for c, _, w in DEFECTS]
)
def test_each_defect_fails_and_is_explained(check: str, defect: Defect, words: str) -> None:
    seen = clean()
    defect(seen)
    verdict = CHECKS[check](case(seen))
    assert (verdict.outcome, words in verdict.reason) == (Outcome.FAIL, True), verdict.reason


@pytest.mark.parametrize(("check", "gap", "words"), GAPS, ids=[f"{c}: {w}" for c, _, w in GAPS])
def test_what_nobody_tells_is_not_proven(check: str, gap: Defect, words: str) -> None:
    seen = clean()
    gap(seen)
    verdict = CHECKS[check](case(seen))
    assert (verdict.outcome, words in verdict.reason) == (Outcome.NOT_PROVEN, True), verdict.reason


@pytest.mark.parametrize("check", swarm.CHECKS | swarm_answers.CHECKS)
def test_a_manager_that_cannot_be_asked_is_not_passed_over(check: str) -> None:
    verdict = CHECKS[check](case(clean(), {("swarm", TWO): "no route to host"}))
    assert verdict.outcome is Outcome.NOT_PROVEN
    assert f"{TWO}: no route to host" in verdict.reason


@pytest.mark.parametrize("check", swarm.CHECKS | swarm_answers.CHECKS)
def test_a_whole_swarm_passes_and_nothing_seen_does_not(check: str) -> None:
    assert CHECKS[check](case(clean())).outcome is Outcome.PASS
    assert CHECKS[check](case({})).outcome is Outcome.NOT_PROVEN


def test_services_that_are_declared_to_answer_nothing_are_not_proven_to() -> None:
    seen = case(clean())
    quiet = SwarmDeclared(managers=NAMES[:2], services={"platform_web": SwarmService(replicas=3)})
    verdict = CHECKS[ANSWER](replace(seen, cluster=replace(seen.cluster, swarm=quiet)))
    assert verdict.outcome is Outcome.NOT_PROVEN
    assert "it declares no answer" in verdict.reason


@pytest.mark.parametrize(
    ("ages_min", "outcome"),
    [
        ((1, 6, 11, 16), Outcome.FAIL),
        ((1, 6, 11), Outcome.PASS),  # as after a rolling restart of three machines
        ((1, 6, 11, 31), Outcome.PASS),
    ],
)
def test_a_task_that_fails_every_few_minutes_is_found_though_it_runs(
    ages_min: tuple[int, ...], outcome: Outcome
) -> None:
    seen = clean()
    service(1, ended=[{**LOST, "age_s": it * 60.0} for it in ages_min])(seen)
    verdict = CHECKS[REPLICAS](case(seen))
    assert verdict.outcome is outcome
    assert verdict.measured["task_failures_count"] == sum(it < 30 for it in ages_min)
    if outcome is Outcome.FAIL:
        assert "3 failures of one task in 30 min at most, seen 4, the last 1 min" in verdict.reason
        assert "platform_worker" in verdict.where


def test_failures_of_different_tasks_do_not_add_up() -> None:
    seen = clean()
    service(1, ended=[{**LOST, "age_s": 60.0, "task": f"{it}"} for it in range(9)])(seen)
    assert CHECKS[REPLICAS](case(seen)).outcome is Outcome.PASS


def test_a_task_that_failed_twice_may_have_lost_its_machine() -> None:
    seen = clean()
    service(1, failed=[LOST, LOST, {**LOST, "task": "1"}])(seen)
    assert CHECKS[REPLICAS](case(seen)).outcome is Outcome.PASS


def test_a_global_service_runs_where_it_may_and_is_not_wanted_elsewhere() -> None:
    for places in (NAMES, [ONE], [TWO, THREE]):
        seen = clean()
        service(1, **everywhere(*places))(seen)
        assert CHECKS[REPLICAS](case(seen)).outcome is Outcome.PASS
    seen = clean()
    service(1, **everywhere(ONE) | {"places": list(NAMES)})(seen)
    assert CHECKS[REPLICAS](case(seen)).measured["missing_tasks_count"] == 2


def test_a_global_service_that_is_declared_to_have_no_task_needs_none() -> None:
    seen = clean()
    service(1, mode="global", replicas=0, running=[])(seen)
    judged = case(seen)
    assert judged.cluster.swarm is not None
    stopped = {"platform_worker": SwarmService(mode="global", replicas=0)}
    declared = replace(judged.cluster.swarm, services=stopped)
    judged = replace(judged, cluster=replace(judged.cluster, swarm=declared))
    assert CHECKS[REPLICAS](judged).outcome is Outcome.PASS


def test_a_task_that_waits_on_its_machine_is_missing_once() -> None:
    seen = clean()
    waits = {**LOST, "node": TWO, "task": TWO, "state": "pending"}
    service(1, **everywhere() | {"running": [ONE, THREE], "others": [waits]})(seen)
    assert CHECKS[REPLICAS](case(seen)).measured["missing_tasks_count"] == 1


def test_an_update_that_was_rolled_back_passes_and_is_named() -> None:
    seen = clean()
    update("rollback_completed", 86400.0, "rollback completed")(seen)
    verdict = CHECKS[UPDATES](case(seen))
    assert verdict.outcome is Outcome.PASS
    told = "stands still; rolled back, and running the earlier version: platform_worker"
    assert told in verdict.reason
    assert "rolled back" not in CHECKS[UPDATES](case(clean())).reason


def test_what_is_measured_is_what_is_missing_and_the_slowest_answer() -> None:
    seen = clean()
    service(0, running=[ONE])(seen)
    answers(THREE, TWO, value=value(took_s=1.5))(seen)
    assert CHECKS[REPLICAS](case(seen)).measured["missing_tasks_count"] == 2
    assert CHECKS[ANSWER](case(seen)).measured == {"answer_s": 1.5}


@given(
    wanted=st.lists(st.integers(0, 4), min_size=1, max_size=4),
    lacking=st.lists(st.integers(0, 2), min_size=4, max_size=4),
    dead=st.sets(st.sampled_from(NAMES)),
)
def test_only_services_with_all_their_tasks_where_docker_answers_pass(
    wanted: Sequence[int], lacking: Sequence[int], dead: set[str]
) -> None:
    seen = clean()
    found: list[dict[str, Any]] = [
        swarm_service(
            f"s{number}",
            replicas,
            running=[NAMES[task % 3] for task in range(replicas - lacking[number])],
        )
        for number, replicas in enumerate(wanted)
    ]
    services(lambda it: it.__setitem__(slice(None), found))(seen)
    for name in dead:
        seen["swarm"][name]["docker"] = {"silent": "refused"}
    verdict = CHECKS[REPLICAS](case(seen))
    alive = [sum(at not in dead for at in it["running"]) for it in found]
    assert (verdict.outcome is Outcome.PASS) == (alive == list(wanted))


def test_of_a_broken_machine_no_answer_is_wanted_and_of_the_others_all_are() -> None:
    seen = clean()
    for told_there in seen["swarm"].values():
        told_there["answers"][WEB.at(NAMES[0])] = {"error": "timed out"}
    made = case(seen)
    assert CHECKS["Swarm services answer"](made).outcome is Outcome.FAIL
    without = replace(made, cluster=made.cluster.without(NAMES[0]))
    assert CHECKS["Swarm services answer"](without).outcome is Outcome.PASS
    for seen_there in seen["swarm"].values():
        seen_there["answers"][WEB.at(NAMES[1])] = {"error": "timed out"}
    verdict = CHECKS["Swarm services answer"](without)
    assert verdict.outcome is Outcome.FAIL
    assert NAMES[1] in verdict.reason
