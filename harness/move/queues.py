"""Waits until the queues of a side are drained and their workers stopped, before it freezes.

A task that is half done when its database freezes is done again on the other platform: an instance
is then made twice. RabbitMQ's counts are up to 5 s old, so one look proves nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from harness.core.errors import NotProven, TimedOut, TransportError
from harness.core.waiting import until
from harness.move.side import NotMet
from harness.probes.queues import Queue

# RabbitMQ counts every 5 s (its `collect_statistics_interval`), and its API keeps a count as long.
EVERY_S = 5.0
LOOKS = 3


def drained(
    look: Callable[[], Mapping[str, Queue]],
    declared: Sequence[str],
    *,
    side: str,
    within_s: float,
    every_s: float = EVERY_S,
) -> str:
    """Wait until the declared queues hold nothing and have no workers, in several looks in a row.

    NotMet if they still hold messages after ``within_s`` seconds. NotProven if only their workers
    still run, or if a declared queue does not exist. A TransportError if the last look failed.
    """
    last: dict[str, Queue] = {}
    failed: TransportError | None = None
    in_a_row = 0

    def long_enough() -> bool:
        nonlocal last, failed, in_a_row
        try:
            last, failed = _declared(look(), declared, side), None
        except TransportError as error:  # a broker that starts, or a queue not counted yet
            failed, in_a_row = error, 0
            return False
        in_a_row = 0 if any(_holds(last)) else in_a_row + 1
        return in_a_row >= LOOKS

    what = f"the queues of {side} are drained and their workers stopped"
    try:
        until(long_enough, within_s=within_s, every_s=every_s, what=what)
    except TimedOut as error:
        if failed is not None:
            raise failed from error
        seen = "; ".join(_holds(last)) or "that only in the last moment"
        says = f"expected within {within_s:g} s that {what}, seen {seen}"
        if any(_holds(last)) and not any(it.messages for it in last.values()):
            raise NotProven(says, remedy="stop the workers before the switch") from error
        raise NotMet(says) from error
    return f"{len(last)} queues of {side} hold nothing, and have no workers"


def _declared(there: Mapping[str, Queue], declared: Sequence[str], side: str) -> dict[str, Queue]:
    """The queues that fit a declared name or pattern; NotProven if none fits one of them."""
    fit = {it: [name for name in there if fnmatchcase(name, it)] for it in declared}
    if missing := [it for it, names in fit.items() if not names]:
        raise NotProven(
            f"RabbitMQ of {side} has no queue {', '.join(missing)}",
            remedy="correct `switch.drained`: `rabbitmqctl list_queues` names them",
        )
    return {name: there[name] for names in fit.values() for name in names}


def _holds(queues: Mapping[str, Queue]) -> Iterator[str]:
    """The queues that are not drained or have workers, in words."""
    for name, it in queues.items():
        if it.messages or it.consumers:
            says = f"{it.ready} ready, {it.unacknowledged} unacknowledged, {it.consumers} workers"
            yield f"{name}: {says}"
