"""Requests that write, over real sockets: once to each side, compared, and removed again."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from pydantic import ValidationError

from harness.checks import CHECKS
from harness.core.errors import ConfigError
from harness.core.model import Outcome, Verdict
from harness.facts.parity import Sides, Writes
from harness.facts.schema import dump
from harness.probes.parity_writes import compare_writes, remove_written
from harness.settings.parity import Parity
from harness.tests.clean_case import case, clean
from harness.tests.clean_cluster import CLUSTER
from harness.tests.loopback import Answer, Asked, answering
from harness.tests.probe_rig import PROFILE, reach
from harness.transport import Reach
from harness.transport.network import Network

SAME = "both platforms give the same answers to writes"
REMOVED = "what the requests made is removed again"
RULES = [
    {"at": "body /id", "because": "each side gives its own numbers"},
    {"at": "body /access_token", "because": "a session of its own"},
]


@dataclass
class Users:
    """A platform that keeps users; ``first`` is the number of the first one."""

    first: int
    status: int = 201
    keeps: bool = False
    asked: list[str] = field(default_factory=list)
    users: dict[int, str] = field(default_factory=dict)

    def answer(self, method: str, path: str, body: Any) -> tuple[int, object]:
        self.asked.append(f"{method} {path}")
        number = int(path.rpartition("/")[2] or 0)
        if method == "DELETE":
            return (409, {}) if self.keeps else (200 if self.users.pop(number, 0) else 404, {})
        if method == "PUT":
            self.users[number] = body["name"]
            return 200, {"id": number, "name": body["name"]}
        if self.status != 201:
            return self.status, {"detail": "no"}
        number = self.first + len(self.users)
        self.users[number] = body["name"]
        return 201, {"id": number, "name": body["name"], "access_token": f"s3cr3t-{number:012}"}


def serving(users: Users) -> AbstractContextManager[int]:
    def answer(asked: Asked) -> Answer:
        status, said = users.answer(asked.method, asked.path, json.loads(asked.body or "null"))
        return status, (), json.dumps(said).encode()

    return answering(answer)


def requests() -> dict[str, Any]:
    one = {"host": "api.example", "path": "/users/{user}"}
    return {
        "a new user": {
            "method": "POST",
            "host": "api.example",
            "path": "/users/",
            "body": {"name": "{customer}"},
            "writes": True,
            "keep": {"user": "/id", "token": "/access_token"},
            "removes": [{**one, "method": "DELETE"}],
        },
        "another name": {**one, "method": "PUT", "body": {"name": "x {customer}"}, "writes": True},
    }


def declared(old_port: int, new_port: int, asked: dict[str, Any] | None = None) -> Parity:
    front = {"address": "127.0.0.1"}
    return Parity.model_validate(
        {
            "old": front | {"port": old_port},
            "new": front | {"port": new_port},
            "requests": asked or requests(),
            "rules": RULES,
        }
    )


def sent(
    old: Users,
    new: Users,
    tell: Callable[[str], object] = str,
    hide: Callable[[str], object] = str,
) -> Writes:
    with serving(old) as old_port, serving(new) as new_port:
        profile = PROFILE.model_copy(update={"parity": declared(old_port, new_port)})
        return compare_writes(reach(outside=Network(), like=profile), tell, hide, str)


def judged(found: Writes, check: str) -> Verdict:
    there = clean()
    there["parity-writes"] = {CLUSTER.name: json.loads(json.dumps(dump(found)))}
    rules = declared(1, 1).declared()
    cluster = replace(CLUSTER, parity_writes=tuple(requests()), parity_rules=rules)
    return CHECKS[check](replace(case(there), cluster=cluster))


def test_each_side_is_asked_once_and_nothing_of_it_stays() -> None:
    old, new = Users(10), Users(700)
    found = sent(old, new)
    for check in (SAME, REMOVED):
        assert judged(found, check).outcome is Outcome.PASS, judged(found, check).reason
    assert old.asked == ["POST /users/", "PUT /users/10", "DELETE /users/10"]
    assert new.asked == ["POST /users/", "PUT /users/700", "DELETE /users/700"]
    assert (old.users, new.users) == ({}, {})


@dataclass
class Killed:
    """What a run had recorded at one moment, and whom both platforms knew then."""

    sides: Sides
    users: tuple[dict[int, str], dict[int, str]]


def killed_at_each_record(old: Users, new: Users, reached: Reach) -> list[Killed]:
    found: list[Killed] = []

    def note(sides: Sides) -> None:
        recorded = json.loads(json.dumps(sides))
        assert "s3cr3t" not in json.dumps(recorded)
        found.append(Killed(recorded, (dict(old.users), dict(new.users))))

    compare_writes(reached, str, str, note)
    return found


def test_a_run_that_is_killed_at_any_record_leaves_nothing_that_is_not_removed_or_named() -> None:
    old, new = Users(10), Users(700)
    with serving(old) as old_port, serving(new) as new_port:
        profile = PROFILE.model_copy(update={"parity": declared(old_port, new_port)})
        reached = reach(outside=Network(), like=profile)
        moments = killed_at_each_record(old, new, reached)
        for it in moments:
            old.users, new.users = (dict(known) for known in it.users)
            left = remove_written(reached, it.sides)
            assert (old.users, new.users) == ({}, {})
            # A request that was to be sent, and whose answer is in no record, may have made one.
            unanswered = [side for side in it.sides.values() if "user" not in side["names"]]
            unanswered = [side for side in unanswered if side["requests"]]
            assert len(left) == len(unanswered)
            assert all("look for cutover-" in words for words in left)
    assert max(len(it.users[0]) + len(it.users[1]) for it in moments) == 2


def test_a_request_that_is_declared_no_more_and_one_that_needs_a_token_are_named() -> None:
    with_token = requests()
    with_token["a new user"]["removes"][0]["headers"] = {"Authorization": "Bearer {token}"}
    sides: Sides = {
        "old": {"requests": ["a new user"], "names": {"customer": "cutover-1", "user": 10}},
        "new": {"requests": ["gone"], "names": {"customer": "cutover-1"}},
    }
    profile = PROFILE.model_copy(update={"parity": declared(1, 1, with_token)})
    old, new = remove_written(reach(outside=Network(), like=profile), sides)
    assert "on the old platform: no answer gave token, which it uses; look for cutover-1" in old
    assert "declares no request gone that writes: look for cutover-1 on the new platform" in new


def test_a_request_that_was_refused_is_not_to_be_removed() -> None:
    sides: list[Sides] = []
    with serving(Users(10, status=409)) as old, serving(Users(10, status=409)) as new:
        profile = PROFILE.model_copy(update={"parity": declared(old, new)})
        compare_writes(reach(outside=Network(), like=profile), str, str, sides.append)
    assert sides[0]["old"]["requests"] == ["a new user"]
    assert "a new user" not in [*sides[-1]["old"]["requests"], *sides[-1]["new"]["requests"]]


def test_an_answer_that_differs_without_a_rule_fails() -> None:
    found = sent(Users(10), Users(10, status=200))
    verdict = judged(found, SAME)
    assert verdict.outcome is Outcome.FAIL
    assert "a new user: status: expected 201 as on the old platform, seen 200" in verdict.reason


def test_an_old_platform_that_does_not_answer_keeps_the_new_one_from_being_asked() -> None:
    new = Users(10)
    with serving(new) as port:
        profile = PROFILE.model_copy(update={"parity": declared(1, port)})
        found = compare_writes(reach(outside=Network(), like=profile), str, str, str)
    assert new.asked == []
    assert judged(found, SAME).outcome is Outcome.NOT_PROVEN


def test_a_write_that_the_old_ingress_brings_to_no_service_is_not_sent_to_the_new_one() -> None:
    new = Users(10)
    lost: Answer = 404, (), b"404 page not found\n"
    with answering(lambda _: lost) as old_port, serving(new) as port:
        profile = PROFILE.model_copy(update={"parity": declared(old_port, port)})
        found = compare_writes(reach(outside=Network(), like=profile), str, str, str)
    assert new.asked == []
    assert "its ingress has no route for api.example/users/" in judged(found, SAME).reason
    assert judged(found, SAME).outcome is Outcome.NOT_PROVEN


def test_what_cannot_be_removed_is_told() -> None:
    verdict = judged(sent(Users(10), Users(10, keeps=True)), REMOVED)
    assert verdict.outcome is Outcome.NOT_PROVEN
    assert "DELETE /users/{user} on the new platform: status 409" in verdict.reason


def test_what_a_broken_platform_may_have_made_is_told_and_a_refusal_makes_nothing() -> None:
    verdict = judged(sent(Users(10, status=502), Users(10, status=502)), REMOVED)
    assert verdict.outcome is Outcome.NOT_PROVEN
    assert "no answer gave user, which it uses; look for cutover-" in verdict.reason
    refused = judged(sent(Users(10, status=403), Users(10, status=403)), REMOVED)
    assert refused.outcome is Outcome.PASS


def test_a_removal_may_use_a_name_that_a_later_request_keeps() -> None:
    asked = requests()
    removal = {"method": "DELETE", "host": "api.example", "path": "/users/{late}"}
    asked["a new user"]["removes"] = [removal]
    with pytest.raises(ValidationError, match="a new user, removes: no request keeps late"):
        declared(1, 1, asked)
    asked["another name"]["keep"] = {"late": "/id"}
    assert declared(1, 1, asked).writes["a new user"].removes[0].names() == {"late"}


def test_ctrl_c_ends_the_requests_and_removes_what_they_made() -> None:
    old, new = Users(10), Users(10)

    def stop(says: str) -> None:
        if says.startswith("another name"):
            raise KeyboardInterrupt

    found = sent(old, new, tell=stop)
    assert found.by_hand
    assert (old.users, new.users) == ({}, {})
    assert judged(found, SAME).outcome is Outcome.NOT_PROVEN


def test_no_secret_of_an_answer_is_recorded_and_what_is_kept_is_hidden() -> None:
    hidden: list[str] = []
    found = sent(Users(10), Users(700), hide=hidden.append)
    assert "s3cr3t" not in json.dumps(dump(found))
    assert {"s3cr3t-000000000010", "s3cr3t-000000000700"} <= set(hidden)


def test_without_a_request_that_writes_there_is_nothing_to_send() -> None:
    with pytest.raises(ConfigError, match="declares no request that writes"):
        compare_writes(reach(), str, str, str)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"method": "POST"}, "POST changes something: say `writes: true`"),
        ({"keep": {"user": "/id"}}, "only a request that writes has `keep:`"),
        ({"writes": True, "path": "/{nobody}"}, "no earlier request keeps nobody"),
    ],
)
def test_a_request_that_says_too_little_is_a_mistake(change: dict[str, Any], says: str) -> None:
    front = {"address": "127.0.0.1"}
    request = {"host": "api.example", "path": "/", **change}
    with pytest.raises(ValidationError, match=says):
        Parity.model_validate({"old": front, "new": front, "requests": {"one": request}})
