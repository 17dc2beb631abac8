"""Loads in stages: when each request is due, a real generator, and what comes of its answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.checks import CHECKS
from harness.core.errors import NotProven
from harness.core.model import Outcome, Verdict
from harness.load.spec import LoadSpec, Plan, Stage, plan_of
from harness.probes import loads
from harness.settings.drills import Load, find_load
from harness.tests.clean_case import case, clean
from harness.tests.clean_cluster import CLUSTER
from harness.tests.probe_rig import PROFILE, observe, reach
from harness.tests.visited import site

OFFERED = "every load was offered as planned"
ANSWERED = "requests are answered under load"
IN_TIME = "requests are answered in time under load"
FIRST = "stage 1, 20/s"

_RATES = st.floats(0.1, 200)
_PLANS = st.builds(
    Plan,
    st.just(0.0),
    st.lists(
        st.builds(Stage, st.text(), _RATES, _RATES, st.floats(1, 60)), min_size=1, max_size=4
    ).map(tuple),
)


# --- the plan ---


@given(_PLANS)
def test_requests_are_due_in_order_at_the_rates_of_their_stages(plan: Plan) -> None:
    """Between two marks of time as many are due as the rate's integral says, give or take one."""
    whole = int(sum(it.requests for it in plan.stages))
    dues = [plan.due(number) for number in range(whole)]
    assert all(before <= after for before, after in pairwise(dues))
    sent, before = 0.0, 0.0
    for stage in plan.stages:
        middle = before + stage.for_s / 2
        half = (3 * stage.from_per_s + stage.to_per_s) / 8 * stage.for_s
        assert abs(sum(it < middle for it in dues) - (sent + half)) <= 2
        sent, before = sent + stage.requests, before + stage.for_s
    assert plan.due(whole + 1) == float("inf")


def test_after_the_stages_of_a_plan_with_a_rate_it_goes_on_at_that() -> None:
    plan = Plan(10, (Stage("ramp", 0, 20, 2),))
    assert (plan.due(0), plan.due(20), plan.due(25)) == (0, 2, 2.5)
    assert plan.most_per_s == 20


def test_a_spike_keeps_its_rate_and_a_ramp_begins_at_the_one_before() -> None:
    plan = plan_of(find_load("busy-hour"))
    assert [(it.from_per_s, it.to_per_s) for it in plan.stages] == [
        (5, 20),
        (20, 20),
        (60, 60),
        (20, 20),
    ]
    assert plan.begins()["stage 3, 60/s"] == 60


def test_a_load_of_more_than_an_hour_is_a_soak() -> None:
    told = find_load("busy-hour").model_dump(by_alias=True)
    told["stages"] = [{"requests_per_s": 1, "for_s": 3601}]
    with pytest.raises(ValidationError, match="soak instead"):
        Load.model_validate(told)


def test_a_plan_reaches_the_generator_unchanged() -> None:
    plan = plan_of(find_load("busy-hour"))
    spec = LoadSpec(
        addresses=["127.0.0.1"],
        pages=[],
        authority=None,
        plan=plan,
        timeout_s=1,
        lasts_s=1,
        users=1,
    )
    assert LoadSpec.from_line(spec.line()).plan == plan


# --- the checks ---


def judged(check: str, change: Callable[[Any], object] = lambda _: None) -> Verdict:
    there = clean()
    change(there["loads"][CLUSTER.name]["busy-hour"]["value"])
    return CHECKS[check](case(there))


def stage(**known: Any) -> Callable[[Any], object]:
    return lambda it: it["stages"][FIRST].update(known)


@pytest.mark.parametrize("check", [OFFERED, ANSWERED, IN_TIME])
def test_a_load_that_was_answered_passes(check: str) -> None:
    assert judged(check).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("check", "change", "says"),
    [
        (
            ANSWERED,
            stage(errors={"status 502": 3, "timed out": 1}, answered=996),
            f"{FIRST}: expected at most 0.1 % of its requests to fail, seen 0.40 % "
            "(3 × status 502 and 1 × timed out)",
        ),
        (IN_TIME, stage(p99_ms=501.0), "expected 99 % of answers within 500 ms, seen 501 ms"),
        (IN_TIME, stage(p99_ms=None), "expected 99 % of answers within 500 ms, seen fewer"),
    ],
)
def test_a_platform_that_does_not_hold_the_load_fails(
    check: str, change: Callable[[Any], object], says: str
) -> None:
    verdict = judged(check, change)
    assert (verdict.outcome, says in verdict.reason) == (Outcome.FAIL, True), verdict.reason


@pytest.mark.parametrize("check", [OFFERED, ANSWERED, IN_TIME])
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (stage(on_time=980), "98.0 % of the planned requests were sent on time, expected 99 %"),
        (stage(planned=0), "no request was planned"),
        (stage(limited={"shop.example": 4}), "429 Too Many Requests"),
        (lambda it: it.update(busy_percent=97.0), "used 97 % of a processor, and delayed answers"),
        (lambda it: it.update(busy_percent=None), "did not say how busy it was"),
        (lambda it: it.update(troubles=["the load ended early"]), "the load ended early"),
        (lambda it: it["stages"].clear(), "it had no stage"),
    ],
)
def test_a_generator_that_was_not_well_proves_nothing_and_blames_nobody(
    check: str, change: Callable[[Any], object], says: str
) -> None:
    def both(it: Any) -> None:
        stage(errors={"timed out": 500}, p99_ms=9000.0)(it)
        change(it)

    verdict = judged(check, both)
    assert (verdict.outcome, says in verdict.reason) == (Outcome.NOT_PROVEN, True), verdict.reason


@pytest.mark.parametrize("check", [OFFERED, ANSWERED, IN_TIME])
def test_a_load_that_was_not_offered_is_not_proven(check: str) -> None:
    there = clean()
    there["loads"][CLUSTER.name] = {"busy-hour": {"error": "no request was answered"}}
    assert CHECKS[check](case(there)).outcome is Outcome.NOT_PROVEN
    bare = replace(case(there), cluster=replace(CLUSTER, loads={}))
    assert CHECKS[check](bare).outcome is Outcome.NOT_PROVEN


# --- the probe, with a real generator before a real site ---


def test_each_stage_of_a_load_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan(0.0, (Stage("ramp", 5, 20, 2), Stage("steady", 20, 20, 2)))
    load = Load.model_validate(
        {
            **find_load("busy-hour").model_dump(by_alias=True),
            "stages": [{"requests_per_s": 20, "for_s": 5}],
        }
    )
    with site(tmp_path) as shop:
        order = replace(shop.order(), plan=plan, lasts_s=60)
        monkeypatch.setattr(loads, "find_load", lambda _: load)
        monkeypatch.setattr(loads, "load_spec", lambda *_, **__: order)
        declared = PROFILE.model_copy(update={"loads": ("busy-hour",)})
        found = observe("loads", reach(like=declared), "contabo")["busy-hour"]["value"]
    assert {name: it["planned"] for name, it in found["stages"].items()} == {
        "ramp": pytest.approx(25, abs=20),
        "steady": pytest.approx(40, abs=20),
    }
    assert sum(it["planned"] for it in found["stages"].values()) == 65
    assert all(it["answered"] == it["planned"] for it in found["stages"].values())
    assert found["troubles"] == []
    assert 0 < found["busy_percent"] < 100
    json.dumps(found)


def test_a_profile_without_a_load_and_a_load_without_an_end_prove_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bare = PROFILE.model_copy(update={"loads": ()})
    with pytest.raises(NotProven, match="declares no load"):
        observe("loads", reach(like=bare), "contabo")
    endless = PROFILE.model_copy(update={"loads": ("ingress",)})
    monkeypatch.setattr(loads, "load_spec", lambda *_, **__: object())
    found = observe("loads", reach(like=endless), "contabo")
    assert "the load ingress has no end" in found["ingress"]["error"]
