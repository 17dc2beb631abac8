"""Visitors who are logged in: what keeps their session, what loses it, and what proves nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from harness.checks.shift_answers import PAGES, failing
from harness.core.errors import NotProven
from harness.core.waiting import until
from harness.move.visitors import Visitors
from harness.tests.moving import client
from harness.tests.two_platforms import Platforms, two_platforms


@pytest.fixture
def platforms(tmp_path: Path) -> Iterator[Platforms]:
    with two_platforms(tmp_path) as platforms:
        yield platforms


def followed(
    platforms: Platforms, hide: Callable[[str], object] = lambda _: None, **changes: Any
) -> Visitors:
    declared = platforms.declared(**changes)
    assert declared.visitors is not None
    asks, share = client(platforms), lambda: platforms.share
    return Visitors(asks, declared.visitors, "n={number}", share, hide)


def test_visitors_keep_their_session_over_a_change(platforms: Platforms) -> None:
    visitors = followed(platforms)
    with visitors.following():
        platforms.turn(100)
        visitors.changed()
        since = visitors._changed_at
        until(lambda: not visitors.unserved(since), within_s=60, every_s=0.05, what="answers")
        assert len(visitors.on_target(since)) == 3
    result = visitors.result()
    assert (result.visitors, result.lost, result.silent, result.failed) == (3, {}, (), 0)
    assert sorted(platforms.bodies) == [b"n=1", b"n=2", b"n=3"]


def test_a_visitor_who_must_log_in_again_is_lost_and_a_failure_is_not(
    platforms: Platforms,
) -> None:
    visitors = followed(platforms)
    with visitors.following():
        platforms.sick_at = 50
        platforms.turn(100)
        until(lambda: visitors.result().failed >= 3, within_s=60, every_s=0.05, what="failures")
        assert visitors.result().lost == {}
        platforms.sick_at, platforms.forgets = 101, True
        until(lambda: len(visitors.result().lost) == 3, within_s=60, every_s=0.05, what="log-outs")
    assert visitors.result().lost["visitor 1"] == "at 100 %: status 401"


WITH_TOKEN: dict[str, Any] = {
    "count": 3,
    "login": {
        "host": "app.example.com",
        "path": "/token",
        "keep": {"token": "/tokens/access_token"},
    },
    "page": {"host": "app.example.com", "path": "/me", "status": 200},
    "headers": {"Authorization": "Bearer {token}"},
    "says": "hello",
    "every_s": 0.1,
}


def test_visitors_may_show_a_token_of_their_log_in_instead_of_cookies(
    platforms: Platforms,
) -> None:
    hidden: list[str] = []
    visitors = followed(platforms, hidden.append, visitors=WITH_TOKEN)
    with visitors.following():
        assert {*hidden} == {*platforms.sessions}
        platforms.forgets = True
        platforms.turn(100)
        until(lambda: len(visitors.result().lost) == 3, within_s=60, every_s=0.05, what="log-outs")
    assert visitors.result().lost["visitor 1"] == "at 100 %: status 401"


def test_a_session_that_the_platform_ends_of_age_is_renewed_and_not_lost(
    platforms: Platforms,
) -> None:
    visitors = followed(platforms, visitors={**WITH_TOKEN, "lasts_s": 1.0})
    with visitors.following():
        platforms.lasts_s = 1.0
        until(lambda: visitors.result().renewed >= 6, within_s=120, every_s=0.05, what="renewals")
    assert visitors.result().lost == {}


def test_a_session_that_ends_before_its_declared_age_is_lost(platforms: Platforms) -> None:
    visitors = followed(platforms, visitors={**WITH_TOKEN, "lasts_s": 3600})
    with visitors.following():
        platforms.lasts_s = 1.0
        until(lambda: len(visitors.result().lost) == 3, within_s=60, every_s=0.05, what="log-outs")
    assert visitors.result().renewed == 0
    assert visitors.result().lost["visitor 1"] == "at 0 %: status 401"


def test_a_visitor_who_cannot_log_in_anew_is_lost(platforms: Platforms) -> None:
    visitors = followed(platforms, visitors={**WITH_TOKEN, "lasts_s": 1.0})
    with visitors.following():
        platforms.closed = True
        until(lambda: len(visitors.result().lost) == 3, within_s=60, every_s=0.05, what="log-outs")
    assert (
        "it could not log in anew: visitor 1: the answer to the log-in, 401"
        in (visitors.result().lost["visitor 1"])
    )


def test_a_new_platform_at_which_visitors_cannot_log_in_anew_fails_them(
    platforms: Platforms,
) -> None:
    """Its pages are good; at the old platform they can log in again, and none is logged out."""
    visitors = followed(platforms, visitors={**WITH_TOKEN, "lasts_s": 1.0})
    with visitors.following():
        platforms.stumbles = True
        platforms.turn(100)
        until(lambda: visitors.result().failed >= 6, within_s=60, every_s=0.05, what="failures")
        platforms.turn(0)
        visitors.changed()
        until(lambda: visitors.result().renewed >= 3, within_s=60, every_s=0.05, what="renewals")
    assert (visitors.result().lost, visitors.result().silent) == ({}, ())
    why = failing(PAGES, visitors.answers(), platforms.declared().rules())
    assert why.startswith("pages of visitors fail at the new platform: ")
    assert "(log-in: status 500: " in why


def test_sessions_must_last_for_more_than_a_few_requests(platforms: Platforms) -> None:
    with pytest.raises(ValidationError, match="ten times `every_s:`"):
        platforms.declared(visitors={**WITH_TOKEN, "lasts_s": 0.5})


def test_a_log_in_without_the_token_that_is_to_be_kept_proves_nothing(
    platforms: Platforms,
) -> None:
    login = {**WITH_TOKEN["login"], "path": "/login"}
    visitors = followed(platforms, visitors={**WITH_TOKEN, "login": login})
    with pytest.raises(NotProven, match="has no /tokens/access_token"), visitors.following():
        pass


def test_visitors_send_only_what_their_log_in_keeps(platforms: Platforms) -> None:
    login = {**WITH_TOKEN["login"], "keep": {}}
    with pytest.raises(ValidationError, match="the log-in keeps no token"):
        platforms.declared(visitors={**WITH_TOKEN, "login": login})


def test_visitors_who_cannot_log_in_prove_nothing(platforms: Platforms) -> None:
    page = {"host": "app.example.com", "path": "/", "status": 200}
    visitors = followed(
        platforms,
        visitors={
            "login": {"host": "app.example.com", "path": "/login"},
            "page": page,
            "says": "hello",
        },
    )
    with pytest.raises(NotProven, match="did not get its page"), visitors.following():
        pass
