"""Queues and sessions: what was left behind, and what RabbitMQ and a real Redis answer."""

from __future__ import annotations

import io
import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.checks import CHECKS
from harness.core.errors import Denied, Garbled, TransportError, Unreachable
from harness.core.model import Outcome, Verdict
from harness.core.waiting import until
from harness.probes.queues import OTHER, Queue, answer_of, keys, queues, to_move
from harness.tests.clean_case import case, clean
from harness.tests.clean_cluster import CLUSTER

QUEUES = "every queue is moved, or declared lost"
SESSIONS = "every session is moved, or declared lost"
Change = Callable[[Any], object]


def judged(check: str, change: Change = lambda _: None) -> Verdict:
    seen = clean()
    change(seen["queues-and-sessions"][CLUSTER.name])
    return CHECKS[check](case(seen))


def side(kind: str, name: str, **counts: int) -> Change:
    return lambda it: it[kind]["value"][name].update(counts)


def test_what_came_along_passes() -> None:
    assert judged(QUEUES).reason == "2 queues are moved"
    assert judged(SESSIONS).reason == "2 prefixes of keys are moved"


@pytest.mark.parametrize(
    ("check", "change", "says"),
    [
        (
            QUEUES,
            lambda it: it["queues"]["value"]["target"].pop("/operations"),
            "/operations: expected the queue with 0 messages at the target, seen no such queue",
        ),
        (
            QUEUES,
            side("queues", "target", **{"/monitoring": 1}),
            "/monitoring: expected 2 messages at the target, seen 1",
        ),
        (
            QUEUES,
            side("queues", "target", **{"/monitoring": 4}),
            "/monitoring: expected 2 messages at the target, seen 4",
        ),
        (
            SESSIONS,
            side("sessions", "target", **{"session:": 4}),
            "session:: expected at least 5 keys at the target, seen 4",
        ),
    ],
)
def test_what_was_left_behind_without_a_word_fails(check: str, change: Change, says: str) -> None:
    verdict = judged(check, change)
    assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, says)
    assert verdict.measured == {"differences_count": 1}


def test_what_is_lost_on_purpose_passes_with_a_word() -> None:
    lost = judged(QUEUES, side("queues", "source", **{"/celeryev.7": 9}))
    assert (lost.outcome, lost.reason) == (
        Outcome.PASS,
        "2 queues are moved, 1 are lost on purpose",
    )
    assert judged(SESSIONS, side("sessions", "source", **{"cache:": 9})).outcome is Outcome.PASS


def test_new_sessions_at_the_target_pass() -> None:
    assert judged(SESSIONS, side("sessions", "target", **{"session:": 6})).outcome is Outcome.PASS


@pytest.mark.parametrize(("check", "kind"), [(QUEUES, "queues"), (SESSIONS, "sessions")])
def test_what_could_not_be_counted_is_not_proven(check: str, kind: str) -> None:
    for change in (
        lambda it: it.update({kind: {"error": "no route"}}),
        lambda it: it[kind]["value"]["source"].clear(),
    ):
        assert judged(check, change).outcome is Outcome.NOT_PROVEN
    silent = replace(CLUSTER, queues_lost=None, sessions_lost=None)
    assert CHECKS[check](replace(case(clean()), cluster=silent)).outcome is Outcome.NOT_PROVEN


# --- RabbitMQ's management API, as recorded ---

LISTED = [
    {
        "consumers": 1,
        "messages_ready": 2,
        "messages_unacknowledged": 3,
        "name": "operations",
        "vhost": "/",
    },
    {
        "consumers": 0,
        "messages_ready": 0,
        "messages_unacknowledged": 0,
        "name": "mail",
        "vhost": "odoo",
    },
]
# Of a worker of Celery: kombu makes its mailbox exclusive from 5.6 on, and auto-delete before.
MAILBOX = {
    "auto_delete": True,
    "consumers": 1,
    "exclusive": False,
    "messages_ready": 0,
    "messages_unacknowledged": 0,
    "name": "celery@5f2a9c1e7d30.celery.pidbox",
    "vhost": "/",
}


def answered(status: str, body: bytes) -> tuple[socket.socket, list[bytes]]:
    """A connection to a server that gives this one answer; what it was asked comes in the list."""
    ours, theirs = socket.socketpair()
    asked: list[bytes] = []

    def serve() -> None:
        with theirs:
            asked.append(theirs.recv(4096))
            head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n"
            theirs.sendall(head.encode() + body)

    threading.Thread(target=serve, daemon=True).start()
    return ours, asked


def test_each_queue_is_listed_with_its_messages_and_workers() -> None:
    connection, asked = answered("200 OK", json.dumps(LISTED).encode())
    with connection:
        found = queues(connection, "guest", "secret")
    assert found == {"/operations": Queue(2, 3, 1), "odoo/mail": Queue(0, 0, 0)}
    assert [it.messages for it in found.values()] == [5, 0]
    assert not any(it.is_of_client for it in found.values())
    assert b"Authorization: Basic Z3Vlc3Q6c2VjcmV0" in asked[0]


@pytest.mark.parametrize("key", ["auto_delete", "exclusive"])
def test_an_empty_queue_under_its_clients_own_name_need_not_move(key: str) -> None:
    flags = {"auto_delete": False, "exclusive": False, key: True}
    waits = {**MAILBOX, **flags, "name": "celeryev.9c1e", "messages_ready": 4}
    listed = [*LISTED, {**MAILBOX, **flags}, waits]
    connection, _ = answered("200 OK", json.dumps(listed).encode())
    with connection:
        found = queues(connection, "guest", "secret")
    assert to_move(found) == {"/operations": 5, "odoo/mail": 0, "/celeryev.9c1e": 4}


def test_a_queue_for_answers_that_has_no_counts_yet_hides_no_other() -> None:
    # Of `celery inspect ping`, a second old.
    young = {"auto_delete": True, "exclusive": False, "vhost": "/", "name": "9c1e.reply.celery"}
    connection, _ = answered("200 OK", json.dumps([*LISTED, young]).encode())
    with connection:
        assert to_move(queues(connection, "guest", "secret")) == {"/operations": 5, "odoo/mail": 0}


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        ("401 Unauthorized", b'{"error":"not_authorized"}', Denied),
        ("503 Service Unavailable", b"", Garbled),
        ("200 OK", b"{", Garbled),
        # RabbitMQ lists a queue that is younger than 5 s without counts.
        ("200 OK", b'[{"name": "operations", "vhost": "/"}]', Garbled),
        ("nonsense", b"", Unreachable),
    ],
)
def test_an_answer_that_lists_no_queues_is_an_error(
    status: str, body: bytes, error: type[TransportError]
) -> None:
    connection, _ = answered(status, body)
    with connection, pytest.raises(error):
        queues(connection, "guest", "secret")


# --- Redis' protocol ---

ANSWERS = st.recursive(
    st.none() | st.integers(-9, 999) | st.binary(max_size=9), lambda it: st.lists(it, max_size=3)
)


def written(answer: object) -> bytes:
    match answer:
        case None:
            return b"$-1\r\n"
        case int():
            return b":%d\r\n" % answer
        case bytes():
            return b"$%d\r\n%b\r\n" % (len(answer), answer)
        case list():
            return b"*%d\r\n" % len(answer) + b"".join(map(written, answer))
    raise AssertionError(answer)


@given(ANSWERS)
def test_an_answer_of_redis_is_read_as_it_was_written(answer: object) -> None:
    assert answer_of(io.BytesIO(written(answer))) == answer


@given(ANSWERS, st.integers(0, 40))
def test_an_answer_that_is_cut_is_no_answer(answer: object, at: int) -> None:
    whole = written(answer)
    if at < len(whole):
        with pytest.raises(TransportError):
            answer_of(io.BytesIO(whole[:at]))


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    folder = tmp_path_factory.mktemp("redis")
    path = folder / "s"
    settings = ("--port", "0", "--unixsocket", str(path), "--save", "", "--requirepass", "secret")
    process = subprocess.Popen(
        ("redis-server", *settings), cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
    )
    try:
        until(lambda: listens(path), within_s=60, what="Redis listens")
        yield path
    finally:
        process.terminate()
        process.wait(30)


def listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(str(path)) == 0


def connected(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(path))
    return connection


@pytest.mark.slow
def test_the_keys_of_a_real_redis_are_counted_by_prefix(redis: Path) -> None:
    with connected(redis) as connection, connection.makefile("rb") as reader:
        for number in range(2500):
            connection.sendall(b"AUTH secret\r\nSELECT %d\r\n" % (number % 2))
            prefix = b"reset" if number % 5 == 0 else b"session"
            connection.sendall(b"SET %b:%d x\r\n" % (prefix, number))
            assert [answer_of(reader) for _ in range(3)] == [b"OK"] * 3
    with connected(redis) as connection:
        found = keys(connection, "secret", ["session:", "none:"])
    assert found == {"session:": 2000, "none:": 0, OTHER: 500}


@pytest.mark.slow
def test_a_real_redis_is_asked_as_a_user_of_its_access_list(redis: Path) -> None:
    rights = b"~* &* -@all +info +select +scan"
    with connected(redis) as connection, connection.makefile("rb") as reader:
        connection.sendall(b"AUTH secret\r\nACL SETUSER counter on >theirs " + rights + b"\r\n")
        assert [answer_of(reader) for _ in range(2)] == [b"OK"] * 2
    with connected(redis) as connection:
        assert keys(connection, "theirs", ["none:"], user="counter")["none:"] == 0
    with connected(redis) as connection, pytest.raises(Denied, match="WRONGPASS"):
        keys(connection, "theirs", ["none:"])


@pytest.mark.slow
def test_a_redis_that_wants_another_password_is_told(redis: Path) -> None:
    for password, says in (("wrong", "WRONGPASS"), ("", "NOAUTH")):
        with connected(redis) as connection, pytest.raises(Denied, match=says):
            keys(connection, password, ["session:"])
