"""The visitors of one process: their requests, each on its own connection, and what came of each.

A visitor acts as behind DNS round robin: each request is a new connection to the next address of
the ingress. If an address refuses the connection, or does not accept it within a second, the
visitor tries the next address, as browsers and curl do. The last address has the remaining time.
After it is connected, there is no second try: a request without an answer has failed.

A request is written here and its answer is parsed by the library of Locust's FastHttpUser, which
needs a tenth of the time of http.client: the generator must stay far from its processor's limit.
"""

from __future__ import annotations

import contextlib
import errno
import http
import json
import re
import socket
import ssl
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from math import inf
from typing import Protocol

import gevent
from gevent.event import Event
from gevent.pool import Group
from geventhttpclient.response import HTTPResponse

from harness.core.names import Names, document_of, kept
from harness.facts.edge import TOO_MANY, retry_after_s
from harness.load.spec import ON_TIME_S, LoadSpec, Page

# RFC 8305 lets a client try the next address after 250 ms; most clients wait longer.
_CONNECTED_WITHIN_S = 1.0
_BLOCK = 65536
# What would end a line of the request, or a part of its first line.
_BREAKS = re.compile(rb"[\x00-\x20\x7f]")
_FIELD_BREAKS = re.compile(rb"[\x00\r\n]")
_WITH_BODY = ("POST", "PUT", "PATCH")
# Errors that come before anything is sent, as this computer has no file, port or memory left.
_OURS = (errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM)
# How a connection ends: with RST if the request is given up, which frees its port at once and not
# after a minute (TIME_WAIT): a platform that does not answer must not use up this computer's ports.
_ABRUPT_END, _USUAL_END = struct.pack("ii", 1, 0), struct.pack("ii", 0, 0)


class Failed(Exception):
    """A request that was not served; its text is the kind of error."""


class Unsent(Failed):
    """A request for which this computer had no connection: the generator did not send it."""


class Limited(Exception):
    """A request that got 429: the ingress limits the requests from this computer's address."""

    def __init__(self, host: str, retry_after: float | None) -> None:
        super().__init__(host)
        self.host = host
        self.retry_after_s = retry_after


class Answer(HTTPResponse):
    """An answer; the library's own reading of a connection never ends if a body is cut short."""

    def __init__(self, method: str) -> None:
        super().__init__(method)
        self.body = bytearray()

    def _on_body(self, buf: bytearray) -> None:
        self.body += buf

    def read(self, talk: socket.socket) -> None:
        """Read the whole of it; Failed if the connection ends before."""
        while data := talk.recv(_BLOCK):
            self.feed(data)
            if self._is_whole():
                return
        self.feed(b"")  # an answer without a length ends with the connection
        if not self._is_whole():
            raise Failed("broken off")

    def _is_whole(self) -> bool:
        """True if all of it is there; an answer of 1xx only comes before it."""
        return self.message_complete and self.status_code >= http.HTTPStatus.OK


class Record(Protocol):
    """Gets a request that is over.

    It was due ``at`` seconds after the begin by the plan. ``took_s`` counts from when it was due
    and the visitor had its answer to the request before.
    """

    def __call__(
        self, at: float, took_s: float, *, on_time: bool, error: Exception | None
    ) -> None: ...


@dataclass(slots=True)
class Visitors:
    """The visitors of one process. ``began`` is the load's begin by its monotonic clock.

    ``ended`` is its end, at which ``over`` is set: what is due before is sent, what is due later is
    not. ``came`` is set when the last visitor has come. Whether a request is on time is decided
    before it is sent, and depends on the generator alone.
    """

    spec: LoadSpec
    trust: ssl.SSLContext
    run: str
    began: float
    record: Record
    ended: float = inf
    over: Event = field(default_factory=Event)
    came: Event = field(default_factory=Event)
    here: Group = field(default_factory=Group)

    def come(self, first: int) -> None:
        """Let every n-th visitor of the plan come when it is due, to the end of the plan.

        Nothing that became of earlier visitors delays a later one, and a late process lets those
        come at once who were due meanwhile: otherwise the requests that were due during an outage
        would be missing (coordinated omission).
        """
        for number in count(first, self.spec.processes):
            due = self.began + self.spec.plan.due(number)
            if due >= self.ended:  # both are infinite after the last stage
                break
            if (wait_s := due - time.monotonic()) > 0:
                self.over.wait(wait_s)
            self.here.start(gevent.Greenlet(self._visit, number))
        self.came.set()

    def leave(self, ended: float) -> None:
        """End the load, and wait for the answers to all requests that were due before.

        A slow platform keeps visitors from their later requests. These are sent late and counted:
        if they were missing, the generator would be blamed.
        """
        self.ended = ended
        self.over.set()
        self.came.wait(self.spec.timeout_s)
        self.here.join(self.spec.answers_within_s + 1)
        self.here.kill()

    def _visit(self, number: int) -> None:
        """Send one visitor's requests; after one that failed, the rest of them fail unsent."""
        error: Exception | None = None
        own = {"number": str(number), "run": self.run}
        names = Names(own) if self.spec.journeys else None
        free = 0.0  # when the visitor has the answer to its last request
        for page, at in zip(self.spec.way_of(number), self.spec.dues(number), strict=True):
            # A visitor sends nothing before its last answer: that wait is in the last one's time.
            due = max(self.began + at, free)
            if (wait_s := due - time.monotonic()) > 0:
                self.over.wait(wait_s)
            if self.began + at >= self.ended:
                return
            if error is not None:
                rest = error if isinstance(error, Limited) else Failed("after a failed request")
                self.record(at, 0.0, on_time=True, error=rest)
                continue
            is_on_time = time.monotonic() - due <= ON_TIME_S
            error = self._ask(page, number, names)
            is_on_time &= not isinstance(error, Unsent)
            free = time.monotonic()
            self.record(at, free - due, on_time=is_on_time, error=error)

    def _ask(self, page: Page, number: int, names: Names | None) -> Exception | None:
        """Send one request; why it failed, if it did."""
        try:
            with gevent.Timeout(self.spec.timeout_s):
                self._answered(page, number, names)
        except gevent.Timeout:
            return Failed("timed out")
        except Limited as limit:
            return limit
        except Failed as failed:
            return failed
        except ssl.SSLCertVerificationError:
            return Failed("wrong certificate")
        except Exception:  # whatever else ends a connection counts as one kind
            return Failed("broken off")
        return None

    def _answered(self, page: Page, number: int, names: Names | None) -> None:
        """Send one request on its own connection; any exception is why it failed.

        What its answer gives is among the names then.
        """
        spec = self.spec
        request = written(page, spec.host_of(page), names)
        talk = _connected(spec.addresses, number % len(spec.addresses), spec.port)
        try:
            if spec.scheme == "https":
                talk = self.trust.wrap_socket(talk, server_hostname=page.host)
            talk.sendall(request)
            answer = Answer(page.method)
            answer.read(talk)
            talk.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _USUAL_END)
        finally:
            talk.close()
        if answer.status_code == TOO_MANY != page.status:
            fields = {name.lower(): str(value) for name, value in answer.items()}
            raise Limited(page.host, retry_after_s(fields))
        if (
            page.status is None
            and spec.scheme == "http"
            and _leads_to_tls(answer, page.host, request)
        ):
            raise Failed("sent to https")
        body = bytes(answer.body)
        judge(page, answer.status_code, body)
        if names is not None and page.keep:
            given = kept(document_of(body), page.keep)
            if given.keys() != page.keep.keys():
                raise Failed("nothing to keep")
            for name, value in given.items():
                names.keep(name, value)


def written(page: Page, host: str, names: Names | None) -> bytes:
    """The request as it is sent, with the names filled in; Failed if it would be another one.

    Without names its texts are sent as they are.
    """
    if names is not None:
        headers = {name: names.text(value) for name, value in page.headers.items()}
        page = page._replace(
            path=names.text(page.path), headers=headers, body=names.fill(page.body)
        )
    body = b"" if page.body is None else json.dumps(page.body).encode()
    fields = {"Host": host, "Accept-Encoding": "identity"}
    if page.body is not None:
        fields["Content-Type"] = "application/json"
    fields |= {name.title(): value for name, value in page.headers.items()}
    fields["Connection"] = "close"
    if body or page.method in _WITH_BODY:
        fields["Content-Length"] = str(len(body))
    path = page.path.encode()
    lines = [f"{name}: {value}".encode() for name, value in fields.items()]
    if _BREAKS.search(path) or any(_FIELD_BREAKS.search(it) for it in lines):
        raise Failed("not a request")
    first = b"%s %s HTTP/1.1" % (page.method.encode(), path)
    return b"\r\n".join((first, *lines, b"", body))


def judge(page: Page, status: int, body: bytes) -> None:
    """Raise Failed when an answer is not the expected one of the page."""
    if status != page.status if page.status else status >= http.HTTPStatus.BAD_REQUEST:
        raise Failed(f"status {status}")
    if page.says.encode() not in body:
        raise Failed("another answer")


def _leads_to_tls(answer: Answer, host: str, request: bytes) -> bool:
    """True if the ingress sends the same request to https: no service has seen it."""
    if not http.HTTPStatus.MULTIPLE_CHOICES <= answer.status_code < http.HTTPStatus.BAD_REQUEST:
        return False
    path = re.escape(request.split(b" ", 2)[1].decode())
    same = re.compile(rf"https://{re.escape(host)}(:[0-9]+)?{path}", re.IGNORECASE)
    return same.fullmatch(str(answer.get("location", ""))) is not None


def _connected(addresses: Sequence[str], first: int, port: int) -> socket.socket:
    """A connection to the first address that accepts it, from the ``first`` one on."""
    *others, last = [*addresses[first:], *addresses[:first]]
    for address in others:
        with contextlib.suppress(OSError):
            return _opened(address, port, _CONNECTED_WITHIN_S)
    try:
        return _opened(last, port, None)
    except OSError as error:
        if error.errno in _OURS:
            raise Unsent(f"not sent: {errno.errorcode[error.errno]} on this computer") from error
        raise Failed("no connection") from error


def _opened(address: str, port: int, within_s: float | None) -> socket.socket:
    """A connection to an IPv4 address; ``create_connection`` would look it up in a thread."""
    way = socket.socket()
    try:
        way.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABRUPT_END)
        # Or the request waits until the server has acknowledged the end of TLS's handshake: 40 ms.
        way.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        way.settimeout(within_s)
        way.connect((address, port))
        way.settimeout(None)
    except BaseException:
        way.close()
        raise
    return way
