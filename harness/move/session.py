"""A visitor's session: the cookies of every answer, and what the answer to the log-in gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie

from harness.core.errors import NotProven
from harness.core.names import Names, document_of, is_secret, kept
from harness.settings.shift import Login
from harness.transport.protocols import Response


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
                jar: SimpleCookie = SimpleCookie()
                try:
                    jar.load(value)
                except CookieError as error:
                    raise NotProven(f"{self.who}: a cookie cannot be read: {error}") from error
                self.cookies |= {key: it.value for key, it in jar.items()}

    def copy(self) -> Session:
        """The same session, for another thread."""
        return Session(self.who, self.headers, dict(self.cookies), self.names.copy())

    @property
    def fields(self) -> Mapping[str, str]:
        """The header fields that make a request one of this visitor."""
        told = {name: self.names.text(value) for name, value in self.headers.items()}
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return {**told, **({"Cookie": cookies} if cookies else {})}
