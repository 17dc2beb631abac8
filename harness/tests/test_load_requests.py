"""What the generator sends and takes for an answer, byte by byte, over loopback."""

from __future__ import annotations

import json
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import takewhile

import pytest
from pydantic import ValidationError

from harness.core.tls import trusting
from harness.facts.loads import Offered
from harness.load import visitor
from harness.load.running import offer
from harness.load.spec import LoadSpec, Page, Plan, Stage, staged_spec
from harness.settings.loads import Load, LoadJourney
from harness.tests.loopback import Answer, Asked, answering
from harness.tests.strict_tls import as_python_3_13
from harness.tests.test_loads import sites
from harness.tests.visited import HERE, SITE

pytestmark = pytest.mark.slow

_OK = b"HTTP/1.1 200 OK\r\n"


class _Raw(socketserver.StreamRequestHandler):
    """Answers each path with the bytes that the test gives, and closes the connection."""

    answers: Mapping[str, bytes]
    heads: list[str]

    def handle(self) -> None:
        lines = [it.decode().strip() for it in takewhile(bytes.strip, self.rfile)]
        self.heads.append("\n".join(lines))
        self.wfile.write(self.answers[lines[0].split()[1]])


@contextmanager
def raw(answers: Mapping[str, bytes]) -> Iterator[tuple[int, list[str]]]:
    """A server that writes these bytes; its port, and the head of each request so far."""
    heads: list[str] = []
    handler = type("Raw", (_Raw,), {"answers": answers, "heads": heads})
    with socketserver.ThreadingTCPServer((HERE, 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1], heads
        finally:
            server.shutdown()
            thread.join()


def offered(port: int, *pages: Page) -> Offered:
    """Ten requests of each page, one after the other."""
    per_s = 10.0 * len(pages)
    return offer(
        LoadSpec(
            addresses=[HERE],
            pages=pages,
            authority=None,
            plan=Plan(0.0, (Stage("steady", per_s, per_s, 1),)),
            timeout_s=10,
            lasts_s=60,
            scheme="http",
            port=port,
        )
    )


def test_only_a_whole_answer_counts() -> None:
    whole = {
        "/sized": _OK + b"Content-Length: 4\r\n\r\nwell",
        "/until-closed": _OK + b"Connection: close\r\n\r\nwell",
        "/chunked": _OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\nwell\r\n0\r\n\r\n",
        "/after-a-hint": b"HTTP/1.1 103 Early Hints\r\n\r\n"
        + _OK
        + b"Content-Length: 4\r\n\r\nwell",
    }
    broken = {
        "/nothing": b"",
        "/no-http": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "/half-a-head": _OK + b"Content-Le",
        "/half-a-body": _OK + b"Content-Length: 40\r\n\r\nwell",
        "/half-a-chunk": _OK + b"Transfer-Encoding: chunked\r\n\r\n40\r\nwell",
        "/no-last-chunk": _OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\nwell\r\n",
    }
    with raw(whole | broken) as (port, _):
        well = offered(port, *(Page(SITE, path, 200, "well") for path in whole))
        ill = offered(port, Page(SITE, "/sized"), *(Page(SITE, path) for path in broken))
    assert (well.whole.answered, well.whole.errors) == (40, {})
    assert (ill.whole.answered, ill.whole.errors) == (10, {"broken off": 60})


def test_an_ingress_that_sends_every_request_to_https_has_served_none() -> None:
    """As Traefik's `redirections.entryPoint` answers; a service's own redirect is an answer."""

    def moved(to: str, status: str = "308 Permanent Redirect") -> bytes:
        return f"HTTP/1.1 {status}\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode()

    answers = {
        "/web?db=a": moved(f"https://{SITE}/web?db=a", "301 Moved Permanently"),
        "/": moved(f"https://{SITE}:8443/"),
        "/odoo": moved("/web/login", "303 See Other"),
        "/health": moved(f"http://{SITE}/health/", "307 Temporary Redirect"),
        "/sso": moved("https://auth.example/sso"),
    }
    with raw(answers) as (port, _):
        found = offered(port, *(Page(SITE, path) for path in answers))
    assert (found.whole.answered, found.whole.errors) == (30, {"sent to https": 20})
    with raw(answers) as (port, _):  # a declared status is judged alone
        assert offered(port, Page(SITE, "/", 308)).whole.answered == 10


def test_a_request_has_its_host_its_own_fields_and_its_body() -> None:
    with raw({"/": _OK + b"Content-Length: 0\r\n\r\n"}) as (port, heads):
        page = Page(SITE, "/", headers={"x-tenant": "a", "accept-encoding": "gzip"})
        offered(port, page, page._replace(method="POST", body={"of": 1}))
    reads, writes = sorted(set(heads))
    host = f"Host: {SITE}:{port}"
    assert reads.splitlines() == [
        "GET / HTTP/1.1",
        host,
        "Accept-Encoding: gzip",
        "X-Tenant: a",
        "Connection: close",
    ]
    assert writes.splitlines() == [
        "POST / HTTP/1.1",
        host,
        "Accept-Encoding: gzip",
        "Content-Type: application/json",
        "X-Tenant: a",
        "Connection: close",
        "Content-Length: 9",
    ]


@pytest.mark.parametrize(
    "page", [Page(SITE, "/ HTTP/1.1\r\nX: 1"), Page(SITE, "/", headers={"X": "1\r\nHost: other"})]
)
def test_a_value_that_would_end_its_line_is_not_sent(page: Page) -> None:
    with raw({"/": _OK + b"Content-Length: 0\r\n\r\n"}) as (port, heads):
        found = offered(port, Page(SITE, "/"), page)
    assert len(heads) == found.whole.answered == 10
    assert found.whole.errors == {"not a request": 10}


def steps(*those: Mapping[str, object]) -> LoadJourney:
    return LoadJourney.model_validate({"steps": those})


LOGIN = {"method": "POST", "path": "/login", "body": {"name": "{run}-{number}"}}
KEEPS = LOGIN | {"keep": {"token": "/data/token", "id": "/id"}}
USES = {"path": "/cart/{id}", "headers": {"Authorization": "Bearer {token}"}}
PAYS = {"method": "POST", "path": "/pay", "body": {"cart": "{id}", "by": "{number}"}}


def walked(port: int, *those: Mapping[str, object]) -> Offered:
    """Ten visitors who take these steps, all of them."""
    load = Load.model_validate(
        {
            "schema": 1,
            "name": "shop",
            "title": "Visitors log in",
            "requests_per_s": 5,
            "timeout_s": 10,
            "journeys": [steps(*those)],
            "stages": [{"requests_per_s": 5, "for_s": 5}],
        }
    )
    spec = staged_spec(load, sites(SITE))
    plan = Plan(0.0, (Stage("steady", 10, 10, 1),), 7)
    return offer(replace(spec, addresses=[HERE], port=port, plan=plan))


@pytest.mark.parametrize("token", ["t-{}", "t-{}\r\nX-Admin: 1"], ids=["kept", "hostile"])
def test_what_an_answer_gave_is_in_the_visitors_later_requests_and_in_no_other_ones(
    token: str,
) -> None:
    asked: list[Asked] = []

    def answer(it: Asked) -> Answer:
        asked.append(it)
        if it.path != "/login":
            return 200, (), b"{}"
        number = json.loads(it.body)["name"].partition("-")[2]
        given = {"id": int(number), "data": {"token": token.format(number)}}
        return 200, (), json.dumps(given).encode()

    with answering(answer) as port:
        found = walked(port, KEEPS, USES, PAYS)
    if token != "t-{}":
        assert {it.path for it in asked} == {"/login"}
        assert found.whole.errors == {"not a request": 10, "after a failed request": 10}
        return
    assert found.whole.errors == {}
    carts = {it.path: it.headers["Authorization"] for it in asked if it.path.startswith("/cart")}
    assert carts == {f"/cart/{it}": f"Bearer t-{it}" for it in range(10)}
    paid = [json.loads(it.body) for it in asked if it.path == "/pay"]
    assert sorted(it["cart"] for it in paid) == list(range(10))  # a number stays a number
    assert all(it["by"] == str(it["cart"]) for it in paid)


def test_an_answer_without_what_is_to_be_kept_has_failed() -> None:
    with answering(lambda _: (200, (), b'{"id": 1, "data": null}')) as port:
        found = walked(port, {"path": "/"}, KEEPS, USES)
    assert found.whole.errors == {"nothing to keep": 10, "after a failed request": 10}


def test_a_step_uses_only_what_a_step_before_keeps() -> None:
    with pytest.raises(ValidationError, match=r"uses \['id', 'token'\], which no step"):
        steps(USES, KEEPS)
    assert steps(KEEPS, USES).steps[0].keep == {"token": "/data/token", "id": "/id"}


def test_a_request_does_not_wait_until_what_was_sent_before_it_is_acknowledged() -> None:
    """The last words of a TLS handshake are: without this, each answer seems 40 ms slower."""
    with socket.create_server((HERE, 0)) as server:
        port = server.getsockname()[1]
        way = visitor._opened(HERE, port, 1.0)
        with way:
            assert way.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_private_authority_without_key_identifiers_is_trusted_whatever_python_asks_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    as_python_3_13(monkeypatch)
    assert not trusting().verify_flags & ssl.VERIFY_X509_STRICT
