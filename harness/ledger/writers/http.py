"""A service of two pods on different machines, which answers a request once it is on a disk.

Requests go to the service's address through whichever machine leads there.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.ledger.writers.files import Files
from harness.ledger.writers.protocol import Stage

_WRITERS = 2


class Http(Files):
    """Posts one request a write."""

    def __init__(self, stage: Stage, number: int) -> None:
        super().__init__(stage, f"http/{number}", "http", stage.ways(number))

    def send(self, seq: int) -> None:
        self.keep("append", seq)


def writers(stage: Stage) -> Sequence[Http]:
    return [Http(stage, number) for number in range(_WRITERS)]
