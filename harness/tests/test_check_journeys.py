"""What the checks make of a recorded journey."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.checks import CHECKS
from harness.checks.journeys import CHECKS as OURS
from harness.core.declared_platform import JourneyDeclared
from harness.core.model import Outcome, Verdict
from harness.tests.clean_case import case, clean
from harness.tests.clean_cluster import CLUSTER, GIB, JOURNEY_ACTS

DONE, IN_TIME = "every step of the journey is done", "the instance is there in time"
MADE, GONE = "what it made is as it was asked for", "the deletion leaves nothing behind"
REMOVED = "the customer is removed again"
PAGES = "the pages report no error"
ACTS = JOURNEY_ACTS["instance"]
CREATE = ACTS.index("create")
Defect = Callable[[Any], object]


def judge(check: str, defect: Defect = lambda _: None) -> Verdict:
    seen = clean()
    defect(seen["journey-instance"][CLUSTER.name])
    return CHECKS[check](case(seen))


def made(**known: Any) -> Defect:
    return lambda walk: walk["steps"][CREATE]["made"].update(known)


def claim(**known: Any) -> Defect:
    def change(walk: Any) -> None:
        (it,) = walk["steps"][CREATE]["made"]["claims"].values()
        it["value"].update(known)

    return change


def stopped(at: int, *, at_fault: bool) -> Defect:
    def change(walk: Any) -> None:
        del walk["steps"][at:]
        walk["stopped"] = {"does": ACTS[at], "says": "seen 500", "at_fault": at_fault}
        walk["leftovers"] = None

    return change


@pytest.mark.parametrize("check", OURS)
def test_a_journey_in_order_passes(check: str) -> None:
    assert judge(check).outcome is Outcome.PASS


@pytest.mark.parametrize("check", OURS)
def test_without_a_journey_nothing_is_proven(check: str) -> None:
    seen = clean()
    del seen["journey-instance"]
    assert CHECKS[check](case(seen)).outcome is Outcome.NOT_PROVEN


@pytest.mark.parametrize(
    ("check", "defect", "says"),
    [
        (DONE, stopped(3, at_fault=True), "cutover-1f2e3d4c: back up: seen 500"),
        (
            PAGES,
            lambda walk: walk["shown"].update(troubles=["GET http://app.example/a.js: status 404"]),
            "Chrome/156: expected no error on a page, seen GET http://app.example/a.js: status 404",
        ),
        (
            IN_TIME,
            lambda walk: walk["steps"][CREATE].update(took_s=200.0),
            "expected within 3 min, seen 3.3 min",
        ),
        (IN_TIME, stopped(CREATE, at_fault=True), "create: seen 500"),
        (MADE, made(workloads=[]), "expected one new workload of the declared name, seen none"),
        (MADE, made(workloads=["a", "b"]), "seen a and b"),
        (MADE, made(ready=0), "expected ready replicas, seen 0 of 1"),
        (MADE, made(wanted=0, ready=0), "expected ready replicas, seen 0 of 0"),
        (MADE, made(services=[]), "expected a Service that selects its pods, seen none"),
        (MADE, made(hosts=[]), "expected an Ingress for acme.example that leads to it, seen none"),
        (MADE, made(claims={}), "expected a claim, seen none in its pod"),
        (MADE, claim(requested_bytes=20 * GIB), "expected size 10 GiB, seen 20 GiB"),
        (MADE, claim(access_modes=["ReadWriteMany"]), "expected access mode ReadWriteOnce"),
        (MADE, claim(storage_class="local-path"), "expected class rook-cephfs, seen local-path"),
        (MADE, claim(phase="Pending"), "expected phase Bound, seen Pending"),
        (MADE, claim(volume_phase=""), "expected phase of its volume Bound, seen no volume"),
        (MADE, claim(room_bytes={"value": 500 * GIB}), "expected a quota of 10 GiB, a pod sees"),
        (MADE, claim(room_bytes={"value": GIB}), "a pod sees 1 GiB"),
        (MADE, stopped(CREATE, at_fault=True), "create: seen 500"),
        (
            GONE,
            lambda walk: walk["leftovers"].update(value=["database odoo_acme_1f2e3d4c"]),
            "database odoo_acme_1f2e3d4c: expected it to go with the instance",
        ),
        (GONE, stopped(len(ACTS) - 1, at_fault=True), "delete: seen 500"),
    ],
)
def test_what_the_platform_does_wrong_fails_and_says_where(
    check: str, defect: Defect, says: str
) -> None:
    verdict = judge(check, defect)
    assert (verdict.outcome, says in verdict.reason) == (Outcome.FAIL, True), verdict.reason


@pytest.mark.parametrize(
    ("check", "defect", "says"),
    [
        (DONE, stopped(3, at_fault=False), "it ended there: back up"),
        (IN_TIME, stopped(CREATE, at_fault=False), "it ended there: create"),
        (MADE, stopped(0, at_fault=True), "it ended there: sign up"),
        (MADE, lambda walk: walk["steps"][CREATE].pop("made"), "it was not looked at"),
        (MADE, claim(room_bytes={"error": "no df"}), "its quota: no df"),
        (GONE, stopped(3, at_fault=True), "it ended there: back up"),
        (GONE, lambda walk: walk.update(leftovers={"error": "no answer"}), "no answer"),
        (REMOVED, lambda walk: walk.update(left={"error": "no answer"}), "what is left is not"),
        (REMOVED, lambda walk: walk["left"].update(value=["role x"]), "remove it by hand: role x"),
    ],
)
def test_what_could_not_be_seen_is_not_proven(check: str, defect: Defect, says: str) -> None:
    verdict = judge(check, defect)
    assert (verdict.outcome, says in verdict.reason) == (Outcome.NOT_PROVEN, True), verdict.reason


def test_only_known_leftovers_are_counted() -> None:
    assert judge(GONE).measured == {"leftovers_count": 0}
    assert judge(GONE, stopped(3, at_fault=True)).measured == {}


@given(st.lists(st.sampled_from(ACTS), max_size=12))
def test_a_journey_proves_something_only_with_every_needed_step_in_order(acts: list[str]) -> None:
    """A restore without a change before and an answer after it brings nothing to light."""
    declared = JourneyDeclared(acts=tuple(acts))
    cluster = replace(CLUSTER, journeys={"instance": declared})
    verdict = CHECKS[DONE](replace(case(clean()), cluster=cluster))
    needed = ["create", "change", "back up", "change", "restore", "use", "stop", "start", "use"]
    left = iter(acts)
    is_whole = all(act in left for act in [*needed, "delete"])
    assert (verdict.outcome is Outcome.PASS) == is_whole


def test_a_step_that_is_left_out_of_the_profile_is_named() -> None:
    declared = JourneyDeclared(acts=tuple(it for it in ACTS if it != "restore"))
    cluster = replace(CLUSTER, journeys={"instance": declared})
    verdict = CHECKS[DONE](replace(case(clean()), cluster=cluster))
    assert verdict.outcome is Outcome.NOT_PROVEN
    assert "the profile declares no step “restore” where it is needed" in verdict.reason


@pytest.mark.parametrize("shown", [None, {"browser": "Chrome/156", "visits": 0, "troubles": []}])
def test_a_journey_without_a_page_proves_nothing_of_pages(shown: Any) -> None:
    verdict = judge(PAGES, lambda walk: walk.update(shown=shown))
    assert verdict.outcome is Outcome.NOT_PROVEN
    assert "no page was visited" in verdict.reason


def test_an_error_that_is_known_with_its_reason_counts_for_nothing() -> None:
    declared = replace(
        CLUSTER.journeys["instance"], known_errors={"GET */user/auth/me: status 401": "logged in?"}
    )
    cluster = replace(CLUSTER, journeys={**CLUSTER.journeys, "instance": declared})
    seen = clean()
    shown = seen["journey-instance"][CLUSTER.name]["shown"]
    shown["troubles"] = ["GET http://api.example/user/auth/me: status 401"]
    assert CHECKS[PAGES](replace(case(seen), cluster=cluster)).outcome is Outcome.PASS
    shown["troubles"].append("console: lost")
    assert CHECKS[PAGES](replace(case(seen), cluster=cluster)).outcome is Outcome.FAIL
