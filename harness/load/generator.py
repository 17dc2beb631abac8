"""The program that offers the load, in a process of its own: ``start`` loads and runs it.

Its standard input is one line, the LoadSpec. The load ends when the harness closes that input, or
when the harness itself ends. Its standard output is what ``results`` reads.

A visitor here is as one behind DNS round robin: each request is a new connection to the next
address of the ingress. An address that refuses a connection, or makes none within a second, is
left for the next one, as browsers and curl do; the last one has all the time that is left. From
then on there is no second try: whoever is connected and gets no answer has been failed.
"""

from __future__ import annotations

import locust  # isort: skip  # first: it replaces sockets and TLS, which nobody may have by then

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
from typing import Any, ClassVar

import gevent
from gevent.socket import wait_read
from locust.env import Environment

from harness.facts.throttling import TOO_MANY, retry_after_s
from harness.load.histogram import Histogram
from harness.load.spec import ON_TIME_S, LoadSpec, Page, due_at

# RFC 8305 lets a client try the next address after a quarter of a second; most are more patient.
_CONNECTED_WITHIN_S = 1.0
# Until the first users are there; the first request is due then. More at once locust warns of.
_BEGINS_IN_S = 1.0
_SPAWNS_PER_S = 100.0
_WRITES_EVERY_S = 1.0
# Whoever hangs in spite of all is ended by the kernel so long after the load should have been.
_GRACE_S = 30.0
_CHUNK = 65536


class Failed(Exception):
    """A request that was not served; its text is the kind."""


class Limited(Exception):
    """A request that got 429: the ingress takes no more from our one address just now."""

    def __init__(self, host: str, retry_after: float | None) -> None:
        super().__init__(host)
        self.host = host
        self.retry_after_s = retry_after


class VirtualUser(locust.User):
    """One of ``spec.users`` who share the requests among them, in turn.

    ``due`` moves on by the plan alone. A user who is late does not start anew from now: that would
    leave out the requests of the very moments in which nobody was served.
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
        return due_at(self.began, self.number, self.spec.per_s)

    def wait_time(self) -> float:
        return max(0.0, self.due - time.monotonic())

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
    """One request, on a connection of its own; whatever is raised is why it failed."""
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
        # An answer is there when all of it is.
        body = b"".join(iter(lambda: response.read(_CHUNK), b""))
    if response.status == TOO_MANY != page.status:
        headers = {name.lower(): value for name, value in response.getheaders()}
        raise Limited(page.host, retry_after_s(headers))
    judge(page, response.status, body)


def judge(page: Page, status: int, body: bytes) -> None:
    """Raises Failed when an answer is not the one that the page should have."""
    if status != page.status if page.status else status >= http.HTTPStatus.BAD_REQUEST:
        raise Failed(f"status {status}")
    if page.says.encode() not in body:
        raise Failed("another answer")


def connected(addresses: list[str], port: int) -> socket.socket:
    """A connection to the first of the addresses that makes one."""
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
    """A word for why a request failed: few enough to count them."""
    if isinstance(error, Failed):
        return str(error)
    return "wrong certificate" if isinstance(error, ssl.SSLCertVerificationError) else "broken off"


class Seconds:
    """Counts requests by the second in which they were due, and writes what is new."""

    def __init__(self) -> None:
        self._new: defaultdict[int, Histogram] = defaultdict(Histogram)

    def hear(
        self,
        response_time: float,
        exception: Exception | None,
        context: dict[str, Any],
        **_: object,
    ) -> None:
        """A request is over: locust's event."""
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
    # One write a line: a reader never sees half of one for long, and never half of two.
    sys.stdout.write(json.dumps(data) + "\n")
    sys.stdout.flush()


def main() -> None:
    # Whoever measures must not be late: as root it comes before all who share the processors, and
    # sleeps nearly all the time. Being nice would count only among the tasks of one session.
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
    say({"began": VirtualUser.began, "stage": "sending requests"})
    # Users come as fast as their first requests are due, and the first of them before that.
    runner.start(spec.users, spawn_rate=max(_SPAWNS_PER_S, spec.per_s))
    writing = gevent.spawn(seconds.write_on)
    with contextlib.suppress(TimeoutError):
        wait_read(sys.stdin.fileno(), timeout=spec.lasts_s)
    ended = time.monotonic()
    runner.quit()
    writing.kill()
    seconds.write()
    say({"ended": ended})
