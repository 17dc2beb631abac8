"""A visitor keeps and sends the cookies of real platforms as a browser does."""

from __future__ import annotations

import pytest

from harness.move.session import Session
from harness.transport.protocols import Response

# As Odoo 17, a service of FastAPI, a JavaScript frontend and Traefik's sticky service set them.
COOKIES = {
    "session_id=f3a9; Expires=Fri, 01 Jan 2100 00:00:00 GMT; Max-Age=604800; HttpOnly; Path=/": (
        "session_id=f3a9"
    ),
    "sid=f3a9; Path=/; Secure; HttpOnly; SameSite=None; Partitioned": "sid=f3a9",
    'access_token="Bearer a\\054b"; HttpOnly; Path=/; SameSite=lax': (
        'access_token="Bearer a\\054b"'
    ),
    'consent={"all":true}; Path=/': 'consent={"all":true}',
    "_1d52e=http://10.42.1.7:8069; Path=/": "_1d52e=http://10.42.1.7:8069",
}


def answer(*cookies: str) -> Response:
    return Response(200, tuple(("Set-Cookie", it) for it in cookies), b"")


@pytest.mark.parametrize(("told", "sent"), COOKIES.items())
def test_a_cookie_comes_back_to_its_letter(told: str, sent: str) -> None:
    session = Session("visitor 1")
    session.keep(answer(told))
    assert session.fields == {"Cookie": sent}


@pytest.mark.parametrize(
    "end",
    [
        "session_id=; Max-Age=0; Path=/",
        "session_id=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/",
        "session_id=f3a9; expires=Thu, 01-Jan-1970 00:00:00 GMT",
    ],
)
def test_a_cookie_that_the_platform_ends_is_sent_no_more(end: str) -> None:
    session = Session("visitor 1")
    session.keep(answer("session_id=f3a9; Path=/", "lang=en"))
    session.keep(answer(end))
    assert session.fields == {"Cookie": "lang=en"}


def test_a_cookie_that_says_no_end_that_can_be_read_stays() -> None:
    session = Session("visitor 1")
    session.keep(answer("a=1; Max-Age=soon", "b=2; Expires=later", "no cookie", "=3"))
    assert session.fields == {"Cookie": "a=1; b=2"}
