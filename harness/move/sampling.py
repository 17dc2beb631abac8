"""Requests through the front, again and again: who answered, how soon, and what failed."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import takewhile
from math import ceil, inf
from random import Random
from typing import NamedTuple, Protocol

from harness.core.errors import HarnessError
from harness.core.parallel import running
from harness.facts.edge import TOO_MANY
from harness.facts.shift import Side, Window
from harness.move.session import Session
from harness.settings.shift import P99_NEEDS, Front, Login, Sampled, Sides, WriteRequest
from harness.transport import ExternalClient
from harness.transport.protocols import EntryPoint, Response

SOURCE, TARGET = "source", "target"
_WITHIN_S = 5.0
_JSON = {"Content-Type": "application/json"}
# Enough that a side that never answers slows the other's requests little.
_MOST_AT_ONCE = 64
_PULSE_S = 0.2
# A thread may wait for its turn between the end of a request and its note.
_NOTED_WITHIN_S = 1.0


class Answer(NamedTuple):
    """One request: when it was sent (monotonic), how long it took, and who answered.

    ``side`` is None for an answer that names none; ``error`` is the kind of failure.
    """

    at: float
    took_s: float
    side: str | None
    error: str | None = None
    is_limited: bool = False


class Samples(Protocol):
    """The answers so far."""

    def since(self, moment: float) -> Sequence[Answer]:
        """The answers to requests sent since then, in the order in which they came."""
        ...

    def pending(self) -> Collection[float]:
        """When each request was sent that has no answer yet."""
        ...

    def stalled_s(self, moment: float) -> float:
        """The longest time since then for which the harness itself stood still, in seconds."""
        ...


class Client:
    """Sends requests to the front, as customers do: each on a connection of its own."""

    def __init__(
        self, outside: ExternalClient, front: Front, sides: Sides, *, timeout_s: float = _WITHIN_S
    ) -> None:
        self._timeout_s = timeout_s
        self._outside = outside
        self._front = front
        self._sides = sides
        self._entry = EntryPoint(front.scheme, front.number)

    def get(self, page: Sampled, *, headers: Mapping[str, str] | None = None) -> Response:
        """The answer to a request; raises TransportError."""
        return self._ask("GET", page.host, page.path, headers or {}, None)

    def log_in(self, login: Login, body: bytes) -> Response:
        """The answer to a log-in; raises TransportError."""
        return self._ask(login.method, login.host, login.path, login.headers, body or None)

    def ask(self, asked: WriteRequest, session: Session, texts: Mapping[str, str]) -> Response:
        """The answer to a request of a writer, whose cookies it keeps; raises TransportError.

        ``texts`` has what ``{write}`` and ``{writes}`` stand for.
        """
        names = session.names_with(texts)
        body = None if asked.body is None else json.dumps(names.fill(asked.body)).encode()
        headers = {**session.fields, **({} if body is None else _JSON)}
        answer = self._ask(asked.method, asked.host, names.text(asked.path), headers, body)
        session.keep(answer)
        return answer

    def _ask(
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
        """One request and what came of it."""
        at = time.monotonic()
        try:
            answer = self.get(page)
        except HarnessError as error:
            return Answer(at, time.monotonic() - at, None, type(error).__name__)
        return self.judged(at, answer, page.status, is_good=is_good(page, answer))

    def judged(self, at: float, answer: Response, expected: int | None, *, is_good: bool) -> Answer:
        """What came of a request that was sent ``at``; 429 is a limit, unless it is expected."""
        took_s, side = time.monotonic() - at, self.side_of(answer)
        if answer.status == TOO_MANY != expected:
            return Answer(at, took_s, side, is_limited=True)
        return Answer(at, took_s, side, None if is_good else f"status {answer.status}")

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
    return answer.status == page.status if page.status else answer.status < 400


class Sampler:
    """Samples the declared requests, one drawn after the other, ``per_s`` a second."""

    def __init__(self, ask: Callable[[Sampled], Answer], pages: Sequence[Sampled], per_s: float):
        self._ask = ask
        self._pages = pages
        self._at_once = min(_MOST_AT_ONCE, ceil(per_s))
        self._every_s = self._at_once / per_s
        self._answers: list[Answer] = []
        self._pending: dict[int, float] = {}
        self._stalls: list[tuple[float, float]] = []
        self._pulse_due = inf
        self._stop = threading.Event()

    def pending(self) -> Collection[float]:
        return [*self._pending.values()]

    def stalled_s(self, moment: float) -> float:
        # After a standstill, this may be asked before the pulse has noted it.
        now_s = time.monotonic() - self._pulse_due
        late = [late_s for at, late_s in self._stalls if at >= moment]
        if now_s > _PULSE_S:
            late.append(round(now_s, 2))
        return max(late, default=0.0)

    def since(self, moment: float) -> Sequence[Answer]:
        # An answer that came before may be noted after some that came later.
        begin = moment - _NOTED_WITHIN_S
        newest = takewhile(lambda it: it.at + it.took_s >= begin, reversed(self._answers))
        return [it for it in newest if it.at >= moment][::-1]

    @contextmanager
    def running(self) -> Iterator[None]:
        """Send requests while the body runs."""
        calls: dict[str, Callable[[], None]] = {
            f"sampler {it}": partial(self._send, it) for it in range(self._at_once)
        }
        calls["sampler"] = self._watch_itself
        with running(calls, self._stop, within_s=_WITHIN_S + 1):
            yield

    def _watch_itself(self) -> None:
        """Note each time that this process, or this computer, stood still."""
        self._pulse_due = time.monotonic() + _PULSE_S
        while not self._stop.wait(max(0.0, self._pulse_due - time.monotonic())):
            late_s = time.monotonic() - self._pulse_due
            if late_s > _PULSE_S:
                self._stalls.append((time.monotonic(), round(late_s, 2)))
            self._pulse_due = time.monotonic() + _PULSE_S

    def _send(self, number: int) -> None:
        due = time.monotonic() + self._every_s * number / self._at_once
        # In turn, each page could meet one side alone: a front counts its weights in rounds.
        chance = Random()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            self._pending[number] = time.monotonic()
            self._answers.append(self._ask(chance.choice(self._pages)))
            del self._pending[number]
            # A late request is skipped: this measures, and is no load.
            due = max(due + self._every_s, time.monotonic())


def window(answers: Sequence[Answer], stalled_s: float = 0.0) -> Window:
    """The answers of one time, by side."""
    limited = [it for it in answers if it.is_limited]
    told = [it for it in answers if not it.is_limited]
    begun = min((it.at for it in answers), default=0.0)
    ended = max((it.at + it.took_s for it in answers), default=0.0)
    return Window(
        lasted_s=round(ended - begun, 2),
        front=_side(told),
        source=_side([it for it in told if it.side == SOURCE]),
        target=_side([it for it in told if it.side == TARGET]),
        nameless=sum(it.side is None and it.error is None for it in told),
        limited=len(limited),
        stalled_s=stalled_s,
    )


def newest(answers: Sequence[Answer], most: int) -> Sequence[Answer]:
    """The newest answers, at most so many, and half as many once there are more; all for 0.

    They begin at the same answer until half as many have come. If they began at another one with
    each look, a test of errors would have a new chance at each to call a healthy side sick.
    """
    half = most // 2
    return answers[max(0, (len(answers) // half - 1) * half) :] if half else answers


def _side(answers: Sequence[Answer]) -> Side:
    times = sorted(it.took_s for it in answers)
    p99 = times[ceil(0.99 * len(times)) - 1] if len(times) >= P99_NEEDS else None
    return Side(
        answers=len(answers),
        errors_at=tuple(number for number, it in enumerate(answers) if it.error is not None),
        errors=dict(Counter(it.error for it in answers if it.error is not None)),
        p99_ms=None if p99 is None else round(p99 * 1000, 1),
    )
