"""Queues before a freeze: drained and without workers, in several looks; no walk freezes before."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import Garbled, HarnessError, NotProven, Unreachable
from harness.facts.switch import Step
from harness.move.direction import Direction
from harness.move.queues import LOOKS, drained
from harness.move.side import NotMet, Side
from harness.move.walk import walk
from harness.probes.queues import Queue
from harness.tests.switch_world import LIMITS
from harness.tests.test_direction import FakeSide

DECLARED = ("/operations", "/instance_*")
IDLE = Queue(0, 0, 0)
Look = Mapping[str, Queue]


def look(operations: Queue = IDLE, provisioning: Queue = IDLE) -> Look:
    """A look at RabbitMQ, which also has a queue that is not declared."""
    return {
        "/operations": operations,
        "/instance_provisioning": provisioning,
        "/celeryev.7": Queue(9, 0, 1),
    }


def waited(seen: Look) -> str:
    """One look, at the deadline."""
    return drained(lambda: seen, DECLARED, side="source", within_s=0, every_s=0)


def test_queues_that_stay_empty_and_without_workers_are_drained() -> None:
    says = drained(look, DECLARED, side="source", within_s=60, every_s=0)
    assert says == "2 queues of source hold nothing, and have no workers"


@pytest.mark.parametrize(
    ("seen", "error", "says"),
    [
        (
            look(operations=Queue(3, 1, 2)),
            NotMet,
            "seen /operations: 3 ready, 1 unacknowledged, 2 workers",
        ),
        (look(provisioning=Queue(1, 0, 0)), NotMet, "seen /instance_provisioning: 1 ready"),
        # A task that a worker has in hand is in no queue any more, but unacknowledged.
        (look(operations=Queue(0, 1, 1)), NotMet, "1 unacknowledged"),
        (look(operations=Queue(0, 0, 1)), NotProven, "0 unacknowledged, 1 workers"),
        (look(), NotMet, "seen that only in the last moment"),
        ({"/operations": IDLE}, NotProven, r"RabbitMQ of source has no queue /instance_\*"),
        ({}, NotProven, "no queue /operations, "),
    ],
)
def test_what_keeps_a_switch_waiting_is_told(seen: Look, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        waited(seen)


def test_a_broker_that_does_not_answer_is_no_empty_one() -> None:
    def fail() -> Look:
        raise Unreachable("RabbitMQ's management API: connection refused")

    with pytest.raises(HarnessError, match="connection refused"):
        drained(fail, DECLARED, side="source", within_s=0, every_s=0)


def test_a_look_that_fails_in_between_starts_the_count_again() -> None:
    coming: list[Look | None] = [look(), look(), None, look(), look(), look()]

    def next_look() -> Look:
        found = coming.pop(0)
        if found is None:
            raise Garbled("a queue that is not counted yet")
        return found

    drained(next_look, DECLARED, side="source", within_s=60, every_s=0)
    assert coming == []


class Quiet(Direction):
    """A direction whose steps succeed without a server; ``frozen`` once it freezes."""

    frozen = False

    def start_streams(self) -> str:
        return ""

    def remove_streams(self) -> None:
        """Nothing was made."""

    def catch_up(self) -> str:
        return ""

    def no_long_transaction(self) -> str:
        return ""

    def beat_back(self, table: str) -> str:
        return table

    def freeze(self) -> str:
        self.frozen = True
        raise NotMet("it is far enough")

    def thaw(self) -> None:
        """Nothing is frozen."""


COUNTS = st.integers(0, 1)
QUEUES = st.just(IDLE) | st.builds(Queue, COUNTS, COUNTS, COUNTS)


@given(
    looks=st.lists(st.builds(look, QUEUES, QUEUES), max_size=12),
    is_rollback=st.booleans(),
)
def test_no_direction_freezes_while_a_queue_holds_messages_or_has_workers(
    looks: list[Look], is_rollback: bool
) -> None:
    seen: list[bool] = []
    coming = iter(looks)

    def next_look() -> Look:
        found = next(coming, None)
        if found is None:
            raise NotProven("the test has no more looks")
        seen.append(found == look())
        return found

    sides = cast("Side", FakeSide("source")), cast("Side", FakeSide("target"))
    direction = Quiet(
        origin=sides[0],
        goal=sides[1],
        streams=(),
        back=(),
        limits=LIMITS,
        turn_writers=lambda _: None,
        wrote=lambda: True,
        on_freeze=lambda: None,
        queues=partial(drained, next_look, DECLARED, side="source", within_s=60, every_s=0),
    )
    steps = direction.rollback() if is_rollback else direction.there()
    walked = walk(list(steps), lambda _: None)
    ended = walked.stopped
    assert ended is not None
    assert direction.frozen == (ended.step is Step.FREEZE)
    if direction.frozen:
        assert seen[-LOOKS:] == [True] * LOOKS
    else:
        assert (ended.step, ended.says) == (Step.QUEUES, "the test has no more looks")
        rows = [seen[at : at + LOOKS] for at in range(len(seen))]
        assert [True] * LOOKS not in rows
