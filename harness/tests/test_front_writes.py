"""Writes through the front: what a move loses or doubles on the way is counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import ValidationError

from harness.checks import CHECKS
from harness.core.errors import NeverSent, NotProven, TransportError
from harness.core.model import Outcome
from harness.core.waiting import until
from harness.drill.context import DrillContext
from harness.drill.shift import _recorded, move_traffic
from harness.facts.schema import dump
from harness.facts.shift import Shift
from harness.ledger.recorder import Recorder
from harness.move.answers import TARGET
from harness.move.session import Account
from harness.move.shift import Order
from harness.move.writes import KIND, FrontWriter, FrontWrites, Written
from harness.settings.shift import Writes
from harness.tests.clean_case import case, clean
from harness.tests.clean_cluster import CLUSTER
from harness.tests.front_writers import (
    ALLOWED,
    LOGIN,
    TO_ALL,
    WRITES,
    account,
    moving,
    writer,
)
from harness.tests.moving import client
from harness.tests.test_way_back import Books, Context
from harness.tests.two_platforms import Platforms, two_platforms

GOOD = "the new platform answers as well as the old one at every step"
# Long enough for writes that the new platform answers.
HOLD = {"per_s": 200, "hold_s": 2, "within_s": 60, "timeout_s": 30}
LOST, TWICE = "the move loses no acknowledged write", "the move makes no write twice"


def moved(tmp_path: Path, change: Callable[[Platforms], object] = lambda _: None) -> Shift:
    """A move to 100 % whose writes go through the front; the platforms list nothing afterwards."""
    with two_platforms(tmp_path) as platforms:
        change(platforms)
        found = moving(platforms, Context(ALLOWED, folder=tmp_path), sampling=HOLD)
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


@pytest.mark.slow
def test_writes_that_the_new_platform_refuses_bring_the_share_back_and_fail(
    tmp_path: Path,
) -> None:
    """Its pages are good, and at half of the requests the ledger is not silent."""
    with two_platforms(tmp_path) as platforms:
        platforms.refuses = True
        order = Order(shares=(50,), rehearsal=False)
        context = Context(ALLOWED, folder=tmp_path)
        found = moving(platforms, context, order, sampling={**HOLD, "hold_s": 5})
        assert platforms.share == 0
    assert found.stopped is not None
    assert found.stopped.startswith("writes through the front fail at the new platform: ")
    outcome, reason = judged(found, GOOD)
    assert (outcome, "(status 403: " in reason) == (Outcome.FAIL, True), reason


def test_writes_that_never_come_to_the_new_platform_prove_nothing(tmp_path: Path) -> None:
    found = moved(tmp_path, lambda it: setattr(it, "one_sided", True))
    outcome, reason = judged(found, GOOD)
    assert outcome is Outcome.NOT_PROVEN
    assert "writes through the front: no answer of the new platform" in reason


def test_a_ledger_that_cannot_be_judged_keeps_what_is_known_of_the_move(tmp_path: Path) -> None:
    class Torn(Books):
        def tally(self) -> Any:
            raise NotProven("the ledger's history cannot be written")

    with two_platforms(tmp_path) as platforms:
        context = Context(ALLOWED, folder=tmp_path, books=Torn())
        found = move_traffic(
            platforms.declared(visitors=None), TO_ALL, cast("DrillContext", context)
        )
    assert (found.left, found.ledger) == (100, {})
    assert "the ledger's history cannot be written" in context.said
    assert judged(found, GOOD)[0] is Outcome.PASS
    assert judged(found)[0] is Outcome.NOT_PROVEN


def test_a_write_that_comes_after_its_writer_gave_it_up_is_removed_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new platform does not answer it, and stores it half a second later."""
    monkeypatch.setattr("harness.move.writes._LATE_S", 2.0)
    told = Writes.model_validate(WRITES)
    with two_platforms(tmp_path, share=100) as platforms:
        platforms.late_s = 0.5
        context = cast("DrillContext", Context(ALLOWED, folder=tmp_path))
        writes, one = FrontWrites(client(platforms), told, "run"), account(platforms, "one")
        with _recorded(context, writes, one):
            late = FrontWriter(writes, one, 0)
            with pytest.raises(TransportError):
                late.send(0)
        for it in platforms.late:
            it.join()
        assert (len(platforms.late), platforms.writes) == (1, [])


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
        platforms.writes.append(platforms.writes[0].replace("-0-0-0-", "-0-0-7-"))
        (_, (unexpected, seq)) = one.read()
        assert (unexpected.startswith("front/0 with the seal"), seq) == (True, 7)


def test_many_writes_are_read_in_parts_of_which_each_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some hours of writes are more than the harness reads of one answer."""
    monkeypatch.setattr("harness.move.writes._MOST_BYTES", 1000)
    monkeypatch.setattr("harness.move.writes._BLOCK", 10)
    read = {**WRITES["read"], "path": "/writes/{writes}"}
    with two_platforms(tmp_path) as platforms:
        one = writer(platforms, read=read)
        for seq in range(45):
            one.send(seq)
        assert sum(map(len, platforms.writes)) > 1000
        assert sorted(one.read()) == [("front/0", seq) for seq in range(45)]
        platforms.writes.append(platforms.writes[7])
        assert list(one.read()).count(("front/0", 7)) == 2


# --- sessions that end of age ---


@contextmanager
def followed(
    platforms: Platforms, folder: Path, **changes: Any
) -> Iterator[tuple[Recorder, Sequence[Account]]]:
    """Writes of two writers who are logged in, and their accounts."""
    told = Writes.model_validate({**WRITES, "login": LOGIN, **changes})
    accounts = [account(platforms, it, login=LOGIN, **changes) for it in ("one", "two")]
    for it in accounts:
        it.log_in()
    writes = FrontWrites(client(platforms), told, "run")
    with writes.recording(accounts, folder=folder / KIND, rate_per_s=50) as recorder:
        yield recorder, accounts


def test_writers_log_in_anew_when_the_platform_ends_their_session_of_age(tmp_path: Path) -> None:
    with two_platforms(tmp_path) as platforms:
        platforms.guarded, platforms.lasts_s = True, 1.0
        with followed(platforms, tmp_path, lasts_s=1.0) as (recorder, accounts):
            until(
                lambda: all(it.renewed >= 3 for it in accounts),
                within_s=60,
                every_s=0.05,
                what="renewals",
            )
            before = recorder.acknowledged[KIND]
            until(lambda: recorder.acknowledged[KIND] > before, within_s=60, what="one more write")
            result = recorder.tally()[KIND]
    assert (result.lost, result.duplicated, result.unread, result.troubles) == (0, 0, "", ())
    assert result.ok > 0


def test_a_write_whose_writer_cannot_log_in_anew_was_never_sent(tmp_path: Path) -> None:
    with two_platforms(tmp_path) as platforms:
        login = {**LOGIN, "path": "/token", "keep": {"token": "/tokens/access_token"}}
        one = writer(platforms, login=login, lasts_s=1.0)
        platforms.closed = True
        with pytest.raises(NeverSent, match="front/0 could not log in anew: one: the answer"):
            one.send(0)
        assert platforms.writes == []


def test_a_writer_that_the_new_platform_does_not_let_in_anew_is_a_failed_answer(
    tmp_path: Path,
) -> None:
    """At half of the requests it gets in at the next try, and the ledger is never silent."""
    written = Written()
    with two_platforms(tmp_path, share=100) as platforms:
        one = writer(platforms, written=written, login=LOGIN, lasts_s=1.0)
        platforms.stumbles = True
        with pytest.raises(NeverSent):
            one.send(0)
    (answer,) = written.answers
    assert (answer.side, answer.error) == (TARGET, "log-in: status 500")


def test_writers_keep_the_cookies_of_every_answer_as_a_browser_does(tmp_path: Path) -> None:
    """Odoo replaces the session of who works for hours, and forgets the former one soon after."""
    with two_platforms(tmp_path) as platforms:
        platforms.guarded = platforms.rotates = True
        with followed(platforms, tmp_path) as (recorder, _):
            until(
                lambda: recorder.acknowledged[KIND] >= 10,
                within_s=60,
                every_s=0.05,
                what="writes",
            )
            result = recorder.tally()[KIND]
    assert (result.lost, result.info, result.unread) == (0, 0, "")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"send": {**WRITES["send"], "body": {}}}, "`send:` must contain {write}"),
        ({"headers": {"Authorization": "Bearer {token}"}}, "the log-in keeps no token"),
        ({"read": {**WRITES["read"], "path": "/{write}"}}, "the log-in keeps no write"),
        ({"lasts_s": 1800}, "`lasts_s:` is the age of a session, which takes a `login:`"),
    ],
)
def test_writes_name_only_what_is_known(changes: Any, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Writes.model_validate({**WRITES, **changes})
