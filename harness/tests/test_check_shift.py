"""W9-SHIFT and W9-ROLLBACK: what a move proves, what fails, and what proves nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.checks import CHECKS
from harness.checks.shift_answers import judge, shows
from harness.core.model import Outcome, Verdict
from harness.core.sprt import Sprt
from harness.facts.shift import Quality, Rules, Side, Window
from harness.tests.clean_case import case, clean
from harness.tests.clean_cluster import CLUSTER
from harness.tests.clean_shift import shift_step, side

SHARES = "every step has the share that was set"
GOOD = "the new platform answers as well as the old one at every step"
KEPT = "no one is logged out on the way"
LOST = "the move loses no acknowledged write"
BACK = "the share comes back in time from every step"
NEEDS = "what the way back needs is there"
ASKED = "the point of no return is not passed unasked"
RULES = Rules(
    test=Sprt(p0=0.001, p1=0.01, alpha=0.01, beta=0.01, most=20_000),
    p99_ratio=1.5,
    p99_floor_ms=100.0,
)
Change = Callable[[Any], object]


def judged(check: str, change: Change = lambda _: None) -> Verdict:
    seen = clean()
    change(seen["shift"][CLUSTER.name])
    return CHECKS[check](case(seen))


def fails_at(number: int) -> Change:
    """Every third answer of the new platform fails at this step; the share goes back."""

    def change(it: Any) -> None:
        step = it["steps"][number]
        step["window"]["target"] = {**side(30, None), "errors_at": list(range(0, 30, 3))}
        step["window"]["target"]["errors"] = {"status 502": 10}
        step["quality"] = "sick"
        it["steps"] = it["steps"][: number + 1]
        it["returns"] = [it["returns"][1 - number] | {"after": shift_step(0)["window"]}]
        it["stopped"] = "it failed"

    return change


def comes_back(left: int | None) -> Change:
    """The order was to go back, and this share was left."""
    return lambda it: it.update(ordered=[0], rehearsal=False, before=None, steps=[], left=left)


def goes_back_at_once(it: Any) -> None:
    fails_at(1)(it)
    it["steps"][1].update(shown_s=None)


def errors_go_on(it: Any) -> None:
    fails_at(0)(it)
    it["returns"][0]["after"]["front"] = {**side(40), "errors_at": list(range(0, 40, 2))}


def old_one_fails(it: Any) -> None:
    it["steps"][0]["window"]["source"] |= {"errors_at": [1, 2, 3, 4], "errors": {"status 500": 4}}


def cut_off(it: Any) -> None:
    """This computer loses its network in a step: no command and no answer comes through."""
    fails_at(1)(it)
    lost = {**side(40, None), "errors_at": list(range(40)), "errors": {"Unreachable": 40}}
    after = {**shift_step(0)["window"], "front": lost, "source": side(0), "target": side(0)}
    it["returns"][0].update(set_s=None, back_s=None, after=after)


def never_back(it: Any) -> None:
    fails_at(1)(it)
    it["returns"].clear()


def ended_by_hand(it: Any) -> None:
    never_back(it)
    it.update(stopped="stopped by hand", by_hand=True)


def front_is_gone(it: Any) -> None:
    cut_off(it)
    it["returns"][0].update(set_s=0.4)


def limits_the_front(it: Any) -> None:
    """Half of the requests go through Traefik to a second one, with 60 a second from one address.

    That is a limit for each customer, and the second one sees the first one's address alone. The
    numbers are those of Traefik 3.6, asked a hundred times a second for fifteen seconds.
    """
    front, source, target = side(1393, 402.9), side(773, 449.6), side(620, 347.2)
    step = {**shift_step(50), "reference_p99_ms": 449.6}
    step["window"] |= {"front": front, "source": source, "target": target, "limited": 146}
    it.update(ordered=[50], steps=[step], returns=[{**it["returns"][0], "from_share": 50}])


def limits_more(it: Any) -> None:
    """The same front, when most of what goes to the second one is limited."""
    limits_the_front(it)
    it["steps"][0]["window"] |= {"front": side(873), "target": side(100), "limited": 666}


def writes(source: int, target: int, *failed: str, nameless: int = 0, limited: int = 0) -> Change:
    """So many answers to writes through the front; two at once ``failed`` on these sides."""
    sides = {"source": side(source, None), "target": side(target, None)}
    sides["front"] = side(source + target + nameless, None)
    for name in failed:
        sides[name] |= {"errors_at": [0, 1], "errors": {"status 403": 2}}
    window = {**shift_step(0)["window"], **sides, "nameless": nameless, "limited": limited}
    return lambda it: it.update(writes=window)


def never_decided_and_then_refused(it: Any) -> None:
    """One write of 256 fails, between healthy and sick; then the new platform refuses each."""
    writes(400, 21_000)(it)
    errors_at = [*range(0, 20_224, 256), *range(20_224, 21_224)]
    for name in ("front", "target"):
        it["writes"][name] |= {"errors_at": [at for at in errors_at if at < 21_000]}
    it["writes"]["front"] |= {"errors_at": errors_at, "errors": {"status 403": len(errors_at)}}


def stays_at(left: int | None) -> Change:
    """A move on command, whose every step was good."""
    return lambda it: it.update(rehearsal=False, returns=[], left=left)


def too_few(it: Any) -> None:
    it["steps"][0]["window"]["target"] = side(507)


def slow(it: Any) -> None:
    it["steps"][0]["window"]["target"]["p99_ms"] = 101.0


def stopped_early(it: Any) -> None:
    it["steps"], it["stopped"] = it["steps"][:1], "stopped by hand"


@pytest.mark.parametrize(
    ("check", "change", "outcome", "says"),
    [
        (SHARES, lambda it: it["steps"][0].update(reads=0), Outcome.FAIL, "reads 0 % after 10 %"),
        (
            SHARES,
            lambda it: it["steps"][0]["window"].update(target=side(1000)),
            Outcome.FAIL,
            "10 %: expected 10 % of the answers, seen 1.1 %",
        ),
        (
            SHARES,
            lambda it: it["steps"][0]["window"].update(nameless=3),
            Outcome.NOT_PROVEN,
            "3 good answers name no side",
        ),
        (SHARES, lambda it: it["steps"][0].update(shown_s=None), Outcome.FAIL, "expected 10 %"),
        (SHARES, limits_more, Outcome.NOT_PROVEN, "seen 11.5 %, without 429"),
        (SHARES, stays_at(100), Outcome.PASS, "each share was measured"),
        (SHARES, stays_at(50), Outcome.FAIL, "the front: expected 100 % at the end, seen 50 %"),
        (SHARES, stays_at(None), Outcome.NOT_PROVEN, "100 % at the end: it could not be asked"),
        (SHARES, goes_back_at_once, Outcome.PASS, "each share was measured"),
        (GOOD, fails_at(1), Outcome.FAIL, "seen 10 of 30 failed (status 502: 10)"),
        (GOOD, fails_at(0), Outcome.FAIL, "0 % was back after 2.0 s"),
        (GOOD, errors_go_on, Outcome.NOT_PROVEN, "errors went on"),
        (GOOD, writes(400, 400), Outcome.PASS, "as good as the old one's"),
        (
            GOOD,
            writes(400, 400, "front", "target"),
            Outcome.FAIL,
            "front fail at the new platform: 2 of 400 failed (status 403: 2); at the old one 0 of",
        ),
        (
            GOOD,
            writes(400, 400, "front", "source", "target"),
            Outcome.NOT_PROVEN,
            "writes through the front fail at the old platform",
        ),
        (GOOD, writes(400, 400, "front"), Outcome.NOT_PROVEN, "their answers name no side"),
        (
            GOOD,
            writes(400, 200, limited=200),
            Outcome.NOT_PROVEN,
            "writes through the front are limited: 200 of 800 got 429",
        ),
        (
            GOOD,
            writes(400, 0, nameless=400),
            Outcome.NOT_PROVEN,
            "no answer of the new platform: 400 are of the old one, 400 name no side",
        ),
        (
            GOOD,
            never_decided_and_then_refused,
            Outcome.NOT_PROVEN,
            "writes through the front are neither healthy nor sick after 20000 answers: 1079 of",
        ),
        (GOOD, limits_the_front, Outcome.NOT_PROVEN, "146 of 1539 requests got 429"),
        (GOOD, cut_off, Outcome.NOT_PROVEN, "this computer has no way to the front"),
        (BACK, cut_off, Outcome.NOT_PROVEN, "this computer has no way to the front"),
        (BACK, front_is_gone, Outcome.FAIL, "0 % was never measured again"),
        (BACK, lambda it: it.update(left=10), Outcome.FAIL, "expected 0 % at the end, as before"),
        (BACK, lambda it: it.update(left=None), Outcome.NOT_PROVEN, "it could not be asked"),
        (BACK, comes_back(left=10), Outcome.FAIL, "expected 0 % at the end, seen 10 %"),
        (BACK, comes_back(left=None), Outcome.NOT_PROVEN, "it could not be asked"),
        (GOOD, ended_by_hand, Outcome.NOT_PROVEN, "the way back was not measured"),
        (GOOD, never_back, Outcome.FAIL, "the share did not go back"),
        (GOOD, old_one_fails, Outcome.NOT_PROVEN, "the old platform failed itself: 4 of 90000"),
        (GOOD, too_few, Outcome.NOT_PROVEN, "without a failure it takes 508"),
        (GOOD, slow, Outcome.FAIL, "within 100 ms, seen 101 ms"),
        (GOOD, stopped_early, Outcome.NOT_PROVEN, "100 %: it was not reached: stopped by hand"),
        (
            KEPT,
            lambda it: it["sessions"].update(lost={"visitor 3": "at 10 %: status 302"}),
            Outcome.FAIL,
            "visitor 3: logged out at 10 %: status 302",
        ),
        (KEPT, lambda it: it.update(sessions=None), Outcome.NOT_PROVEN, "declares none"),
        (
            KEPT,
            lambda it: it["sessions"].update(silent=["visitor 1"]),
            Outcome.NOT_PROVEN,
            "no good answer after the last change",
        ),
        (LOST, lambda it: it["ledger"].clear(), Outcome.NOT_PROVEN, "nothing was looked at"),
        (
            LOST,
            lambda it: next(iter(it["ledger"].values())).update(lost=1),
            Outcome.FAIL,
            "seen 1 lost",
        ),
        (BACK, lambda it: it["returns"][0].update(back_s=30.5), Outcome.FAIL, "seen 30.5 s"),
        (BACK, lambda it: it["returns"][0].update(back_s=None), Outcome.FAIL, "never measured"),
        (
            BACK,
            lambda it: it["returns"][0].update(left_behind=["visitor 2"]),
            Outcome.FAIL,
            "visitor 2 is still served by the new platform",
        ),
        (
            BACK,
            lambda it: it["returns"][0].update(unserved=["visitor 2"]),
            Outcome.NOT_PROVEN,
            "visitor 2 got no good answer once 0 % was back",
        ),
        (
            BACK,
            lambda it: it["sessions"].update(lost={"visitor 3": "at 10 %: status 302"}),
            Outcome.NOT_PROVEN,
            "visitor 3: logged out at 10 %: status 302, and not followed back",
        ),
        (
            BACK,
            lambda it: it.update(sessions={"error": "visitor 1 did not get its page"}),
            Outcome.NOT_PROVEN,
            "the visitors: visitor 1 did not get its page",
        ),
        (BACK, lambda it: it["returns"].pop(), Outcome.NOT_PROVEN, "from there was not rehearsed"),
        (
            BACK,
            lambda it: it.update(returns=[], rehearsal=False),
            Outcome.NOT_PROVEN,
            "it was not taken",
        ),
        (
            NEEDS,
            lambda it: it["no_return"]["needs"].update({"the registry answers": "status 502"}),
            Outcome.FAIL,
            "the registry answers: status 502",
        ),
        (
            NEEDS,
            lambda it: it["no_return"]["needs"].clear(),
            Outcome.NOT_PROVEN,
            "declares no needs",
        ),
        (
            ASKED,
            lambda it: it["no_return"]["counts"]["first invoice"].update(after=8),
            Outcome.FAIL,
            "first invoice: expected none on the way, seen 1",
        ),
        (
            ASKED,
            lambda it: it["no_return"]["counts"].update({"first mail": {"error": "no route"}}),
            Outcome.NOT_PROVEN,
            "first mail: no route",
        ),
        (ASKED, lambda it: it["no_return"]["counts"].clear(), Outcome.NOT_PROVEN, "counts nothing"),
    ],
)
def test_what_went_wrong_is_said(check: str, change: Change, outcome: Outcome, says: str) -> None:
    verdict = judged(check, change)
    assert (verdict.outcome, says in verdict.reason) == (outcome, True), verdict.reason


def test_a_clean_rehearsal_proves_all_of_it_with_its_numbers() -> None:
    found = {check: judged(check) for check in (SHARES, GOOD, KEPT, LOST, BACK, NEEDS, ASKED)}
    assert {it.outcome for it in found.values()} == {Outcome.PASS}
    assert found[BACK].measured == {"back_s": 2.0}
    assert found[KEPT].measured == {"sessions_lost_count": 0.0}
    assert found[GOOD].measured == {"failed_count": 0.0, "answers_count": 110_000.0}


def test_sessions_that_ended_of_age_are_counted_apart() -> None:
    verdict = judged(KEPT, lambda it: it["sessions"].update(renewed=20))
    assert (verdict.outcome, verdict.measured) == (Outcome.PASS, {"sessions_lost_count": 0.0})
    assert "20 times a session ended of age, as declared" in verdict.reason
    verdict = judged(KEPT, lambda it: it.update(writers_renewed=4))
    assert (verdict.outcome, "; 4 times a writer's did" in verdict.reason) == (Outcome.PASS, True)


def test_an_invoice_after_an_agreement_is_no_failure() -> None:
    def agreed(it: Any) -> None:
        it["no_return"]["counts"]["first invoice"].update(after=8)
        it["no_return"].update(agreed="R. Winter")

    assert judged(ASKED, agreed).outcome is Outcome.PASS


def test_a_command_that_goes_back_is_judged_by_its_one_way_back() -> None:
    def back(it: Any) -> None:
        it.update(ordered=[0], rehearsal=False, before=None, steps=[], returns=it["returns"][:1])

    assert judged(BACK, back).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("share", "target", "answers", "expected"),
    [
        (0, 0, 100, True),
        (0, 1, 100, False),
        (1, 0, 500, False),
        (1, 5, 500, True),
        (1, 50, 500, False),
        (50, 50, 100, True),
        (50, 10, 100, False),
        (100, 100, 100, True),
        (100, 99, 100, False),
        (10, 0, 0, False),
    ],
)
def test_a_share_shows_or_not(share: int, target: int, answers: int, expected: bool) -> None:
    assert shows(share, target, answers) is expected


SIDES = st.builds(
    lambda answers, errors: Side(
        answers=answers,
        errors_at=tuple(sorted({it for it in errors if it < answers})),
        errors={},
        p99_ms=40.0,
    ),
    st.integers(0, 1500),
    st.sets(st.integers(0, 1500), max_size=12),
)


@given(st.sampled_from([1, 10, 50, 100]), SIDES, SIDES, SIDES)
def test_a_good_step_has_enough_healthy_answers_of_the_new_platform(
    share: int, front: Side, source: Side, target: Side
) -> None:
    window = Window(lasted_s=1.0, front=front, source=source, target=target)
    found = judge(share, window, RULES, 40.0).quality
    if found is Quality.GOOD:
        assert target.answers >= RULES.test.least <= front.answers
    if found is Quality.SICK:
        assert target.errors_at or front.errors_at
