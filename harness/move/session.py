"""A visitor's or a writer's session: its cookies, what its log-in gives, and how it is renewed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import mktime_tz, parsedate_tz

from harness.core.errors import NotProven, TransportError
from harness.core.names import Names, document_of, is_secret, kept
from harness.facts.edge import TOO_MANY
from harness.move.answers import Answer, Note
from harness.settings.shift import Login, Visitors, Writes
from harness.transport.protocols import Response

_SERVER_ERROR = 500


@dataclass
class Session:
    """One visitor's; ``names`` are filled in into ``headers``, which each request of it has."""

    who: str
    headers: Mapping[str, str] = field(default_factory=dict)
    cookies: dict[str, str] = field(default_factory=dict)
    names: Names = field(default_factory=Names)

    def begin(self, login: Login, answer: Response, hide: Callable[[str], object]) -> None:
        """Take over what the answer to a log-in gives; NotProven if it does not.

        ``hide`` gets what is secret by its name, such as a token.
        """
        self.keep(answer)
        found = kept(document_of(answer.body), login.keep)
        for name, pointer in login.keep.items():
            if name not in found:
                raise NotProven(
                    f"{self.who}: the answer to the log-in, {answer.status}, has no {pointer}",
                    remedy="check `keep:` of this log-in in the profile's `shift:`",
                )
            self.names.keep(name, found[name])
            if is_secret(name):
                hide(str(found[name]))

    def keep(self, answer: Response) -> None:
        """Take over the cookies of an answer, as a browser does."""
        for name, value in answer.headers:
            if name.lower() == "set-cookie":
                self._keep_cookie(value)

    def _keep_cookie(self, told: str) -> None:
        """Take over one cookie to its letter, or lose one that has ended (RFC 6265, 5.2 and 5.3).

        Not by http.cookies: it drops a cookie with a flag or a letter that it does not know.
        """
        pair, *attributes = told.split(";")
        name, equals, value = (it.strip() for it in pair.partition("="))
        if not (name and equals):
            return
        if _has_ended(attributes):
            self.cookies.pop(name, None)
        else:
            self.cookies[name] = value

    def names_with(self, texts: Mapping[str, str]) -> Names:
        """Its names and these, which belong to one request alone."""
        names = self.names.copy()
        for name, text in texts.items():
            names.keep(name, text)
        return names

    @property
    def fields(self) -> Mapping[str, str]:
        """The header fields that make a request one of this visitor."""
        told = {name: self.names.text(value) for name, value in self.headers.items()}
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return {**told, **({"Cookie": cookies} if cookies else {})}


def _has_ended(attributes: Sequence[str]) -> bool:
    """True if a cookie's attributes tell the browser to forget it; Max-Age wins over Expires."""
    pairs = (it.partition("=") for it in attributes)
    told = {name.strip().lower(): value.strip() for name, _, value in pairs}
    with suppress(ValueError):
        return int(told["max-age"]) <= 0 if "max-age" in told else _is_past(told.get("expires"))
    return False


def _is_past(stamp: str | None) -> bool:
    moment = None if stamp is None else parsedate_tz(stamp)
    return moment is not None and mktime_tz(moment) <= time.time()


def _ignored(_: Answer) -> None:
    """A first log-in that fails ends the move before its first step."""


@dataclass
class Account:
    """Logs in, and logs in anew once the platform may have ended the session of age.

    ``send`` sends a log-in with its ``body``, and notes one that failed. Without a declared log-in,
    the session is the declared header fields alone. ``renewed`` counts the later log-ins.
    """

    who: str
    declared: Visitors | Writes
    send: Callable[[Login, bytes, Note], Response]
    body: bytes
    hide: Callable[[str], object]
    renewed: int = 0
    session: Session = field(init=False)
    _since: float = field(default=0.0, init=False)  # monotonic seconds

    def __post_init__(self) -> None:
        self.session = Session(self.who, self.declared.headers)

    @property
    def is_of_age(self) -> bool:
        """True once the platform may end the session by itself."""
        lasts_s = self.declared.lasts_s
        return lasts_s is not None and time.monotonic() - self._since >= lasts_s

    def log_in(self, note: Note = _ignored) -> None:
        """Begin a session; NotProven if the platform gives none. ``note`` gets a failure.

        TransportError if that is not known: no answer, a server error, or 429.
        """
        login = self.declared.login
        if login is None:
            return
        # From before the request: a session is never older than it is taken for.
        since = time.monotonic()
        answer = self.send(login, self.body, note)
        if says_nothing(answer):
            raise TransportError(f"{self.who}: the answer to the log-in is {answer.status}")
        session = Session(self.who, self.declared.headers)
        session.begin(login, answer, self.hide)
        self.session, self._since = session, since

    def renew(self, note: Note) -> None:
        """Log in anew; raises what ``log_in`` does, and keeps the old session then."""
        self.log_in(note)
        self.renewed += 1


def says_nothing(answer: Response) -> bool:
    """True if an answer says nothing about a session: a server error, or a limit of the front."""
    return answer.status >= _SERVER_ERROR or answer.status == TOO_MANY
