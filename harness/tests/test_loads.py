"""Loads in stages: when each request is due, a real generator, and what comes of its answers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.checks import CHECKS
from harness.core.errors import NotProven, Refused
from harness.core.model import Outcome, Verdict
from harness.drill import service as drill
from harness.load.running import offer, offering
from harness.load.spec import LoadSpec, Plan, Stage, plan_of, staged_spec
from harness.settings import Profile
from harness.settings.loads import Load, find_load
from harness.tests.clean_case import case, clean
from harness.tests.clean_cluster import CLUSTER
from harness.tests.probe_rig import PROFILE
from harness.tests.stage import session
from harness.tests.test_load_comparison import service
from harness.tests.visited import HERE, SITE, site

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
    )
    assert LoadSpec.from_line(spec.line()).plan == plan


# --- the checks ---


def judged(check: str, change: Callable[[Any], object] = lambda _: None) -> Verdict:
    there = clean()
    change(there["loads"][CLUSTER.name]["busy-hour"]["value"])
    return CHECKS[check](case(there))


def stage(**known: Any) -> Callable[[Any], object]:
    return lambda it: it["stages"][FIRST].update(known)


@pytest.mark.parametrize("p99_ms", [40.0, 900.0])
def test_a_p99_of_fewer_than_a_hundred_requests_is_said_to_be_the_slowest_one(
    p99_ms: float,
) -> None:
    few = {"planned": 40, "on_time": 40, "answered": 40, "p99_ms": p99_ms}
    verdict = judged(IN_TIME, stage(**few))
    assert verdict.outcome is (Outcome.PASS if p99_ms < 500 else Outcome.FAIL)
    assert "of fewer than 100 requests p99 is the slowest one" in verdict.reason
    assert f"{FIRST}: 40 requests" in verdict.reason
    assert "slowest" not in judged(IN_TIME, stage(answered=100, planned=100, on_time=100)).reason


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


# --- a run of the gate, with a real generator before a real site ---


def offered(tmp_path: Path, like: Profile, *, allowed: bool = False) -> Any:
    """What a run observed of its loads, as it looks after the journal."""
    there = service(like, allowed=allowed)
    run_state = session(tmp_path / "run", cast(Any, there), lambda run: run.offer_loads())
    (seen,) = run_state.observations("loads").values()
    assert seen.error is None, seen.error
    return seen.value


def of(**changes: Any) -> Load:
    return Load.model_validate({**find_load("busy-hour").model_dump(by_alias=True), **changes})


@pytest.mark.slow
def test_each_stage_of_a_load_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan(0.0, (Stage("ramp", 5, 20, 2), Stage("steady", 20, 20, 2)), 1)
    with site(tmp_path) as shop:
        order = replace(shop.order(), plan=plan, lasts_s=60)
        monkeypatch.setattr(drill, "staged_spec", lambda *_: order)
        found = offered(tmp_path, PROFILE)["busy-hour"]["value"]
    assert {name: it["planned"] for name, it in found["stages"].items()} == {
        "ramp": pytest.approx(25, abs=20),
        "steady": pytest.approx(40, abs=20),
    }
    assert sum(it["planned"] for it in found["stages"].values()) == pytest.approx(65, abs=1)
    assert found["whole"]["answered"] == found["whole"]["planned"] == len(shop.asked)
    assert sum(it["planned"] for it in found["course"]["moments"]) == found["whole"]["planned"]
    assert found["troubles"] == []
    assert 0 < found["busy_percent"] < 100
    json.dumps(found)


def test_a_profile_without_a_load_and_a_load_without_an_end_prove_nothing(tmp_path: Path) -> None:
    bare = PROFILE.model_copy(update={"loads": ()})
    there = service(bare, allowed=False)
    with pytest.raises(NotProven, match="declares no load"):
        there.offer_loads(cast(Any, None))
    endless = PROFILE.model_copy(update={"loads": ("ingress",)})
    found = offered(tmp_path, endless)
    assert "the load ingress has no end" in found["ingress"]["error"]


# --- journeys ---

ORDER: dict[str, Any] = {
    "method": "POST",
    "path": "/order",
    "body": {"of": "{run}-{number}"},
    "status": 201,
}
WAY = {
    "steps": [
        {"path": "/"},
        {"path": "/cart/{run}-{number}", "think_s": [0.1, 0.3], "host": "api.example"},
        ORDER,
    ]
}


def journeys(**changes: Any) -> Load:
    return of(paths=[], journeys=[WAY], **changes)


def sites(*hosts: str) -> Profile:
    assert PROFILE.ingress is not None
    told = {**PROFILE.ingress.model_dump(), "sites": hosts}
    return PROFILE.model_copy(update={"ingress": PROFILE.ingress.model_validate(told)})


@pytest.mark.slow
def test_a_visitor_takes_the_steps_of_a_journey_on_one_site(tmp_path: Path) -> None:
    with site(tmp_path, tls=False) as shop:
        spec = staged_spec(journeys(), sites(SITE, "other.example"))
        plan = Plan(0.0, (Stage("steady", 10, 10, 3),), 7)
        spec = replace(spec, addresses=[HERE], port=shop.port, plan=plan, timeout_s=2)
        found = offer(spec)
    assert found.whole.planned == pytest.approx(90, abs=6)
    assert found.whole.on_time == found.whole.planned
    # The site answers with 200, and the order has to be 201.
    assert found.whole.errors == {"status 200": found.whole.planned - found.whole.answered}
    assert found.whole.errors["status 200"] == pytest.approx(30, abs=2)
    by_host = Counter(host.partition(":")[0] for _, host, _, _ in shop.asked)
    assert set(by_host) == {SITE, "other.example", "api.example"}
    carts = [path for _, _, path, _ in shop.asked if path.startswith("/cart/")]
    orders = [body for method, _, _, body in shop.asked if method == "POST"]
    assert sorted(carts) == sorted(f"/cart/{json.loads(it)['of']}" for it in orders)
    assert len(set(carts)) == len(carts)


@pytest.mark.slow
def test_a_visitor_whose_request_failed_does_not_go_on_and_the_rest_counts(
    tmp_path: Path,
) -> None:
    with site(tmp_path, tls=False) as shop:
        shop.broken = "/cart/"
        spec = staged_spec(journeys(), sites(SITE))
        plan = Plan(0.0, (Stage("steady", 10, 10, 3),), 7)
        order = replace(spec, addresses=[HERE], port=shop.port, plan=plan, timeout_s=2)
        found = offer(order)
    failed = found.whole.errors
    assert failed["status 500"] == failed["after a failed request"] == found.whole.answered
    # No two visitors ask for the same, in no two runs.
    (run,) = {path.split("/")[2].partition("-")[0] for _, _, path, _ in shop.asked if path != "/"}
    assert len(run) == 8
    assert found.whole.on_time == found.whole.planned
    assert not any(method == "POST" for method, *_ in shop.asked)


@given(st.integers(0, 10_000), st.integers(0, 99))
def test_the_same_seed_draws_the_same_journeys_and_pauses(visitor: int, seed: int) -> None:
    light, heavy = {**WAY, "weight": 1}, {"steps": [{"path": "/"}], "weight": 9}
    spec = staged_spec(of(paths=[], journeys=[light, heavy], seed=seed), sites(SITE))
    again = LoadSpec.from_line(spec.line())
    assert (again.journeys, again.plan) == (spec.journeys, spec.plan)
    way, dues = spec.way_of(visitor), spec.dues(visitor)
    assert (again.way_of(visitor), again.dues(visitor)) == (way, dues)
    assert len(way) == len(dues)
    for page, (before, after) in zip(way[1:], pairwise(dues), strict=True):
        if after < float("inf"):
            assert page.think_s[0] <= round(after - before, 6) <= page.think_s[1]


def test_journeys_are_taken_as_often_as_they_weigh() -> None:
    light, heavy = {**WAY, "weight": 1}, {"steps": [{"path": "/"}], "weight": 9}
    spec = staged_spec(of(paths=[], journeys=[light, heavy]), sites(SITE))
    few = sum(len(spec.way_of(it)) == 3 for it in range(1000))
    assert 70 <= few <= 130


def test_a_load_that_writes_needs_leave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drill, "find_load", lambda _: journeys())
    with pytest.raises(NotProven, match="a declared load changes something: it needs"):
        offered(tmp_path, PROFILE)
    with pytest.raises(Refused, match="does not allow disruption"):
        offered(tmp_path / "allowed", PROFILE, allowed=True)
    reads = {"steps": [{**ORDER, "writes": False}]}
    assert not of(paths=[], journeys=[reads]).changes_something


@pytest.mark.slow
def test_a_visitor_whom_the_ingress_limited_is_limited_on_its_whole_way(tmp_path: Path) -> None:
    with site(tmp_path, tls=False) as shop:
        spec = staged_spec(journeys(), sites(SITE))
        plan = Plan(0.0, (Stage("steady", 10, 10, 3),), 7)
        order = replace(spec, addresses=[HERE], port=shop.port, plan=plan, timeout_s=2)
        with offering(order, tmp_path / "load") as load:
            shop.status = 429
            load.finish()
            results = load.results()
    assert results is not None
    seen = results.cut(results.began, results.ended).seen
    assert set(seen.errors) <= {"status 200"}
    assert set(seen.limited) <= {SITE, "api.example"}
    assert seen.limited.total() >= 30  # how many came before the limit is a matter of the computer


def test_a_load_has_paths_or_journeys_and_no_more_than_its_processes_can_send() -> None:
    with pytest.raises(ValidationError, match="one of both"):
        of(paths=[])
    with pytest.raises(ValidationError, match="one of both"):
        of(journeys=[WAY])
    with pytest.raises(ValidationError, match="a process sends at most 200 requests a second"):
        journeys(requests_per_s=100)
    spec = staged_spec(journeys(), sites(SITE))
    assert spec.lasts_s > spec.plan.lasts_s + spec.thinks_s
