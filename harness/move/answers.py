"""The answers of the front: each of them, and those of one time by the side that gave them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from math import ceil
from typing import NamedTuple, TypeAlias

from harness.facts.loads import P99_NEEDS
from harness.facts.shift import Side, Window

SOURCE, TARGET = "source", "target"


class Answer(NamedTuple):
    """One request: when it was sent (monotonic), how long it took, and who answered.

    ``side`` is None for an answer that names none; ``error`` is the kind of failure.
    """

    at: float
    took_s: float
    side: str | None
    error: str | None = None
    is_limited: bool = False


Note: TypeAlias = Callable[[Answer], object]


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
