"""One request of a journey, its expected answer, and what later requests use of it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator

from pydantic import JsonValue

from harness.core.errors import NotProven, TransportError
from harness.core.names import Document, Names, document_of, found_at, kept, names_in
from harness.facts import journeys as facts
from harness.facts.edge import TOO_MANY
from harness.settings.journeys import Journey, JourneyRequest
from harness.transport import Reach
from harness.transport.protocols import EntryPoint, Response

_MOST_CHARS = 400
_WORD = re.compile(r"[\w.~+/=-]+\Z")
# The least time for a request, so that a step's last look is one.
_LEAST_S = 5.0
# From these statuses on the platform refused a request, or broke and may have done some of it.
_REFUSED, _BROKEN = 400, 500
_JSON = {"Content-Type": "application/json"}


def cut(text: str) -> str:
    """The begin of a long text, up to a word's end: a part of a secret would not be recognised."""
    return text if len(text) <= _MOST_CHARS else _WORD.sub("…", text[:_MOST_CHARS])


class Asked:
    """A request of a journey, as often as it was sent, and its last answer.

    ``wrong`` is how that differs from the expected one, and ``kept`` what it gives.
    """

    def __init__(
        self, reach: Reach, journey: Journey, names: Names, request: JourneyRequest
    ) -> None:
        assert reach.profile.ingress is not None  # a profile with journeys has one
        declared = reach.profile.ingress.declared()
        self._outside, self._names, self._request = reach.outside, names, request
        self._address = declared.addresses[0]
        self._entry = EntryPoint(declared.scheme, declared.port)
        self._host = names.text(request.host or journey.host)
        self._path = names.text(request.path)
        own = request.host is None
        self._headers = {
            name: names.text(value)
            for name, value in {**(journey.headers if own else {}), **request.headers}.items()
            if names.knows(names_in(value))
        }
        self._body = None if request.body is None else json.dumps(names.fill(request.body))
        self._began, self._ended, self._says = time.monotonic(), 0.0, ""
        self.words = f"{request.method} {self._entry.scheme}://{self._host}{self._path}"
        self.status: int | None = None
        self.wrong = "it was not sent"
        self.kept: dict[str, JsonValue] = {}

    def is_answered(self, deadline: float) -> bool:
        """Send it, and compare its answer; NotProven if the ingress limits our address."""
        try:
            answer = self._outside.request(
                self._request.method,
                self._host,
                self._path,
                at=self._address,
                entry=self._entry,
                headers=self._headers | ({} if self._body is None else _JSON),
                body=None if self._body is None else self._body.encode(),
                within_s=max(_LEAST_S, deadline - time.monotonic()),
            )
        except TransportError as error:
            self.status, self._says, self.wrong = None, "", str(error)
            self.kept = {}
            return False
        finally:
            self._ended = time.monotonic()
        self.status = answer.status
        self._says = answer.body.decode(errors="replace")
        if answer.status == TOO_MANY and TOO_MANY not in self._request.status:
            raise NotProven(f"{self.words}: the ingress limits our one address (429)")
        document = document_of(answer.body)
        if answer.status < _REFUSED:
            self.kept = kept(document, self._request.keep)
        self.wrong = next(self._differences(answer, document), "")
        return not self.wrong

    @property
    def is_refused(self) -> bool:
        """True if the platform said that the request was wrong, and so did nothing."""
        return self.status is not None and _REFUSED <= self.status < _BROKEN

    def _differences(self, answer: Response, document: Document) -> Iterator[str]:
        """How the answer differs from the expected one."""
        request, names = self._request, self._names
        shown = cut(self._says) or "nothing"
        if answer.status not in request.status:
            statuses = " or ".join(map(str, request.status))
            yield f"expected status {statuses}, seen {answer.status}: {shown}"
        if names.text(request.says) not in self._says:
            yield f"expected “{names.text(request.says)}” in the answer, seen {shown}"
        if not document and (request.has or request.keep):
            yield f"expected JSON, seen {shown}"
        for pointer, value in request.has.items():
            wanted, seen = names.fill(value), found_at(document, pointer)
            # In Python 1 == True, which a client may take for different answers.
            if [json.dumps(it) for it in seen] != [json.dumps(wanted)]:
                told = cut(json.dumps(seen[0])) if seen else "none"
                yield f"expected {pointer} {json.dumps(wanted)}, seen {told}"
        for name, pointer in request.keep.items():
            if name not in self.kept:
                yield f"expected {pointer} in the answer, seen {shown}"

    def fact(self) -> facts.Request:
        """The request for the record; its header fields are left out."""
        return facts.Request(
            asked=self.words,
            sent=cut(self._body or ""),
            status=self.status,
            answer=cut(self._says),
            took_s=round(max(0.0, self._ended - self._began), 3),
        )
