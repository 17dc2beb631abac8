"""The schedule of a soak: its faults and times, drawn from a seed, recorded, and shrunk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from typing import TypeVar

from harness.settings import Frozen
from harness.settings.drills import Planned, Soak

T = TypeVar("T")


class Turn(Frozen):
    """One fault of a soak: after a pause of so many seconds, on a machine, for so long.

    ``parameters`` are the fault's own. ``seed`` is the seed of the fault's remaining choices.
    """

    number: int
    pause_s: float
    machine: str
    fault: str
    hold_s: float
    parameters: Mapping[str, object] = {}
    seed: int

    @property
    def planned(self) -> Planned:
        """The turn as a planned fault of a drill."""
        return Planned.model_validate(
            {
                "fault": self.fault,
                "after_s": 0.0,
                "hold_s": self.hold_s,
                "with": dict(self.parameters),
            }
        )


def drawn(soak: Soak, machines: Sequence[str], seed: int) -> Iterator[Turn]:
    """Turns without end; the same seed always draws the same ones."""
    draw = Random(f"{seed}/soak")
    weights = [chance.weight for chance in soak.faults]
    number = 0
    while True:
        number += 1
        (chance,) = draw.choices(soak.faults, weights)
        yield Turn(
            number=number,
            pause_s=round(draw.uniform(*soak.pause_s), 1),
            machine=draw.choice(list(machines)),
            fault=chance.fault,
            hold_s=round(draw.uniform(*chance.hold_s), 1),
            parameters=dict(chance.parameters),
            seed=draw.getrandbits(32),
        )


def shrunk(items: Sequence[T], fails: Callable[[Sequence[T]], bool]) -> Sequence[T]:
    """A smaller sequence that still fails: without any single item, it no longer fails.

    Delta debugging (Zeller and Hildebrandt 2002): halves first, then ever smaller pieces.
    ``fails`` is called at most O(n²) times, and never for the whole sequence.
    """
    left = list(items)
    pieces = 2
    while len(left) >= 2:
        size = max(1, len(left) // pieces)
        for start in range(0, len(left), size):
            without = left[:start] + left[start + size :]
            if without and fails(without):
                left = without
                pieces = max(2, pieces - 1)
                break
        else:
            if size == 1:
                break
            pieces = min(len(left), pieces * 2)
    return left
