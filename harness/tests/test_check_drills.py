"""Checks of drills: nothing is proven by a fault that nobody saw, and nothing late is in time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from harness.checks import CHECKS
from harness.checks.clients import OF_DRILL
from harness.checks.drills import CHECKS as OF_DRILLS
from harness.core.model import Outcome, Verdict
from harness.tests.clean_case import case, clean
from harness.tests.clean_cluster import INGRESS
from harness.tests.clean_drills import DRILL

REAL = "every fault was seen by somebody else, and seen to be gone"
NO_MORE = "no more broke than was meant to"
WENT_ON_BESIDE = "what was not hit went on"
NOTICED = "others noticed it in time"
LOST = "the drill lost no acknowledged write"
WENT_ON = "writing went on in time"
STEADY = "the steady state came back in time"
FEW_FAILED = "no more requests failed than may"
FAST_AGAIN = "requests were answered in time again"


def judged(check: str, change: Callable[[Any], object]) -> Verdict:
    seen = clean()
    change(seen["drills"][DRILL])
    return CHECKS[check](case(seen))


def first_run(**changes: Any) -> Callable[[Any], object]:
    return lambda drill: drill["runs"][0].update(changes)


def first_fault(**changes: Any) -> Callable[[Any], object]:
    return lambda drill: drill["runs"][0]["faults"][0].update(changes)


def asked_itself(drill: Any) -> None:
    drill["targets"]["noticed_by_health_s"] = ["≤", 60]
    for run in drill["runs"]:
        run["faults"][0]["noticed"]["health"] = 61.0


def in_each_phase(**changes: Any) -> Callable[[Any], object]:
    def change(drill: Any) -> None:
        for seen in drill["runs"][0]["load"]["phases"].values():
            seen.update(changes)

    return change


def in_phase(phase: str, **changes: Any) -> Callable[[Any], object]:
    return lambda drill: drill["runs"][0]["load"]["phases"][phase].update(changes)


def again(**changes: Any) -> Callable[[Any], object]:
    return in_phase("again", **changes)


# A phase that lies within one second.
BRIEF: Mapping[str, Any] = {
    "planned": 0,
    "on_time": 0,
    "answered": 0,
    "failed": 0,
    "errors": {},
    "p50_ms": None,
    "p99_ms": None,
}


def of_load(**changes: Any) -> Callable[[Any], object]:
    return lambda drill: drill["runs"][0]["load"].update(changes)


def without(phase: str) -> Callable[[Any], object]:
    return lambda drill: drill["runs"][0]["load"]["phases"].pop(phase)


DEFECTS = [
    (FEW_FAILED, in_each_phase(answered=700, failed=300), "fail", "at most 25 %"),
    (FEW_FAILED, again(answered=0, failed=2000), "fail", "2000 of 2000 in the steady state again"),
    (FAST_AGAIN, again(p99_ms=1001.0), "fail", "within 1000 ms, seen 1001 ms"),
    (FAST_AGAIN, again(p99_ms=None), "fail", "10 of 1000 not answered at all"),
    *(
        (check, change, "not_proven", words)
        for check in (FEW_FAILED, FAST_AGAIN)
        for change, words in (
            (first_run(load=None), "no load was offered"),
            (of_load(troubles=["the load ended early"]), "ended early"),
            (in_each_phase(on_time=989), "only 3956 of 4000 planned requests began in time"),
            # A harness that was too busy is not taken for a platform that is too slow.
            (in_each_phase(on_time=900, answered=1, failed=999, p99_ms=None), "at least 99 %"),
            *((without(phase), "no request was made") for phase in OF_DRILL),
            (again(answered=0, failed=0), "no request was made in the steady state again"),
            (in_phase("healing", answered=0, failed=0), "until the steady state was back"),
            *(
                (in_phase(phase, **BRIEF), "no request was made")
                for phase in OF_DRILL
                if phase != "healing"
            ),
        )
    ),
    (REAL, first_fault(unseen="the fault is seen: not within 30 s"), "not_proven", "not within"),
    (REAL, lambda d: d["runs"][0]["faults"][0].pop("seen_s"), "not_proven", "by any observer"),
    (REAL, lambda d: d["runs"][0]["faults"][0].pop("gone_s"), "fail", "not seen to be gone"),
    (NO_MORE, first_fault(aborted="two is not ready", abort_s=2.0), "fail", "two is not ready"),
    (NO_MORE, first_fault(aborted="two is not ready", abort_s=9.0), "fail", "at most 5 s"),
    (
        WENT_ON_BESIDE,
        first_fault(bystanders={"took_s": 75.0, "failed": ["web: no answer"], "unknown": []}),
        "fail",
        "meanwhile, web: no answer",
    ),
    (
        WENT_ON_BESIDE,
        first_fault(bystanders={"took_s": 75.0, "failed": [], "unknown": ["swarm: nobody looked"]}),
        "not_proven",
        "nobody looked",
    ),
    (
        WENT_ON_BESIDE,
        lambda d: d["runs"][0]["faults"][0].pop("bystanders"),
        "not_proven",
        "not hit",
    ),
    (
        WENT_ON_BESIDE,
        first_fault(bystanders={"took_s": 75.5, "failed": [], "unknown": []}),
        "fail",
        "expected others to recover within 75 s, seen 75.5 s",
    ),
    (NOTICED, first_fault(noticed={"ceph": 22.0}), "fail", "it never did"),
    (NOTICED, first_fault(noticed={}, held_s=30.8), "not_proven", "it was there for 30 s only"),
    (
        NOTICED,
        first_fault(noticed={"ceph": 22.0}, held_s=92.0, inject_s=4.0),
        "not_proven",
        "Kubernetes to notice within 90 s, and it was there for 88 s only",
    ),
    (
        NOTICED,
        lambda d: d["runs"][0]["faults"][0].pop("noticed"),
        "not_proven",
        "no observer looked",
    ),
    (NOTICED, asked_itself, "fail", "expected the fault's target to notice within 60 s, seen 61 s"),
    (
        NO_MORE,
        first_fault(aborted="the watch broke", abort_s=2.0, ours=True),
        "not_proven",
        "broke",
    ),
    (NOTICED, first_fault(noticed={"ceph": 61.0, "kubernetes": 40.0}), "fail", "seen 61 s"),
    (STEADY, first_run(after=["an OSD is down"]), "fail", "an OSD is down"),
    (STEADY, first_run(steady_s=303.0), "not_proven", "ended after 303 s: 300 s are allowed"),
    (STEADY, first_run(whole_s=301.0), "fail", "every copy of the data in Ceph again within 300 s"),
    (STEADY, first_run(whole_s=None), "not_proven", "that was not seen"),
    *(
        (check, change, "not_proven", words)
        for check in OF_DRILLS
        for change, words in (
            (first_run(before=["Ceph is not healthy"]), "no steady state to begin with"),
            (first_run(error="the machine could not be asked"), "could not be asked"),
            (first_run(faults=[]), "nothing was broken"),
            (lambda d: d["runs"].clear(), "run on no machine"),
        )
    ),
]


@pytest.mark.parametrize(("check", "change", "outcome", "words"), DEFECTS)
def test_each_defect_of_a_drill_is_told(
    check: str, change: Callable[[Any], object], outcome: str, words: str
) -> None:
    verdict = judged(check, change)
    assert verdict.outcome == Outcome(outcome), verdict.reason
    assert words in verdict.reason


def test_a_drill_that_broke_off_is_not_proven() -> None:
    for check in OF_DRILLS:
        verdict = CHECKS[check](case(clean(), {("drills", DRILL): "the API did not answer"}))
        assert verdict.outcome is Outcome.NOT_PROVEN, check


def test_the_worst_of_all_machines_is_measured() -> None:
    verdict = judged(STEADY, first_run(steady_s=120.0))
    assert verdict.measured["steady_again_s"] == 120.0
    verdict = judged(NOTICED, first_fault(noticed={"ceph": 30.0, "kubernetes": 50.0}))
    assert verdict.measured == {"noticed_by_ceph_s": 30.0, "noticed_by_kubernetes_s": 50.0}


def test_a_drill_that_needs_no_notice_asks_for_none() -> None:
    def quiet(drill: Any) -> None:
        drill["targets"] = {"lost_count": ["=", 0], "steady_again_s": ["≤", 300]}
        drill["runs"][0]["faults"][0]["noticed"] = {}

    assert judged(NOTICED, quiet).outcome is Outcome.NOT_APPLICABLE


def test_a_drill_that_names_nothing_beside_what_it_hits_asks_for_none() -> None:
    verdict = judged(WENT_ON_BESIDE, lambda drill: drill.update(during=[]))
    assert verdict.outcome is Outcome.NOT_APPLICABLE


def test_the_longest_wait_for_the_others_is_measured() -> None:
    slow = {"took_s": 40.0, "failed": [], "unknown": []}
    verdict = judged(WENT_ON_BESIDE, first_fault(bystanders=slow))
    assert verdict.outcome is Outcome.PASS, verdict.reason
    assert verdict.measured == {"bystanders_recovered_s": 40.0}
    assert verdict.target == {"bystanders_recovered_s": 75}


def as_before(drill: Any) -> None:
    """In the words of an earlier journal."""
    for run in drill["runs"]:
        for fault in run["faults"]:
            fault["meanwhile"] = fault.pop("bystanders")
    drill["targets"]["others_after_s"] = drill["targets"].pop("bystanders_recovered_s")


def test_an_earlier_journal_is_judged_in_its_own_words() -> None:
    verdict = judged(WENT_ON_BESIDE, as_before)
    assert verdict.outcome is Outcome.PASS, verdict.reason
    assert (verdict.measured, verdict.target) == ({"others_after_s": 12.0}, {"others_after_s": 75})


def test_an_earlier_journal_without_a_number_for_the_others_has_no_target() -> None:
    def unnumbered(drill: Any) -> None:
        as_before(drill)
        del drill["targets"]["others_after_s"]

    verdict = judged(WENT_ON_BESIDE, unnumbered)
    assert (verdict.outcome, verdict.target) == (Outcome.PASS, {})


def test_a_drill_without_a_load_and_a_cluster_without_an_ingress_have_nothing_to_judge() -> None:
    why = "there is no ingress here"
    plain = case(clean())
    no_ingress = replace(plain, cluster=replace(plain.cluster, absent={"ingress": why}))
    for check in (FEW_FAILED, FAST_AGAIN):
        verdict = judged(check, lambda drill: drill.update(load=None))
        assert (verdict.outcome, verdict.reason) == (
            Outcome.NOT_APPLICABLE,
            "this drill has no load",
        )
        verdict = CHECKS[check](no_ingress)
        assert (verdict.outcome, verdict.reason) == (Outcome.NOT_APPLICABLE, why)


LIMITED = {"limited": {"auth.example": 400}, "retry_after_s": 2.0}


def test_a_limit_of_the_ingress_proves_nothing_and_is_no_failure() -> None:
    told = in_phase("during", answered=600, failed=0, **LIMITED)
    verdict = judged(FEW_FAILED, told)
    assert verdict.outcome is Outcome.NOT_PROVEN
    assert "the ingress limits our one address (429 Too Many Requests; Retry-After up to 2 s)" in (
        verdict.reason
    )
    assert "requests, to auth.example" in verdict.reason
    # How fast answers came in the steady state again is known all the same.
    assert judged(FAST_AGAIN, told).outcome is Outcome.PASS
    for p99_ms in (700.0, 4000.0, None):
        verdict = judged(FAST_AGAIN, again(answered=600, p99_ms=p99_ms, **LIMITED))
        assert verdict.outcome is Outcome.NOT_PROVEN, verdict.reason


def test_the_declared_limit_is_told() -> None:
    drill = clean()
    drill["drills"][DRILL]["runs"][0]["load"]["phases"]["again"].update(LIMITED)
    made = case(drill)
    known = replace(INGRESS, limits={"auth.example": 30})
    verdict = CHECKS[FEW_FAILED](replace(made, cluster=replace(made.cluster, ingress=known)))
    assert "the ingress limits our one address to 30/min" in verdict.reason


def test_requests_that_failed_are_not_hidden_behind_those_that_were_limited() -> None:
    few = in_each_phase(answered=10, failed=10, limited={"auth.example": 980})
    assert judged(FEW_FAILED, few).outcome is Outcome.NOT_PROVEN
    many = in_each_phase(answered=10, failed=400, limited={"auth.example": 590})
    verdict = judged(FEW_FAILED, many)
    assert (verdict.outcome, verdict.measured["failed_percent"]) == (Outcome.FAIL, 40.0)


def test_a_phase_in_which_all_were_limited_is_no_phase_without_requests() -> None:
    told = in_phase("during", answered=0, failed=0, **LIMITED)
    verdict = judged(FEW_FAILED, told)
    assert verdict.outcome is Outcome.NOT_PROVEN
    assert "no request was made" not in verdict.reason


def test_the_worst_load_of_all_machines_is_measured() -> None:
    verdict = judged(FEW_FAILED, in_each_phase(answered=950, failed=50))
    assert (verdict.measured, verdict.target) == ({"failed_percent": 5.0}, {"failed_percent": 25})
    verdict = judged(FAST_AGAIN, again(p99_ms=700.0))
    assert verdict.measured == {"again_p99_ms": 700.0}


def test_what_is_steady_again_within_a_second_needs_no_request_until_then() -> None:
    for check in (FEW_FAILED, FAST_AGAIN):
        verdict = judged(check, in_phase("healing", **BRIEF))
        assert verdict.outcome is Outcome.PASS, verdict.reason


def test_the_ledger_is_judged_by_the_drills_own_numbers() -> None:
    seen = clean()
    seen["drills"][DRILL]["targets"]["outage_s"] = ["≤", 0.001]
    assert CHECKS[WENT_ON](case(seen)).outcome is Outcome.FAIL
    seen["drills"][DRILL]["targets"]["outage_s"] = ["≤", 900]
    assert CHECKS[WENT_ON](case(seen)).outcome is Outcome.PASS


def test_a_fault_whose_injection_failed_is_no_failure_of_whoever_should_have_noticed() -> None:
    def broke_off(drill: Any) -> None:
        run = drill["runs"][0]
        run["error"] = "the command ended with 1"
        run["faults"][0] = {"fault": "power-off", "target": "one", "aborted": None, "at_once": True}

    for check in OF_DRILLS:
        verdict = judged(check, broke_off)
        assert verdict.outcome is Outcome.NOT_PROVEN, verdict.reason
        assert "the command ended with 1" in verdict.reason


def test_a_cluster_without_ceph_and_a_journal_of_before_have_no_copies_to_wait_for() -> None:
    def without(drill: Any) -> None:
        for run in drill["runs"]:
            del run["whole_s"]

    assert judged(STEADY, without).outcome is Outcome.PASS
    before = judged(STEADY, lambda drill: drill["targets"].pop("whole_again_s"))
    assert (before.outcome, "whole_again_s" in before.target) == (Outcome.PASS, False)
