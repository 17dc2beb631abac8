"""Visitors who log in before the first step, keep their session, and must stay logged in."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from harness.core.errors import HarnessError, NotProven, in_a_line
from harness.core.parallel import in_each, running
from harness.facts.shift import Sessions, Window
from harness.move.answers import TARGET, Answer, newest, window
from harness.move.client import Client, is_good
from harness.move.session import Account, says_nothing
from harness.settings.shift import Visitors as Declared
from harness.transport.protocols import Response


@dataclass
class _Visitor:
    """One visitor: its account, and what it got so far. Times are monotonic seconds."""

    number: int
    account: Account
    requests: int = 0
    failed: int = 0
    lost: str = ""
    served_at: float = 0.0
    side: str | None = None

    @property
    def name(self) -> str:
        return self.account.who


class Visitors:
    """The declared visitors. ``share`` gives the share of now, for the words of a lost session.

    ``body`` is that of the log-in, in which ``{number}`` stands for the visitor's. ``hide`` gets
    the visitors' tokens.

    A visitor is logged out when it is served another page than that of a logged-in visitor. Server
    errors and requests without an answer are failures, and no log-out. Nor is a session that is as
    old as the profile lets it become: the visitor logs in anew, and is lost if it may not.
    """

    def __init__(
        self,
        client: Client,
        declared: Declared,
        body: str,
        share: Callable[[], int],
        hide: Callable[[str], object],
    ) -> None:
        self._client = client
        self._declared = declared
        self._share = share
        self._answers: list[Answer] = []
        self._changed_at = 0.0
        self._stop = threading.Event()
        bodies = {it: body.replace("{number}", str(it)) for it in range(1, declared.count + 1)}
        self._all = [
            _Visitor(it, Account(f"visitor {it}", declared, client.log_in, text.encode(), hide))
            for it, text in bodies.items()
        ]

    @contextmanager
    def following(self) -> Iterator[None]:
        """Log all visitors in, and follow them while the body runs. NotProven without a log-in."""
        by_name = {it.name: it for it in self._all}
        done = in_each(by_name, lambda name: self._log_in(by_name[name]), at_once=4)
        for it in done.values():
            if isinstance(it, HarnessError):
                raise it
        calls = {it.name: partial(self._follow, it) for it in self._all}
        with running(calls, self._stop, within_s=self._declared.every_s + 5):
            yield

    def changed(self) -> None:
        """Note that the share was changed: each visitor must be served after that."""
        self._changed_at = time.monotonic()

    def on_target(self, since: float) -> tuple[str, ...]:
        """The visitors whose newest good answer since then came from the target."""
        return tuple(it.name for it in self._all if it.served_at >= since and it.side == TARGET)

    def unserved(self, since: float) -> tuple[str, ...]:
        """The visitors without a good answer since then; not those who are logged out."""
        return tuple(it.name for it in self._all if not it.lost and it.served_at < since)

    def answers(self, most: int = 0) -> Window:
        """The answers to the visitors' pages so far, or at most so many of the newest.

        A page that logs a visitor out is no error; a log-in anew that fails is one.
        """
        return window(newest(self._answers, most))

    def result(self) -> Sessions:
        """What became of the sessions."""
        return Sessions(
            visitors=len(self._all),
            requests=sum(it.requests for it in self._all),
            failed=sum(it.failed for it in self._all),
            lost={it.name: it.lost for it in self._all if it.lost},
            silent=self.unserved(self._changed_at),
            renewed=sum(it.account.renewed for it in self._all),
            answers=self.answers(),
        )

    def _log_in(self, visitor: _Visitor) -> None:
        visitor.account.log_in()
        why = self._look(visitor)
        if not visitor.served_at:
            raise NotProven(
                f"{visitor.name} did not get its page after it logged in: {why or 'no answer'}",
                remedy="check `shift.visitors.login:` and `page:` of the profile",
            )

    def _follow(self, visitor: _Visitor) -> None:
        every_s = self._declared.every_s
        # Spread over the time between two requests of one visitor.
        wait_s = every_s * visitor.number / len(self._all)
        while not (visitor.lost or self._stop.wait(wait_s)):
            wait_s = every_s
            share = self._share()
            why = self._renew(visitor) if visitor.account.is_of_age else self._look(visitor)
            if why:
                visitor.lost = f"at {share} %: {why}"

    def _renew(self, visitor: _Visitor) -> str:
        """Log in anew; why that is not possible, or nothing. A failure is tried again later."""
        visitor.requests += 1
        try:
            visitor.account.renew(self._answers.append)
        except NotProven as error:
            return f"it could not log in anew: {in_a_line(error)}"
        except HarnessError:
            visitor.failed += 1
            return ""
        return self._look(visitor)

    def _look(self, visitor: _Visitor) -> str:
        """Ask for the page once; why the visitor is logged out, or nothing."""
        at = time.monotonic()
        answer = self._asked(visitor)
        if answer is None:
            return ""
        why = self._refused(answer)
        if not why:
            visitor.served_at, visitor.side = at, self._client.side_of(answer)
        # A session that came of age while its page was asked for is renewed next.
        return "" if visitor.account.is_of_age else why

    def _asked(self, visitor: _Visitor) -> Response | None:
        """The answer to a request, counted; None for one that says nothing about the session."""
        visitor.requests += 1
        page, session = self._declared.page, visitor.account.session
        try:
            answer = self._client.noted(
                partial(self._client.get, page, headers=session.fields),
                self._answers.append,
                is_good=lambda it: not says_nothing(it),
                expected=page.status,
            )
            session.keep(answer)
        except HarnessError:
            visitor.failed += 1
            return None
        if says_nothing(answer):
            visitor.failed += 1
            return None
        return answer

    def _refused(self, answer: Response) -> str:
        """Why an answer is not the page of a logged-in visitor, or nothing."""
        if not is_good(self._declared.page, answer):
            return f"status {answer.status}"
        if self._declared.says.encode() not in answer.body:
            return f"a page without {self._declared.says!r}"
        return ""
