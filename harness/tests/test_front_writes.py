"""Writes through the front: what a move loses or doubles on the way is counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import ValidationError

from harness.checks import CHECKS
from harness.core.errors import NeverSent, NotProven
from harness.core.model import Outcome
from harness.core.waiting import until
from harness.drill.context import DrillContext, Options
from harness.drill.recovery import RecoveryResult, remove_made
from harness.drill.shift import move_traffic
from harness.facts.schema import dump
from harness.facts.shift import Shift
from harness.faults import disruption_lock
from harness.ledger.recorder import Recorder
from harness.move.session import Account
from harness.move.shift import Order
from harness.move.writes import KIND, FrontWriter, Written, begin_of, remove, writing
from harness.record.records import Kind, Made
from harness.settings.shift import Writes
from harness.tests.clean_case import case, clean
from harness.tests.clean_cluster import CLUSTER
from harness.tests.moving import HERE, client
from harness.tests.probe_rig import PROFILE, reach
from harness.tests.test_way_back import Books, Context
from harness.tests.two_platforms import Platforms, two_platforms
from harness.transport.network import Network

GOOD = "the new platform answers as well as the old one at every step"
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
LOGIN: dict[str, Any] = {"host": "app.example.com", "path": "/login"}
ALLOWED = Options(allowed=True, seed=1)
TO_ALL = Order(shares=(100,), rehearsal=False, agreed="R. Winter")


def moving(
    platforms: Platforms,
    context: Context,
    order: Order = TO_ALL,
    sampling: Any = None,
    **changes: Any,
) -> Shift:
    """A move, to 100 % by default, whose writes go through the front."""
    writes = {**WRITES, **changes}
    more = {} if sampling is None else {"sampling": sampling}
    told = platforms.declared(writes=writes, visitors=None, writes_per_s=50, **more)
    return move_traffic(told, order, cast("DrillContext", context))


def moved(tmp_path: Path, change: Callable[[Platforms], object] = lambda _: None) -> Shift:
    """The same; the platforms list nothing afterwards."""
    with two_platforms(tmp_path) as platforms:
        change(platforms)
        found = moving(platforms, Context(ALLOWED, folder=tmp_path))
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


def test_writes_that_the_new_platform_refuses_bring_the_share_back_and_fail(
    tmp_path: Path,
) -> None:
    """Its pages are good, and at half of the requests the ledger is not silent."""
    with two_platforms(tmp_path) as platforms:
        platforms.refuses = True
        order = Order(shares=(50,), rehearsal=False)
        context = Context(ALLOWED, folder=tmp_path)
        hold = {"per_s": 200, "hold_s": 5, "within_s": 60}
        found = moving(platforms, context, order, sampling=hold)
        assert platforms.share == 0
    assert found.stopped is not None
    assert found.stopped.startswith("writes fail at the new platform: ")
    outcome, reason = judged(found, GOOD)
    assert (outcome, "(status 403: " in reason) == (Outcome.FAIL, True), reason


def test_writes_that_never_come_to_the_new_platform_prove_nothing(tmp_path: Path) -> None:
    found = moved(tmp_path, lambda it: setattr(it, "one_sided", True))
    outcome, reason = judged(found, GOOD)
    assert outcome is Outcome.NOT_PROVEN
    assert "the writes through the front: no answer of the new platform" in reason


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


def account(platforms: Platforms, who: str, **changes: Any) -> Account:
    told = Writes.model_validate({**WRITES, **changes})
    return Account(who, told, client(platforms).log_in, b"", lambda _: None)


def writer(platforms: Platforms, **changes: Any) -> FrontWriter:
    told = Writes.model_validate({**WRITES, **changes})
    one = account(platforms, "one", **changes)
    return FrontWriter(client(platforms), told, one, run="run", number=0, written=Written())


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


# --- what is left of them ---


def removed(platforms: Platforms, **changes: Any) -> str:
    told = Writes.model_validate({**WRITES, **changes})
    return remove(client(platforms), told, account(platforms, "one", **changes), begin_of("run"))


def test_writes_that_stay_are_named_whatever_the_removal_was_answered(tmp_path: Path) -> None:
    begin = begin_of("run")
    there = f"writes through the front are still there, texts that begin with {begin}: "
    with two_platforms(tmp_path) as platforms:
        writer(platforms).send(0)
        platforms.keeps_writes = True
        assert removed(platforms) == f"{there}the removal was answered 204"
        told = removed(platforms, remove=None)
        assert told == f"{there}the profile declares no `shift.writes.remove:`"
        platforms.keeps_writes = False
        assert removed(platforms) == ""
        assert removed(platforms, remove=None) == ""
    assert removed(platforms).startswith(there)


@dataclass
class Moment:
    """What a record says, and the platforms store, when the harness is killed there."""

    made: Mapping[str, Made]
    writes: Sequence[str]


@dataclass
class Kills:
    """Notes the state at each record of a move, as a harness that is killed leaves it."""

    platforms: Platforms
    made: dict[str, Made] = field(default_factory=dict)
    moments: list[Moment] = field(default_factory=list)

    def note(self, kind: Kind, subject: str, data: Any) -> None:
        if kind is Kind.MADE:
            self.made[subject] = data
        there = {who: it for who, it in self.made.items() if it["event"] == "begun"}
        self.moments.append(Moment(there, [*self.platforms.writes]))


def healed(platforms: Platforms, moment: Moment, **changes: Any) -> Sequence[RecoveryResult]:
    """What `heal` makes of a killed harness."""
    platforms.writes[:] = moment.writes
    told = platforms.declared(writes={**WRITES, **changes})
    profile = PROFILE.model_copy(update={"shift": told})
    reached = reach(HERE, outside=Network(), like=profile)
    return [*remove_made(reached, moment.made, "heal", lambda _: None)]


@pytest.mark.parametrize("login", [None, LOGIN])
def test_a_harness_killed_at_any_record_leaves_no_write_that_heal_does_not_remove(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, login: Any
) -> None:
    monkeypatch.setattr(disruption_lock, "held", lambda *_: nullcontext())
    with two_platforms(tmp_path) as platforms:
        platforms.guarded = login is not None
        kills = Kills(platforms)
        moving(platforms, Context(ALLOWED, folder=tmp_path, noted=kills.note), login=login)
        assert any(it.writes for it in kills.moments)
        for moment in kills.moments:
            results = healed(platforms, moment, login=login)
            assert platforms.writes == []
            assert [it.trouble for it in results] == [None] * len(moment.made)
        assert kills.moments[-1].made == {}


def test_what_heal_cannot_remove_is_named_until_it_is_said_to_be_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disruption_lock, "held", lambda *_: nullcontext())
    with two_platforms(tmp_path) as platforms:
        kills = Kills(platforms)
        moving(platforms, Context(ALLOWED, folder=tmp_path, noted=kills.note), remove=None)
        killed = next(it for it in kills.moments if it.writes)
        ((_, made),) = killed.made.items()
        (result,) = healed(platforms, killed, remove=None)
    assert result.place == "platform"
    assert result.trouble is not None
    assert f"texts that begin with {made['name']}" in result.trouble
    assert result.trouble.endswith(f"then: ./cutover heal --removed {made['name']}")


def test_writes_that_could_not_be_removed_keep_their_record_and_are_told(tmp_path: Path) -> None:
    with two_platforms(tmp_path) as platforms:
        platforms.keeps_writes = True
        kills = Kills(platforms)
        context = Context(ALLOWED, folder=tmp_path, noted=kills.note)
        moving(platforms, context)
        (made,) = kills.made.values()
    assert made["event"] == "begun"
    assert f"begin with {made['name']}: the removal was answered 204" in context.said


def test_writes_that_the_profile_keeps_are_told_and_their_record_is_closed(tmp_path: Path) -> None:
    with two_platforms(tmp_path) as platforms:
        kills = Kills(platforms)
        context = Context(ALLOWED, folder=tmp_path, noted=kills.note)
        moving(platforms, context, remove=None)
        (made,) = kills.made.values()
    assert made["event"] == "removed"
    assert f"begin with {made['name']}: the profile declares no" in context.said


def test_a_resumed_run_counts_no_write_of_the_session_that_was_killed(tmp_path: Path) -> None:
    with two_platforms(tmp_path) as platforms:
        kills = Kills(platforms)
        moving(platforms, Context(ALLOWED, folder=tmp_path, noted=kills.note))
        killed = max((it.writes for it in kills.moments), key=len)
        platforms.writes[:] = killed
        platforms.file.write_text("0")
        found = moving(platforms, Context(ALLOWED, folder=tmp_path, noted=kills.note))
        assert platforms.writes == killed != []
    tally = found.ledger["shift/front"]
    assert (tally["lost"], tally["duplicated"], tally["phantom"]) == (0, 0, 0)
    assert tally["ok"] == tally["found"] > 0
    assert len(kills.made) == 2


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
    with writing(
        client(platforms), told, accounts, folder=folder / KIND, run="run", rate_per_s=50
    ) as (recorder, _):
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


def test_writers_keep_the_cookies_of_every_answer_as_a_browser_does(tmp_path: Path) -> None:
    """Odoo replaces the session of who works for hours, and forgets the former one soon after."""
    with two_platforms(tmp_path) as platforms:
        platforms.guarded = platforms.rotates = True
        with followed(platforms, tmp_path) as (recorder, _):
            until(
                lambda: recorder.acknowledged[KIND] >= 10,
                within_s=20,
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
