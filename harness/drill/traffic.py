"""What runs beside a fault: the load, the ledger, and writes to claims; their marks and results.

This module does not judge: checks judge the results.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import partial
from math import inf
from statistics import median
from typing import Protocol, TypeAlias

from harness.core.errors import NotProven, TimedOut
from harness.core.model import JSON
from harness.core.parallel import begin
from harness.core.waiting import until
from harness.facts.claims import Answer, Churned, Exchange, Size, WriteRefused
from harness.facts.drills import LoadFacts
from harness.facts.schema import Known, dump
from harness.ledger.history import INVOKE, MARK, OK, Event
from harness.ledger.result import FAULT
from harness.load.running import Running
from harness.probes import claim_objects, pods
from harness.probes.claim_objects import LIMITED, SHARED, SIZES
from harness.probes.claim_workload import Workload
from harness.transport import Reach

HEALED_MARK = "fault taken back"
AGAIN = "steady again"
_QUARTERS = 4
_US_PER_MS = 1000.0
# For so long after an undo, delayed writes are served: these times are no normal latency.
_PEACE_AFTER_US = 30_000_000
# The key of the result in a drill's runs.
CLAIMS = "claims"
_BOUND_WITHIN_S = 60.0
_BEGUN_WITHIN_S = 40.0
# No drill with claims lasts longer; a machine that stops earlier stops without a request.
_LONGEST_S = 900.0
# Enough that a fault meets a write at any time, and not a load.
_PER_S = 5.0

# Notes the current moment under a name.
Mark: TypeAlias = Callable[[str], None]


class Noting(Protocol):
    """A ledger or a load, which notes moments."""

    def mark(self, name: str) -> None:
        """Note the moment under a name."""
        ...


def marking(*those: Noting) -> Mark:
    """Notes a moment in each of them, as close together as possible."""

    def mark(name: str) -> None:
        for it in those:
            it.mark(name)

    return mark


class Load(Noting, Protocol):
    """A load that is being offered."""

    @property
    def is_offered(self) -> bool:
        """True if requests are sent at all."""
        ...

    def go_on(self, seconds: float) -> None:
        """Let the load run for so long."""
        ...

    def outcome(self, *, whole: bool = False) -> LoadFacts | None:
        """End the load, and return its results by phase or as a whole; None without a load."""
        ...


class NoLoad:
    """No load: no requests are sent."""

    is_offered = False

    def mark(self, name: str) -> None:
        """Without a load there are no phases."""

    def go_on(self, seconds: float) -> None:
        """Without a load there is nothing to wait for."""

    def outcome(self, *, whole: bool = False) -> LoadFacts | None:
        return None


class Marked:
    """A running load, and its marks (monotonic seconds)."""

    is_offered = True

    def __init__(self, running: Running) -> None:
        self._running = running
        self._marks: list[tuple[str, float]] = []

    def mark(self, name: str) -> None:
        self._marks.append((name, time.monotonic()))

    def go_on(self, seconds: float) -> None:
        self._running.go_on(seconds)

    def outcome(self, *, whole: bool = False) -> LoadFacts | None:
        results = self._running.results()
        spans: Mapping[str, tuple[float, float]] = {"all": (0.0, inf)} if whole else self._spans()
        troubles = list(self._running.troubles)
        if results is None:
            return LoadFacts(phases={}, troubles=troubles)
        marks = {phase: begin - results.began for phase, (begin, _) in spans.items() if begin}
        phases = {phase: results.cut(*span).facts() for phase, span in spans.items()}
        return LoadFacts(phases=phases, troubles=troubles, course=results.course(marks))

    def _spans(self) -> Mapping[str, tuple[float, float]]:
        """The phases that happened, each with its begin and end."""
        first: dict[str, float] = {}
        for name, at in self._marks:
            first.setdefault(name, at)
        # With several faults, the phase begins when the last fault is undone.
        begins = {"during": first.get(FAULT), "again": first.get(AGAIN)}
        begins["healing"] = dict(self._marks).get(HEALED_MARK)
        spans: dict[str, tuple[float, float]] = {}
        end = inf
        for phase in ("again", "healing", "during"):
            begin = begins[phase]
            if begin is not None:
                spans[phase], end = (begin, end), begin
        return {"before": (0.0, end), **dict(reversed(spans.items()))}


class Books(Protocol):
    """The running ledger; ``space`` is the namespace of its targets."""

    @property
    def space(self) -> str: ...

    @property
    def silent_s(self) -> Mapping[str, float]:
        """Per kind of writes, the seconds since the last acknowledgement."""
        ...

    def mark(self, name: str) -> None:
        """Note the moment under a name."""
        ...

    def tally(self) -> Mapping[str, JSON]:
        """Stop writing, read back, and return the results, by the names that checks use."""
        ...

    def latency_ms(self) -> list[dict[str, float]]:
        """The times of acknowledgements while no fault was active, early to late."""
        ...


def write_gap(books: Books, at_most_s: float) -> str | None:
    """Why the ledger is silent for longer than the drill allows; None if it is not."""
    mute = {kind: s for kind, s in books.silent_s.items() if s > at_most_s}
    if not mute:
        return None
    kind = max(mute, key=lambda it: mute[it])
    return f"no write of {kind} was acknowledged for {mute[kind]:.0f} s"


def writing_again(books: Books, at_most_s: float) -> None:
    """Wait until each kind of writes is acknowledged again, or is silent for too long.

    Only then the length of the outage is known; the steady state does not cover each database.
    """
    began = time.monotonic()

    def known() -> bool:
        since = time.monotonic() - began
        return all(it < since or it > at_most_s for it in books.silent_s.values())

    with suppress(TimedOut):
        until(known, within_s=at_most_s + 1, every_s=0.2, what="acknowledged writes of each kind")


def quarters(events: Iterable[Event]) -> list[dict[str, float]]:
    """The median latency (ms) of each kind of writer, in each quarter of the time."""
    sent: dict[tuple[str, int], int] = {}
    took: list[tuple[int, str, int]] = []
    peace_from: int | None = 0
    for what, who, number, at in events:
        if what == MARK and who == FAULT:
            # What is on its way waits for the fault.
            peace_from, sent = None, {}
        elif what == MARK and who == HEALED_MARK:
            peace_from = at + _PEACE_AFTER_US
        elif what == INVOKE and peace_from is not None and at >= peace_from:
            sent[who, number] = at
        elif what == OK and (who, number) in sent:
            took.append((at, who.partition("/")[0], at - sent.pop((who, number))))
    if not took:
        return []
    first, last = took[0][0], took[-1][0]
    spans: list[dict[str, list[int]]] = [{} for _ in range(_QUARTERS)]
    for at, kind, us in took:
        quarter = min(_QUARTERS - 1, (at - first) * _QUARTERS // max(1, last - first))
        spans[quarter].setdefault(kind, []).append(us)
    return [
        {kind: round(median(values) / _US_PER_MS, 3) for kind, values in span.items()}
        for span in spans
    ]


class BackgroundWrites:
    """Every machine rewrites its own blocks again and again, from ``begin`` to ``tally``."""

    def __init__(self, work: Workload) -> None:
        self._work = work
        self._running: Future[dict[str, Answer[Churned]]] | None = None

    def begin(self, within_s: float = _BEGUN_WITHIN_S) -> None:
        """Begin to write; NotProven unless every machine has written in time."""
        work = self._work
        running = self._running = begin(partial(work.churn, _LONGEST_S, per_s=_PER_S))
        seen: dict[str, Answer[Size]] = {}

        def written_everywhere() -> bool:
            if not running.done():
                seen.update(work.churned())
            return running.done() or not _not_yet(seen)

        try:
            until(written_everywhere, within_s=within_s, what="every machine writes to its claim")
        except TimedOut as late:
            raise NotProven(
                f"not every machine writes to its claim: {_said_by(_not_yet(seen))}"
            ) from late
        if running.done():
            said = {machine: _why(it) for machine, it in running.result().items()}
            raise NotProven(f"writing to claims ended before the fault: {_said_by(said)}")

    def tally(self) -> JSON:
        """End all writing, and let every machine read the blocks of all others.

        Returns ``facts.claims.MEANWHILE`` as JSON.
        """
        if self._running is None:
            raise NotProven("no machine writes to claims")
        self._work.stop_churning()
        written = self._running.result()
        blocks = {
            machine: [it for it in answer.value.generations if it]
            for machine, answer in written.items()
            if isinstance(answer, Known)
        }
        return dump(Exchange(written, self._work.verify(blocks)))


def _not_yet(seen: Mapping[str, Answer[Size]]) -> dict[str, str]:
    """The machines that have not written yet, and why."""
    return {
        machine: _why(it)
        for machine, it in seen.items()
        if not (isinstance(it, Known) and it.value.bytes)
    }


def _why(answer: Answer[Size] | Answer[Churned]) -> str:
    if isinstance(answer, Known):
        return str(answer.value)
    return answer.refused if isinstance(answer, WriteRefused) else answer.error


def _said_by(why: Mapping[str, str]) -> str:
    return "; ".join(f"{machine}: {it}" for machine, it in why.items()) or "no answer"


@contextmanager
def writing_in_background(reach: Reach, seed: int) -> Iterator[BackgroundWrites]:
    """Claims of the declared class, to which every machine writes; removed afterwards.

    Raises NotProven or TransportError when the claims or the writes cannot begin.
    """
    sizes = {name: SIZES[name] for name in (SHARED, LIMITED)}
    with pods.namespace(reach.kube, claims=True) as space:
        work = Workload(reach, space, seed=seed)
        work.deploy(claim_objects.bind(reach, space, sizes=sizes, within_s=_BOUND_WITHIN_S))
        churn = BackgroundWrites(work)
        churn.begin()
        yield churn  # a machine that still writes ends when its pod is removed
