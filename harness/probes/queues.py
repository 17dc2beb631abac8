"""Queues of RabbitMQ and keys of Redis, counted on the old and the new platform."""

from __future__ import annotations

import json
import socket
from base64 import b64encode
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection, HTTPException
from typing import BinaryIO, ClassVar

from harness.core.errors import Denied, Garbled, NotProven, Unreachable
from harness.core.model import JSON
from harness.facts.queues import QUEUES_AND_SESSIONS, Sides
from harness.facts.queues import QueuesAndSessions as Seen
from harness.facts.schema import attempt, dump
from harness.probes.databases import password_of, place_of
from harness.probes.probe import Timing
from harness.settings.databases import Queues, RabbitServer, RedisServer, Sessions
from harness.transport import Reach
from harness.transport.objects import flag, must, must_count, part
from harness.transport.ssh import Tunnels

_WITHIN_S = 30.0
OTHER = "other keys"
# How many keys Redis looks at in one step of SCAN, which then serves others.
_STEP = 1000
# What RabbitMQ's management API gives of each queue; the counts are a few seconds old.
_QUEUES = (
    "/api/queues?columns=vhost,name,messages_ready,messages_unacknowledged,consumers"
    ",auto_delete,exclusive"
)


@dataclass(frozen=True, slots=True)
class Queue:
    """The messages of a queue that wait and that are being worked on, and its workers.

    ``is_of_client``: it ends with its client, under whose own name it is, as Celery's mailbox of
    each worker (``celery@HOST.celery.pidbox``) and its events (``celeryev.UUID``).
    """

    ready: int
    unacknowledged: int
    consumers: int
    is_of_client: bool = False

    @property
    def messages(self) -> int:
        """All that it holds."""
        return self.ready + self.unacknowledged


class QueuesAndSessions:
    """Counts messages and keys; reads neither."""

    name: ClassVar[str] = QUEUES_AND_SESSIONS.name
    sentence: ClassVar[str] = "the queues and sessions of the old and the new platform"
    timing: ClassVar[Timing] = Timing.AT_START
    within_s: ClassVar[float] = 300.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [reach.profile.name]

    def observe(self, reach: Reach, target: str) -> JSON:
        profile = reach.profile
        machines = profile.cluster().machines
        with closing(Tunnels(profile.access.ssh, machines)) as tunnels:
            messages = attempt(partial(_queues, reach, tunnels, profile.queues))
            sessions = attempt(partial(_sessions, reach, tunnels, profile.sessions))
        return dump(Seen(messages, sessions))


def _queues(reach: Reach, tunnels: Tunnels, declared: Queues | None) -> Sides:
    if declared is None:
        raise NotProven("the profile declares no queues", remedy="declare `queues:`")

    def counted(server: RabbitServer) -> dict[str, int]:
        return to_move(queues_of(reach, tunnels, server))

    return Sides(counted(declared.source), counted(declared.target))


def to_move(found: Mapping[str, Queue]) -> dict[str, int]:
    """The messages of each queue, without a client's own empty one: nothing of it could move."""
    return {name: it.messages for name, it in found.items() if it.messages or not it.is_of_client}


def queues_of(reach: Reach, tunnels: Tunnels, server: RabbitServer) -> dict[str, Queue]:
    """Each queue of a declared RabbitMQ, by VHOST/NAME; raises TransportError.

    ConfigError if its password cannot be read.
    """
    password = password_of(server.user, server.password_file)
    with _connected(reach, tunnels, server) as connection:
        return queues(connection, server.user, password)


def _sessions(reach: Reach, tunnels: Tunnels, declared: Sessions | None) -> Sides:
    if declared is None:
        raise NotProven("the profile declares no sessions", remedy="declare `sessions:`")

    def counted(server: RedisServer) -> dict[str, int]:
        file = server.password_file
        password = "" if file is None else password_of(server.user or "Redis", file)
        with _connected(reach, tunnels, server) as connection:
            return keys(connection, password, declared.prefixes, user=server.user)

    return Sides(counted(declared.source), counted(declared.target))


def _connected(reach: Reach, tunnels: Tunnels, server: RabbitServer | RedisServer) -> socket.socket:
    connection = tunnels.connect(*place_of(reach, server), server.port)
    connection.settimeout(_WITHIN_S)
    return connection


def queues(connection: socket.socket, user: str, password: str) -> dict[str, Queue]:
    """Each queue of a RabbitMQ, by VHOST/NAME.

    The root vhost's name is "/", so its queues are /NAME. Raises TransportError.
    """
    token = b64encode(f"{user}:{password}".encode()).decode()
    client = HTTPConnection("rabbitmq", timeout=_WITHIN_S)
    client.sock = connection
    try:
        client.request("GET", _QUEUES, headers={"Authorization": f"Basic {token}"})
        answer = client.getresponse()
        body = answer.read()
    except (OSError, HTTPException) as error:
        raise Unreachable(f"RabbitMQ's management API: {error}") from error
    if answer.status in (401, 403):
        raise Denied(f"RabbitMQ refuses {user} the list of queues ({answer.status})")
    try:
        found = json.loads(body) if answer.status == 200 else None
    except ValueError:
        found = None
    if not isinstance(found, list):
        raise Garbled(f"RabbitMQ's management API: {answer.status}, {body[:80]!r}")
    return {
        f"{must(it, 'vhost').rstrip('/')}/{must(it, 'name')}": Queue(
            ready=must_count(it, "messages_ready"),
            unacknowledged=must_count(it, "messages_unacknowledged"),
            consumers=must_count(it, "consumers"),
            is_of_client=_is_of_client(it),
        )
        for it in found
        # A queue younger than 5 s has no counts yet. Each `celery inspect ping` makes one for the
        # answers to it, and a worker's health check is often just that.
        if not (_is_of_client(it) and part(it).get("messages_ready") is None)
    }


def _is_of_client(queue: object) -> bool:
    return flag(queue, "auto_delete") or flag(queue, "exclusive")


def keys(
    connection: socket.socket, password: str, prefixes: Sequence[str], *, user: str = ""
) -> dict[str, int]:
    """How many keys of all databases begin with each prefix, and how many others there are.

    A key that two prefixes fit counts for the first. ``user`` is one of Redis' access list; without
    it, that of every client. Raises TransportError.
    """
    found: dict[str, set[int]] = {it: set() for it in (*prefixes, OTHER)}
    beginnings = {it: it.encode() for it in prefixes}
    try:
        with connection.makefile("rb") as reader:
            ask = partial(_asked, connection, reader)
            if password:
                ask("AUTH", *([user] if user else []), password)
            for database in _databases(ask("INFO", "keyspace")):
                ask("SELECT", str(database))
                cursor = "0"
                while True:
                    following, names = _page(ask("SCAN", cursor, "COUNT", str(_STEP)))
                    for name in names:
                        fits = (it for it, begins in beginnings.items() if name.startswith(begins))
                        # SCAN may name a key twice.
                        found[next(fits, OTHER)].add(hash((database, name)))
                    cursor = following
                    if cursor == "0":
                        break
    except OSError as error:
        raise Unreachable(f"Redis: {error}") from error
    return {prefix: len(those) for prefix, those in found.items()}


def _databases(says: object) -> list[int]:
    """The numbers of the databases that have keys, as INFO gives them."""
    if not isinstance(says, bytes):
        raise Garbled(f"Redis: not the answer of INFO: {says!r}")
    lines = says.decode(errors="replace").splitlines()
    return [int(it[2:].partition(":")[0]) for it in lines if it.startswith("db")]


def _page(answer: object) -> tuple[str, list[bytes]]:
    match answer:
        case [bytes(cursor), list(names)]:
            return cursor.decode(), [it for it in names if isinstance(it, bytes)]
    raise Garbled("Redis: not the answer of SCAN")


def _asked(connection: socket.socket, reader: BinaryIO, *words: str) -> object:
    """The answer of a command in Redis' protocol (RESP2)."""
    parts = [b"*%d\r\n" % len(words)]
    parts += [b"$%d\r\n%b\r\n" % (len(it), it) for it in (word.encode() for word in words)]
    connection.sendall(b"".join(parts))
    return answer_of(reader)


def _text(redis: BinaryIO, length: int) -> bytes:
    found = redis.read(length + 2)
    if len(found) != length + 2:
        raise Unreachable("Redis closed the connection")
    return found[:-2]


def answer_of(redis: BinaryIO) -> object:
    """One answer of Redis: bytes, a number, None, or a list of these; raises TransportError."""
    line = redis.readline()
    if not line.endswith(b"\r\n"):
        raise Unreachable("Redis closed the connection")
    kind, rest = line[:1], line[1:-2]
    if kind == b"-":
        raise Denied(f"Redis: {rest.decode(errors='replace')}")
    if kind == b"+":
        return rest
    if not rest.lstrip(b"-").isdigit():
        raise Garbled(f"Redis: not RESP: {line[:40]!r}")
    number = int(rest)
    match kind:
        case b":":
            return number
        case b"$":
            return None if number < 0 else _text(redis, number)
        case b"*":
            return None if number < 0 else [answer_of(redis) for _ in range(number)]
    raise Garbled(f"Redis: not RESP: {line[:40]!r}")
