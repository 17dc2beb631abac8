"""Requests through the front, as customers send them: what came of each, and who answered it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

from harness.core.errors import HarnessError
from harness.facts.edge import TOO_MANY
from harness.move.answers import SOURCE, TARGET, Answer, Note
from harness.move.session import Session
from harness.settings.shift import Front, Login, Sampled, Sides, WriteRequest
from harness.transport import ExternalClient
from harness.transport.protocols import EntryPoint, Response

_JSON = {"Content-Type": "application/json"}
_CLIENT_ERROR = 400


class Client:
    """Sends requests to the front, each on a connection of its own; all raise TransportError."""

    def __init__(
        self, outside: ExternalClient, front: Front, sides: Sides, *, timeout_s: float
    ) -> None:
        self._outside = outside
        self._front = front
        self._sides = sides
        self._timeout_s = timeout_s
        self._entry = EntryPoint(front.scheme, front.number)

    def get(self, page: Sampled, *, headers: Mapping[str, str] | None = None) -> Response:
        """The answer to a request for a page."""
        return self._send("GET", page.host, page.path, headers or {}, None)

    def log_in(self, login: Login, body: bytes, note: Note) -> Response:
        """The answer to a log-in; ``note`` gets one that failed: a good one shows no page."""

        def note_failed(answer: Answer) -> None:
            if answer.error is not None:
                note(answer._replace(error=f"log-in: {answer.error}"))

        send = partial(
            self._send, login.method, login.host, login.path, login.headers, body or None
        )
        return self.noted(send, note_failed, is_good=lambda it: it.status < _CLIENT_ERROR)

    def ask(self, asked: WriteRequest, session: Session, texts: Mapping[str, str]) -> Response:
        """The answer to a request of a writer, whose session keeps its cookies.

        ``texts`` has what ``{write}`` and ``{writes}`` stand for.
        """
        names = session.names_with(texts)
        body = None if asked.body is None else json.dumps(names.fill(asked.body)).encode()
        headers = {**session.fields, **({} if body is None else _JSON)}
        answer = self._send(asked.method, asked.host, names.text(asked.path), headers, body)
        session.keep(answer)
        return answer

    def _send(
        self, method: str, host: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> Response:
        return self._outside.request(
            method,
            host,
            path,
            at=str(self._front.address),
            entry=self._entry,
            headers=headers,
            body=body,
            within_s=self._timeout_s,
        )

    def sample(self, page: Sampled) -> Answer:
        """What came of a request for a page."""
        noted: list[Answer] = []
        with suppress(HarnessError):
            get, is_page = partial(self.get, page), partial(is_good, page)
            self.noted(get, noted.append, is_good=is_page, expected=page.status)
        return noted[0]

    def noted(
        self,
        send: Callable[[], Response],
        note: Note,
        *,
        is_good: Callable[[Response], bool],
        expected: int | None = None,
    ) -> Response:
        """The answer to a request; ``note`` gets what came of it, also if ``send`` raises.

        429 is a limit and no failure, unless it is the ``expected`` status.
        """
        at = time.monotonic()
        try:
            answer = send()
        except HarnessError as error:
            note(Answer(at, time.monotonic() - at, None, type(error).__name__))
            raise
        took_s, side = time.monotonic() - at, self.side_of(answer)
        if answer.status == TOO_MANY != expected:
            note(Answer(at, took_s, side, is_limited=True))
        else:
            note(Answer(at, took_s, side, None if is_good(answer) else f"status {answer.status}"))
        return answer

    def side_of(self, answer: Response) -> str | None:
        """The side that an answer names; None if it names none, or both."""
        sides = self._sides
        if sides.header is None:
            text = answer.body.decode(errors="replace")
        else:
            name = sides.header.lower()
            text = " ".join(value for field, value in answer.headers if field.lower() == name)
        marks = {SOURCE: sides.source, TARGET: sides.target}
        named = [side for side, mark in marks.items() if mark in text]
        return named[0] if len(named) == 1 else None


def is_good(page: Sampled, answer: Response) -> bool:
    """True if the answer has the declared status; without one, any below 400."""
    if page.status is None:
        return answer.status < _CLIENT_ERROR
    return answer.status == page.status
