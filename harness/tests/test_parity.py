"""Parity: real web servers that answer alike and otherwise, and what comes of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import cycle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.checks import CHECKS
from harness.core.model import Outcome, Verdict
from harness.probes.parity import ParityRequests
from harness.settings.parity import Parity, Rule
from harness.tests.clean_case import case, clean
from harness.tests.clean_cluster import CLUSTER
from harness.tests.loopback import Answer, answering
from harness.tests.probe_rig import PROFILE, reach
from harness.transport.network import Network

SAME = "both platforms give the same answers"


def answer(body: object = b"", status: int = 200, *headers: tuple[str, str]) -> Answer:
    is_text = isinstance(body, bytes)
    written = body if isinstance(body, bytes) else json.dumps(body).encode()
    kind = "text/html" if is_text else "application/json"
    return status, (("Content-Type", kind), *headers), written


def serving(*answers: Answer) -> AbstractContextManager[int]:
    """A web server that gives these answers, one after the other; its port."""
    turns = cycle(answers)
    return answering(lambda _: next(turns))


def asked(old: Sequence[Answer], new: Answer, **known: object) -> Any:
    """What the probe sees of two platforms with these answers."""
    with serving(*old) as old_port, serving(new) as new_port:
        declared = declare(old_port, new_port, **known)
        profile = PROFILE.model_copy(update={"parity": declared})
        ways = reach(outside=Network(), like=profile)
        seen: Any = ParityRequests().observe(ways, profile.name)
    return json.loads(json.dumps(seen))["a user"]


def declare(old_port: int, new_port: int, **known: object) -> Parity:
    front = {"address": "127.0.0.1"}
    return Parity.model_validate(
        {
            "old": front | {"port": old_port},
            "new": front | {"port": new_port},
            "requests": {"a user": {"host": "api.example", "path": "/users/1", **known}},
        }
    )


def judged(found: Any) -> Verdict:
    there = clean()
    there["parity"][CLUSTER.name] = {"a user": found}
    return CHECKS[SAME](case(there))


# --- both, over real sockets ---


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (answer({"id": 1}), answer({"id": 1}, 404), "status: expected 200 as on the old platform"),
        (
            answer({"name": "x", "mail": "m"}),
            answer({"name": "x", "email": "m"}),
            'body /mail: expected "m" as on the old platform, seen nothing',
        ),
        (answer({"n": 1}), answer({"n": 1.0}), "body /n: expected 1 as on the old platform"),
        (answer({"ok": True}), answer({"ok": 1}), "body /ok: expected true"),
        (answer([1, 2]), answer([1]), "body /1: expected 2 as on the old platform, seen nothing"),
        (
            answer(b"<p>one\n<p>two"),
            answer(b"<p>one\n<p>three"),
            "body line 2: expected <p>two as on the old platform, seen <p>three",
        ),
        (answer(b"one\n"), answer(b"one\r\n"), "body: expected these line ends"),
        (answer(b"\xff\x00"), answer(b"\xff\x01"), "body: expected 2 bytes"),
        (
            answer(b"", 302, ("Location", "http://app.example/")),
            answer(b"", 302, ("Location", "https://app.example/")),
            "header location: expected http://app.example/",
        ),
        (
            answer(b"", 200, ("X-Frame-Options", "DENY")),
            answer(),
            "header x-frame-options: expected DENY as on the old platform, seen nothing",
        ),
        (
            answer(b"", 200, ("Set-Cookie", "sid=1; Path=/; Secure")),
            answer(b"", 200, ("Set-Cookie", "sid=2; Path=/")),
            "cookie sid: expected Path=/; Secure as on the old platform, seen Path=/",
        ),
        (
            answer(b"", 200, ("Set-Cookie", "sid=1; Path=/; Expires=Tue, 1 Dec 2026 12:00:00 GMT")),
            answer(b"", 200, ("Set-Cookie", "sid=; Path=/; Expires=Thu, 1 Jan 1970 00:00:00 GMT")),
            "cookie sid: expected Expires; Path=/ as on the old platform, seen no value; Expires",
        ),
        (
            answer(b"", 200, ("Set-Cookie", "sid=1; Path=/"), ("Set-Cookie", "sid=2; Path=/web")),
            answer(b"", 200, ("Set-Cookie", "sid=2; Path=/web")),
            "cookie sid: expected Path=/, Path=/web as on the old platform, seen Path=/web",
        ),
    ],
)
def test_another_answer_fails_and_says_where(old: Answer, new: Answer, says: str) -> None:
    verdict = judged(asked([old], new))
    assert (verdict.outcome, says in verdict.reason) == (Outcome.FAIL, True), verdict.reason
    assert verdict.measured["differing_count"] == 1


def test_answers_that_differ_in_their_session_alone_pass() -> None:
    old = answer({"id": 1, "at": [1]}, 200, ("Set-Cookie", "sid=1; Path=/; expires=Mon, 1 Jan"))
    new = answer({"at": [1], "id": 1}, 200, ("Set-Cookie", "sid=2; Path=/; expires=Tue, 2 Jan"))
    assert judged(asked([old], new)).outcome is Outcome.PASS


def test_noise_of_the_old_platform_is_not_proven_and_no_failure() -> None:
    found = asked([answer({"at": 1}), answer({"at": 2})], answer({"at": 3}))
    verdict = judged(found)
    assert verdict.outcome is Outcome.NOT_PROVEN
    assert "two answers of the old platform differ at body /at: no rule names it" in verdict.reason


def test_a_new_platform_that_does_not_answer_fails_and_an_old_one_proves_nothing() -> None:
    with serving(answer()) as port:
        silent = declare(port, 1), declare(1, port)
        found = []
        for declared in silent:
            profile = PROFILE.model_copy(update={"parity": declared})
            ways = reach(outside=Network(), like=profile)
            seen: Any = ParityRequests().observe(ways, profile.name)
            found.append(judged(json.loads(json.dumps(seen))["a user"]))
    new, old = found
    assert (new.outcome, old.outcome) == (Outcome.FAIL, Outcome.NOT_PROVEN)
    assert "answer: expected status 200 as on the old platform" in new.reason


def test_two_ingresses_that_know_no_service_for_a_request_prove_nothing() -> None:
    """A host that is misspelt in the profile gets the same 404 of both Traefik."""
    lost = 404, (("Content-Type", "text/plain; charset=utf-8"),), b"404 page not found\n"
    verdict = judged(asked([lost], lost))
    assert verdict.outcome is Outcome.NOT_PROVEN
    assert "its ingress has no route for api.example/users/1" in verdict.reason
    assert judged(asked([lost], lost, unrouted=True)).outcome is Outcome.PASS
    own = answer({"detail": "Not Found"}, 404)
    assert judged(asked([own], own)).outcome is Outcome.PASS
    assert judged(asked([own], lost)).outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("status", "body"),
    [(502, b"Bad Gateway"), (503, b"no available server\n"), (504, b"Gateway Timeout")],
)
def test_an_old_platform_whose_service_is_down_proves_nothing(status: int, body: bytes) -> None:
    down = answer(body, status)
    for new in (down, answer({"id": 1})):
        verdict = judged(asked([down], new))
        assert verdict.outcome is Outcome.NOT_PROVEN
        assert f"seen status {status}" in verdict.reason
    assert judged(asked([answer({"id": 1})], down)).outcome is Outcome.FAIL


def test_an_answer_that_is_too_long_to_compare_proves_nothing() -> None:
    verdict = judged(asked([answer(b"x" * (1 << 21))], answer(b"x" * (1 << 21))))
    assert verdict.outcome is Outcome.NOT_PROVEN
    assert "more than 1 MiB" in verdict.reason


# --- the rules ---


def changed(**known: Any) -> Callable[[Any], Any]:
    return lambda it: {"value": it["value"] | known}


def clean_request() -> Any:
    return clean()["parity"][CLUSTER.name]["a user"]


def test_what_a_rule_hides_is_counted_with_its_reason() -> None:
    verdict = judged(clean_request())
    assert verdict.outcome is Outcome.PASS
    assert "hidden by rules: 1 at header server (another web server)" in verdict.reason
    assert verdict.measured == {"differing_count": 0, "old_p50_ms": 12.0, "new_p50_ms": 9.0}


@pytest.mark.parametrize("at", ["status", "*", "s*", "answer", "[a-z]*"])
def test_no_rule_may_hide_a_status(at: str) -> None:
    with pytest.raises(ValidationError, match="would hide a status"):
        Rule(at=at, because="it is so")


@given(st.text("0123456789abcdef", min_size=1), st.text("0123456789abcdef", min_size=1))
def test_a_rule_with_words_hides_only_what_they_match(old: str, new: str) -> None:
    there = clean()
    parity = there["parity"][CLUSTER.name]["a user"]["value"]
    parity["differences"] = [
        {"at": "header server", "old": f"build {old}", "other": f"build {new}"},
        {"at": "header server", "old": f"build {old}", "other": f"other {new}"},
    ]
    rule = Rule(at="header *", text="[0-9a-f]+$", because="builds")
    rules = declare(1, 1).model_copy(update={"rules": (rule,)}).declared()
    cluster = replace(CLUSTER, parity_rules=rules)
    verdict = CHECKS[SAME](replace(case(there), cluster=cluster))
    assert verdict.outcome is Outcome.FAIL
    assert f"seen other {new}" in verdict.reason
    assert f"seen build {new}" not in verdict.reason


def test_a_limit_of_the_ingress_proves_nothing() -> None:
    verdict = judged(changed(statuses=[200, 429, 200])(clean_request()))
    assert verdict.outcome is Outcome.NOT_PROVEN
    assert "429" in verdict.reason
