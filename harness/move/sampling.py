"""Samples of the front: requests again and again, of which each says who answered it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import takewhile
from math import ceil, inf
from random import Random
from typing import Protocol

from harness.core.parallel import running
from harness.move.answers import Answer
from harness.settings.shift import Sampled

# Enough that a side that never answers slows the other's requests little.
_MOST_AT_ONCE = 64
_PULSE_S = 0.2
# A thread may wait for its turn between the end of a request and its note.
_NOTED_WITHIN_S = 1.0
# At the end, a request that hangs for longer is left to its own deadline.
_ENDS_WITHIN_S = 6.0


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
        with running(calls, self._stop, within_s=_ENDS_WITHIN_S):
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
