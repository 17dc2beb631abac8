"""Looks: a probe at all its targets in parallel, each within the probe's own deadline."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import nullcontext
from functools import partial

from harness.core.errors import NotProven
from harness.core.model import JSON, Observation
from harness.core.parallel import CallResult, Turn, side_by_side
from harness.probes.probe import Probe, Timing
from harness.transport import Reach

NOWHERE = "*"  # the target of an answer that says why no target could be looked at
# Looks at one target at a time, so that a gate does not load the machines that it measures.
_AT_ONCE = 4


class Look:
    """One look of a probe; it starts when the object is made.

    A target that could not be looked at, or not in time, has an answer with an error. If the
    targets are not known, or there is none, NOWHERE is the only target.
    """

    def __init__(self, probe: Probe, reach: Reach, turn: Turn = lambda _: nullcontext()) -> None:
        self._targets: Future[tuple[str, ...]] = Future()
        self._answers: queue.SimpleQueue[CallResult[JSON]] = queue.SimpleQueue()
        self._over = threading.Event()
        work = partial(self._work, probe, reach, turn)
        threading.Thread(target=work, name=f"look: {probe.name}", daemon=True).start()

    @property
    def targets(self) -> tuple[str, ...]:
        """The targets, as soon as they are known."""
        return self._targets.result()

    def answers(self) -> Iterator[CallResult[JSON]]:
        """The answer of each target, as it comes; call this once."""
        return (self._answers.get() for _ in self.targets)

    def wait(self) -> None:
        """Wait until every target has answered, or its time is over."""
        self._over.wait()

    def _work(self, probe: Probe, reach: Reach, turn: Turn) -> None:
        calls = {NOWHERE: lambda: tuple(probe.targets(reach))}
        (listing,) = side_by_side(calls, within_s=probe.within_s)
        if listing.value:
            self._targets.set_result(listing.value)
            looks = {it: partial(probe.observe, reach, it) for it in listing.value}
            for answer in side_by_side(looks, within_s=probe.within_s, turn=turn):
                self._answers.put(answer)
        else:
            if listing.error is None:
                nothing = "there is nothing to look at"
                listing = CallResult(NOWHERE, None, nothing, listing.at, 0.0)
            self._targets.set_result((NOWHERE,))
            self._answers.put(listing)
        self._over.set()


def observe(probes: Iterable[Probe], reach: Reach) -> list[Observation]:
    """What these probes see now, in parallel."""
    looks = [(probe.name, Look(probe, reach)) for probe in probes]
    return [
        Observation(name, it.key, it.at, it.took_s, it.value, it.error)
        for name, look in looks
        for it in look.answers()
    ]


class LookScheduler:
    """The looks of one run: some begin with the run, others when a step asks for them.

    A look that must be alone runs without any other. Calls come from one thread.
    """

    def __init__(self, probes: Mapping[str, Probe], reach: Reach) -> None:
        self._probes = probes
        self._reach = reach
        self._ahead: dict[str, Look] = {}
        self._places: dict[str, threading.Semaphore] = {}

    def turn(self, sentences: Iterable[str]) -> int:
        """The best time for the looks of these sentences: 0, 1 or 2."""
        asked = set(sentences)
        timings = {it.timing for it in self._probes.values() if it.sentence in asked}
        if Timing.ALONE in timings:
            return 2
        return 0 if Timing.WHEN_ASKED in timings else 1

    def begin(self, sentences: Iterable[str]) -> None:
        """Begin the looks of these sentences that may begin with the run."""
        asked = set(sentences)
        for name, probe in self._probes.items():
            if probe.sentence in asked and probe.timing is Timing.AT_START:
                self._ahead[name] = self._look(name)

    def require(self, name: str) -> None:
        """NotProven when there is no such probe."""
        if name not in self._probes:
            raise NotProven(f"there is no probe named “{name}”")

    def look(self, name: str) -> Look:
        """The look that a probe has begun, or a new one."""
        if name in self._ahead:
            return self._ahead.pop(name)
        if self._probes[name].timing is Timing.ALONE:
            self.settle()
        return self._look(name)

    def settle(self) -> None:
        """Wait until all looks have ended; each ends by its own deadline."""
        for look in self._ahead.values():
            look.wait()

    def _look(self, name: str) -> Look:
        return Look(self._probes[name], self._reach, self._place)

    def _place(self, target: str) -> threading.Semaphore:
        return self._places.setdefault(target, threading.BoundedSemaphore(_AT_ONCE))
