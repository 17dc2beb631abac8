"""How long an acknowledgement took while nothing was broken, early and late: does it creep?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from harness.drill.loads import HEALED_MARK
from harness.ledger.history import INVOKE, MARK, OK, Event
from harness.ledger.result import FAULT

_QUARTERS = 4
_US_PER_MS = 1000.0
# After a fault was taken back, whatever waited is served first: that is not how it is in peace.
_PEACE_AFTER_US = 30_000_000


def quarters(events: Iterable[Event]) -> Sequence[Mapping[str, float]]:
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
