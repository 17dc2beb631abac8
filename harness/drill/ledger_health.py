"""The ledger while it is kept: what a drill asks of it, and whether it is written to."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from harness.errors import TimedOut
from harness.model import JSON
from harness.waiting import until


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

    def latency_ms(self) -> Sequence[Mapping[str, float]]:
        """How long acknowledgements took while nothing was broken, early to late."""
        ...


def silence(books: Books, at_most_s: float) -> str | None:
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
