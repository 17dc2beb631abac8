"""The ledger while it is kept: whether writes are acknowledged, and how fast."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from statistics import median
from typing import Protocol

from harness.drill.loads import HEALED_MARK
from harness.errors import TimedOut
from harness.ledger.history import INVOKE, MARK, OK, Event
from harness.ledger.result import FAULT
from harness.model import JSON
from harness.waiting import until

_QUARTERS = 4
_US_PER_MS = 1000.0
# After a fault was taken back, whatever waited is served first: that is not how it is in peace.
_PEACE_AFTER_US = 30_000_000


class Books(Protocol):
    """The ledger while it is kept; ``space`` is the namespace of what it writes to."""

    @property
    def space(self) -> str: ...

    @property
    def silent_s(self) -> Mapping[str, float]:
        """For how long none of each kind of writes has been acknowledged."""
        ...

    def mark(self, name: str) -> None:
        """Note the moment under a name."""
        ...

    def tally(self) -> Mapping[str, JSON]:
        """Stop writing, read back, and say what became of the writes, by what a check calls it."""
        ...

    def latency_ms(self) -> list[dict[str, float]]:
        """How long acknowledgements took while nothing was broken, early to late."""
        ...


def write_gap(books: Books, at_most_s: float) -> str | None:
    """Why the ledger is silent for longer than the drill allows; None while it is not."""
    mute = {kind: s for kind, s in books.silent_s.items() if s > at_most_s}
    if not mute:
        return None
    kind = max(mute, key=lambda it: mute[it])
    return f"no write of {kind} was acknowledged for {mute[kind]:.0f} s"


def writing_again(books: Books, at_most_s: float) -> None:
    """Wait until each kind of writes is acknowledged, or was not for longer than it may be.

    How long writing was out is known only then; a steady state says nothing of a single database.
    """
    began = time.monotonic()

    def known() -> bool:
        since = time.monotonic() - began
        return all(it < since or it > at_most_s for it in books.silent_s.values())

    with suppress(TimedOut):
        until(known, within_s=at_most_s + 1, every_s=0.2, what="acknowledged writes of each kind")


def quarters(events: Iterable[Event]) -> list[dict[str, float]]:
    """The median of each kind of writer (milliseconds) in each quarter of the time."""
    sent: dict[tuple[str, int], int] = {}
    took: list[tuple[int, str, int]] = []
    peace_from: int | None = 0
    for what, who, number, at in events:
        if what == MARK and who == FAULT:
            peace_from = None
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
