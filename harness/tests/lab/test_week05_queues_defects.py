"""Seeded defects of W5-EQUAL: pods that answer like a RabbitMQ and a Redis, on both sides."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator

import pytest

from harness.core.waiting import until
from harness.tests.lab import objects
from harness.tests.lab.asking import ask
from harness.tests.lab.world import World

SPACE = "test-queues"
QUEUES = "every queue is moved, or declared lost"
SESSIONS = "every session is moved, or declared lost"
DECLARED = f"""
queues:
  source: {{service: {SPACE}/old, password_file: PASSWORD}}
  target: {{service: {SPACE}/new, password_file: PASSWORD}}
  lost: {{/events: nobody reads them later}}
sessions:
  source: {{service: {SPACE}/old}}
  target: {{service: {SPACE}/new}}
  prefixes: ["session:"]
"""
# /tmp/queues holds the messages of each queue, /tmp/keys the keys of Redis' first database.
SERVER = """
import http.server, json, socketserver, threading

def read(name):
    with open(f"/tmp/{name}") as file:
        return json.load(file)

class Rabbit(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        idle = {"vhost": "/", "messages_unacknowledged": 0, "consumers": 0}
        found = [{**idle, "name": it, "messages_ready": n} for it, n in read("queues").items()]
        body = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

def bulk(text):
    return b"$%d\\r\\n%b\\r\\n" % (len(text), text)

class Redis(socketserver.StreamRequestHandler):
    def handle(self):
        while line := self.rfile.readline():
            pairs = [(self.rfile.readline(), self.rfile.readline()) for _ in range(int(line[1:]))]
            command = pairs[0][1].strip()
            keys = [bulk(it.encode()) for it in read("keys")]
            page = b"*2\\r\\n" + bulk(b"0") + b"*%d\\r\\n" % len(keys) + b"".join(keys)
            answers = {b"INFO": bulk(b"db0:keys=1\\r\\n"), b"SCAN": page}
            self.wfile.write(answers.get(command, b"+OK\\r\\n"))

redis = socketserver.ThreadingTCPServer(("", 6379), Redis)
threading.Thread(target=redis.serve_forever, daemon=True).start()
http.server.ThreadingHTTPServer(("", 15672), Rabbit).serve_forever()
"""


@pytest.fixture
def space(world: World) -> Iterator[objects.Namespace]:
    with objects.namespace(world, SPACE) as space:
        for name, node in (("old", world.one), ("new", world.two)):
            server = objects.pod(name, node.name, "python3", "-c", SERVER, labels={"app": name})
            space.apply(server, service(name))
        space.ready("old", "new")
        for name in ("old", "new"):
            write(space, name, queues={"operations": 2, "mail": 0}, keys=["session:a", "session:b"])
        yield space


@pytest.fixture
def profile(world: World) -> str:
    password = world.scratch / "rabbit-password"
    password.write_text("any\n")
    declared = textwrap.dedent(DECLARED).replace("PASSWORD", str(password))
    return world.profile_with([("\nstack:", f"{declared}\nstack:")])


def service(name: str) -> dict[str, object]:
    ports = [{"name": "rabbit", "port": 15672}, {"name": "redis", "port": 6379}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": ports},
    }


def write(space: objects.Namespace, pod: str, **files: object) -> None:
    for name, content in files.items():
        space.run(pod, "sh", "-c", f'printf %s "$0" >/tmp/{name}', json.dumps(content))


@pytest.mark.defect(
    "every queue is moved, or declared lost", "every session is moved, or declared lost"
)
def test_work_and_sessions_that_were_left_behind_are_found(
    space: objects.Namespace, profile: str
) -> None:
    def outcomes() -> set[str]:
        found = ask(profile, "queues-and-sessions", QUEUES, SESSIONS)
        return {outcome for outcome, _ in found.values()}

    until(lambda: outcomes() == {"pass"}, within_s=60, what="both sides answer alike")
    write(space, "old", queues={"operations": 2, "mail": 0, "events": 7})
    assert outcomes() == {"pass"}

    write(space, "new", queues={"operations": 1}, keys=["session:a"])
    found = ask(profile, "queues-and-sessions", QUEUES, SESSIONS)
    assert found[QUEUES] == (
        "fail",
        "/operations: expected 2 messages at the target, seen 1; "
        "/mail: expected the queue with 0 messages at the target, seen no such queue",
    )
    assert found[SESSIONS] == (
        "fail",
        "session:: expected at least 2 keys at the target, seen 1",
    )
