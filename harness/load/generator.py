"""The program that generates the load, in its own process: ``start`` loads and runs it.

Its standard input is one line, the LoadSpec. The load ends when the harness closes that input, or
when the harness itself ends. Its standard output is what ``results`` reads.

A virtual user acts as behind DNS round robin: each request is a new connection to the next address
of the ingress. If an address refuses the connection, or does not accept it within a second, the
user tries the next address, as browsers and curl do. The last address has the remaining time. After
it is connected, there is no second try: a request without an answer has failed.
"""

from __future__ import annotations

import locust  # isort: skip  # first: it patches sockets and TLS before any import of them

import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import sys
import time
from collections import defaultdict
from contextlib import ExitStack, closing
from itertools import count
from math import floor
from typing import ClassVar, TypedDict

import gevent
from gevent.socket import wait_read
from locust.env import Environment

from harness.facts.edge import TOO_MANY, retry_after_s
from harness.load.results import Histogram
from harness.load.spec import ON_TIME_S, LoadSpec, Page

# RFC 8305 lets a client try the next address after 250 ms; most clients wait longer.
_CONNECTED_WITHIN_S = 1.0
# The first request is due after this time, when the first users exist. Locust warns of a higher
# spawn rate.
_BEGINS_IN_S = 1.0
_SPAWNS_PER_S = 100.0
_WRITES_EVERY_S = 1.0
# A user without another request waits for the end of the load; gevent cannot wait infinitely.
_FOREVER_S = 3600.0
# If the generator hangs, the kernel ends it (SIGALRM) this long after the end of the load.
_GRACE_S = 30.0
_CHUNK = 65536


class Failed(Exception):
    """A request that was not served; its text is the kind of error."""


class Limited(Exception):
    """A request that got 429: the ingress limits the requests from this computer's address."""

    def __init__(self, host: str, retry_after: float | None) -> None:
        super().__init__(host)
        self.host = host
        self.retry_after_s = retry_after


class VirtualUser(locust.User):
    """One of ``spec.users`` virtual users, which send the requests in turn.

    ``due`` depends only on the plan; after the last request it is infinite. A late user keeps its
    old due times: otherwise the requests that were due during an outage would be missing
    (coordinated omission).
    """

    spec: ClassVar[LoadSpec]
    trust: ClassVar[ssl.SSLContext]
    began: ClassVar[float]
    numbers: ClassVar[count[int]] = count()

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.number = next(self.numbers)

    @property
    def due(self) -> float:
        return self.began + self.spec.plan.due(self.number)

    def wait_time(self) -> float:
        return min(max(0.0, self.due - time.monotonic()), _FOREVER_S)

    @locust.task
    def visit(self) -> None:
        number, due, now = self.number, self.due, time.monotonic()
        if now < due:  # locust begins with a task, not with waiting
            return
        self.number += self.spec.users
        error: Exception | None = None
        try:
            with gevent.Timeout(self.spec.timeout_s):
                ask(self.spec, self.trust, number)
        except gevent.Timeout:
            error = Failed("timed out")
        except Limited as limit:
            error = limit
        except Exception as problem:
            error = Failed(kind_of(problem))
        self.environment.events.request.fire(
            request_type="GET",
            name="ingress",
            response_time=(time.monotonic() - due) * 1000,
            response_length=0,
            exception=error,
            context={"due": due, "on_time": now - due <= ON_TIME_S},
        )


def ask(spec: LoadSpec, trust: ssl.SSLContext, number: int) -> None:
    """Send one request on its own connection; any exception is why it failed."""
    round_, first = divmod(number, len(spec.addresses))
    page = spec.pages[round_ % len(spec.pages)]
    with ExitStack() as ways:
        addresses = [*spec.addresses[first:], *spec.addresses[:first]]
        talk = ways.enter_context(closing(connected(addresses, spec.port)))
        if spec.scheme == "https":
            talk = ways.enter_context(trust.wrap_socket(talk, server_hostname=page.host))
        connection = http.client.HTTPConnection(spec.host_of(page))
        connection.sock = talk
        connection.request("GET", page.path, headers={"Connection": "close"})
        response = connection.getresponse()
        # An answer counts once its whole body has arrived.
        body = b"".join(iter(lambda: response.read(_CHUNK), b""))
    if response.status == TOO_MANY != page.status:
        headers = {name.lower(): value for name, value in response.getheaders()}
        raise Limited(page.host, retry_after_s(headers))
    judge(page, response.status, body)


def judge(page: Page, status: int, body: bytes) -> None:
    """Raise Failed when an answer is not the expected one of the page."""
    if status != page.status if page.status else status >= http.HTTPStatus.BAD_REQUEST:
        raise Failed(f"status {status}")
    if page.says.encode() not in body:
        raise Failed("another answer")


def connected(addresses: list[str], port: int) -> socket.socket:
    """A connection to the first address that accepts it."""
    *others, last = addresses
    for address in others:
        with contextlib.suppress(OSError):
            way = socket.create_connection((address, port), timeout=_CONNECTED_WITHIN_S)
            way.settimeout(None)
            return way
    try:
        return socket.create_connection((last, port))
    except OSError as error:
        raise Failed("no connection") from error


def kind_of(error: Exception) -> str:
    """The kind of a request's error, one of a few, so that they can be counted."""
    if isinstance(error, Failed):
        return str(error)
    return "wrong certificate" if isinstance(error, ssl.SSLCertVerificationError) else "broken off"


class Context(TypedDict):
    """What ``visit`` says of a request: when it was due, and whether it began on time."""

    due: float
    on_time: bool


class Seconds:
    """Counts requests by the second in which they were due, and writes new counts."""

    def __init__(self) -> None:
        self._new: defaultdict[int, Histogram] = defaultdict(Histogram)

    def hear(
        self,
        response_time: float,
        exception: Exception | None,
        context: Context,
        **_: object,
    ) -> None:
        """Handle locust's event that a request is over."""
        bucket = self._new[floor(context["due"])]
        if isinstance(exception, Limited):
            bucket.add_limited(exception.host, exception.retry_after_s, on_time=context["on_time"])
            return
        bucket.add(
            response_time / 1000,
            on_time=context["on_time"],
            error=None if exception is None else str(exception),
        )

    def write(self) -> None:
        written, self._new = self._new, defaultdict(Histogram)
        for second, bucket in sorted(written.items()):
            say({"second": second, **bucket.to_json()})

    def write_on(self) -> None:
        while True:
            gevent.sleep(_WRITES_EVERY_S)
            self.write()


def say(data: dict[str, object]) -> None:
    # One write per line: a reader sees at most one partial line, and only for a moment.
    sys.stdout.write(json.dumps(data) + "\n")
    sys.stdout.flush()


def main() -> None:
    # The generator must not be late: as root it gets real-time priority, and it sleeps nearly all
    # the time. A nice value would count only among the processes of one session.
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    say({"stage": "reading what to send"})
    spec = LoadSpec.from_line(sys.stdin.readline())
    signal.alarm(floor(spec.lasts_s + spec.timeout_s + _GRACE_S))
    VirtualUser.spec, VirtualUser.trust = spec, ssl.create_default_context(cafile=spec.authority)
    seconds = Seconds()
    environment = Environment(user_classes=[VirtualUser], stop_timeout=spec.timeout_s + 1)
    environment.events.request.add_listener(seconds.hear)
    runner = environment.create_local_runner()
    VirtualUser.began = time.monotonic() + _BEGINS_IN_S
    busy = time.process_time()
    say({"began": VirtualUser.began, "stage": "sending requests"})
    # Users spawn at least as fast as their first requests are due.
    runner.start(spec.users, spawn_rate=max(_SPAWNS_PER_S, spec.plan.most_per_s))
    writing = gevent.spawn(seconds.write_on)
    with contextlib.suppress(TimeoutError):
        wait_read(sys.stdin.fileno(), timeout=spec.lasts_s)
    ended = time.monotonic()
    runner.quit()
    writing.kill()
    seconds.write()
    say({"ended": ended, "busy_s": time.process_time() - busy})
