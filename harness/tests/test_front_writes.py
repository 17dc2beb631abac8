"""Writes through the front: what a move loses or doubles on the way is counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import ValidationError

from harness.checks import CHECKS
from harness.core.errors import NeverSent, NotProven
from harness.core.model import Outcome
from harness.drill.context import DrillContext, Options
from harness.drill.shift import move_traffic
from harness.facts.schema import dump
from harness.facts.shift import Shift
from harness.move.session import Session
from harness.move.shift import Order
from harness.move.writes import FrontWriter, remove
from harness.settings.shift import Writes
from harness.tests.clean_case import case, clean
from harness.tests.clean_cluster import CLUSTER
from harness.tests.moving import client
from harness.tests.test_way_back import Context
from harness.tests.two_platforms import Platforms, two_platforms

LOST, TWICE = "the move loses no acknowledged write", "the move makes no write twice"
WRITES: dict[str, Any] = {
    "send": {
        "host": "app.example.com",
        "path": "/writes",
        "body": {"text": "{write}"},
        "status": 201,
        "says": "stored",
    },
    "read": {"method": "GET", "host": "app.example.com", "path": "/writes"},
    "remove": {"method": "DELETE", "host": "app.example.com", "path": "/writes/{writes}"},
}
ALLOWED = Options(allowed=True, seed=1)


def moved(tmp_path: Path, change: Callable[[Platforms], object] = lambda _: None) -> Shift:
    """A move to 100 % whose writes go through the front; the platforms list nothing afterwards."""
    with two_platforms(tmp_path) as platforms:
        change(platforms)
        told = platforms.declared(writes=WRITES, visitors=None, writes_per_s=50)
        order = Order(shares=(100,), rehearsal=False, agreed="R. Winter")
        context = Context(ALLOWED, folder=tmp_path)
        found = move_traffic(told, order, cast("DrillContext", context))
        assert platforms.writes == []
    return found


def judged(found: Shift, check: str = LOST) -> tuple[Outcome, str]:
    verdict = CHECKS[check](case(clean() | {"shift": {CLUSTER.name: dump(found)}}))
    return verdict.outcome, verdict.reason


def test_each_write_through_the_front_is_found_once_whichever_side_answered_it(
    tmp_path: Path,
) -> None:
    found = moved(tmp_path)
    tally = found.ledger["shift/front"]
    assert (tally["lost"], tally["duplicated"]) == (0, 0)
    assert tally["ok"] == tally["found"] > 0
    for check in (LOST, TWICE):
        assert judged(found, check)[0] is Outcome.PASS, judged(found, check)


def test_a_new_platform_that_loses_what_it_acknowledged_is_found(tmp_path: Path) -> None:
    outcome, reason = judged(moved(tmp_path, lambda it: setattr(it, "loses", True)))
    assert outcome is Outcome.FAIL, reason
    assert "front" in reason


def test_a_new_platform_that_stores_a_write_twice_is_found(tmp_path: Path) -> None:
    found = moved(tmp_path, lambda it: setattr(it, "doubles", True))
    outcome, reason = judged(found, TWICE)
    assert (outcome, "there twice" in reason) == (Outcome.FAIL, True), reason
    assert judged(found)[0] is Outcome.PASS


def writer(platforms: Platforms, **changes: Any) -> FrontWriter:
    told = Writes.model_validate({**WRITES, **changes})
    return FrontWriter(client(platforms).ask, told, Session("one"), run="run", number=0)


def test_an_answer_without_the_words_of_an_acknowledgement_is_none(tmp_path: Path) -> None:
    send = {**WRITES["send"], "says": "result"}
    with two_platforms(tmp_path) as platforms:
        with pytest.raises(NotProven, match="answered 201"):
            writer(platforms, send=send).send(0)
        assert len(platforms.writes) == 1


def test_a_write_that_no_front_took_was_never_sent(tmp_path: Path) -> None:
    with two_platforms(tmp_path) as platforms:
        one = writer(platforms)
    with pytest.raises(NeverSent):
        one.send(0)


def test_what_was_cut_off_is_not_read(tmp_path: Path) -> None:
    with two_platforms(tmp_path) as platforms:
        platforms.writes.append("x" * (1 << 20))
        with pytest.raises(NotProven, match="longer than 1048576 bytes"):
            list(writer(platforms).read())


def test_writes_of_another_run_and_changed_ones_are_not_this_runs(tmp_path: Path) -> None:
    with two_platforms(tmp_path) as platforms:
        one = writer(platforms)
        one.send(0)
        platforms.writes += ["cutover-00000000-0-1-abc", platforms.writes[0][:-1] + "x"]
        assert list(one.read()) == [("front/0", 0)]
        platforms.writes.append(platforms.writes[0].replace("-0-0-", "-0-7-"))
        (_, (unexpected, seq)) = one.read()
        assert (unexpected.startswith("front/0 with the seal"), seq) == (True, 7)


def test_writes_that_stay_are_said(tmp_path: Path) -> None:
    with two_platforms(tmp_path) as platforms:
        told = Writes.model_validate(WRITES)
        session = Session("the ledger")
        session.names.keep("writes", "cutover-")
        asks = client(platforms).ask
        assert remove(asks, told, session) == ""
    assert remove(asks, told, session).startswith("the writes through the front are still there: ")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"send": {**WRITES["send"], "body": {}}}, "`send:` must contain {write}"),
        ({"headers": {"Authorization": "Bearer {token}"}}, "the log-in keeps no token"),
        ({"read": {**WRITES["read"], "path": "/{write}"}}, "the log-in keeps no write"),
    ],
)
def test_writes_name_only_what_is_known(changes: Any, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Writes.model_validate({**WRITES, **changes})
