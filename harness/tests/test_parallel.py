"""Calls side by side: all begin at once, each within its own time, and none hides another."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from threading import BoundedSemaphore, Event

import pytest

from harness.core import parallel
from harness.core.errors import TimedOut, Unreachable
from harness.core.parallel import answer_of, entering, in_each, side_by_side, within


def test_each_of_two_calls_may_wait_for_the_other() -> None:
    first, second = Event(), Event()

    def one() -> bool:
        first.set()
        return second.wait(5)

    def two() -> bool:
        second.set()
        return first.wait(5)

    answers = list(side_by_side({"one": one, "two": two}, within_s=10))
    assert [answer.value for answer in answers] == [True, True]


def test_calls_begin_before_their_answers_are_asked_for() -> None:
    begun = Event()
    answers = side_by_side({"one": begun.set}, within_s=5)
    assert begun.wait(5)
    assert [it.error for it in answers] == [None]


class JustLate(Future[int]):
    """A call that ends between the deadline and the look whether it has ended."""

    def result(self, timeout: float | None = None) -> int:
        if timeout is not None:
            self.set_result(3)
            raise TimeoutError
        return super().result()


def test_a_call_that_ends_at_its_deadline_has_its_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "begin", lambda *_, **__: JustLate())
    assert within(1.0, lambda: 0, what="a call", abandon=lambda: None) == 3
    assert answer_of(lambda: 0, lambda: False, what="a call") == 3


def test_a_call_s_own_timeout_is_its_own() -> None:
    def waits() -> int:
        raise TimeoutError("of the call")

    with pytest.raises(TimeoutError, match="of the call"):
        within(5.0, waits, what="a call", abandon=lambda: None)
    with pytest.raises(TimeoutError, match="of the call"):
        answer_of(waits, lambda: False, what="a call")


def test_a_call_that_raises_and_one_that_is_late_are_errors_beside_an_answer() -> None:
    never = Event()

    def fails() -> int:
        raise Unreachable("no route")

    def breaks() -> int:
        raise KeyError("x")

    calls = {"well": lambda: 3, "fails": fails, "breaks": breaks, "late": never.wait}
    began = time.monotonic()
    found = {it.key: it for it in side_by_side(calls, within_s=1.0)}
    assert time.monotonic() - began < 30
    assert found["well"].value == 3
    assert {key: it.error for key, it in found.items()} == {
        "well": None,
        "fails": "no route",
        "breaks": "KeyError: 'x'",
        "late": "no answer within 1 s",
    }
    never.set()


def test_no_more_calls_run_at_a_time_than_have_a_turn_and_waiting_takes_none_of_their_time() -> (
    None
):
    places, lock = BoundedSemaphore(2), threading.Lock()
    at_once = [0, 0]  # now, and at most

    def call() -> None:
        with lock:
            at_once[0] += 1
            at_once[1] = max(at_once)
        Event().wait(0.6)
        with lock:
            at_once[0] -= 1

    calls = {str(number): call for number in range(6)}
    # Three rounds of 0.6 s: the last ones wait longer than their own time allows.
    answers = list(side_by_side(calls, within_s=1.5, turn=lambda _: places))
    assert [it.error for it in answers] == [None] * 6
    assert at_once == [0, 2]


def test_a_call_that_is_late_gives_its_turn_to_the_next() -> None:
    never, place = Event(), BoundedSemaphore(1)
    turns = iter([never.wait, lambda: 3])
    calls = {key: (lambda: next(turns)()) for key in ("one", "two")}
    answers = list(side_by_side(calls, within_s=1.0, turn=lambda _: place))
    assert sorted(str(it.error) for it in answers) == ["None", "no answer within 1 s"]
    never.set()


@pytest.mark.parametrize("at_once", [None, 1])
def test_each_key_has_what_came_of_it_or_the_error_of_the_harness(at_once: int | None) -> None:
    def work(key: str) -> str:
        if key == "two":
            raise Unreachable("no route")
        return key.upper()

    found = in_each(["one", "two"], work, at_once=at_once)
    assert found["one"] == "ONE"
    assert isinstance(found["two"], Unreachable)
    assert in_each([], work) == {}


def test_an_error_that_is_none_of_the_harness_is_raised_when_all_have_ended() -> None:
    ended = list[str]()

    def work(key: str) -> None:
        if key == "one":
            raise ZeroDivisionError
        Event().wait(0.2)
        ended.append(key)

    with pytest.raises(ZeroDivisionError):
        in_each(["one", "two"], work)
    assert ended == ["two"]


def test_a_call_is_given_up_when_there_is_a_reason_and_its_error_is_raised_when_not() -> None:
    never = Event()
    with pytest.raises(TimedOut, match="the look: aborted before it answered"):
        answer_of(never.wait, lambda: True, what="the look")
    never.set()
    assert answer_of(lambda: 3, lambda: False, what="the look") == 3

    def late() -> None:
        raise TimeoutError("the call's own")

    with pytest.raises(TimeoutError, match="the call's own"):
        answer_of(late, lambda: False, what="the look")


@contextmanager
def slow_door(opens: Event, done: list[str], breaks: bool = False) -> Iterator[str]:
    opens.wait(60)
    done.append("entered")
    yield "inside"
    done.append("left")
    if breaks:
        raise Unreachable("the door is stuck")


def test_a_context_is_entered_beside_the_body_and_left_after_it() -> None:
    opens, done, told = Event(), list[str](), list[str]()
    with entering(slow_door(opens, done), leaves_within_s=60, tell=told.append) as entered:
        assert not entered.done()
        opens.set()
        assert entered.result(timeout=60) == "inside"
        assert done == ["entered"]
    assert (done, told) == (["entered", "left"], [])


def test_a_context_that_is_entered_too_late_is_left_all_the_same() -> None:
    opens, done, told = Event(), list[str](), list[str]()
    with entering(slow_door(opens, done, breaks=True), leaves_within_s=60, tell=told.append):
        threading.Timer(0.05, opens.set).start()
    assert (done, told) == (["entered", "left"], ["the door is stuck"])


def test_a_context_that_does_not_end_is_told_and_abandoned() -> None:
    opens, done, told = Event(), list[str](), list[str]()
    with entering(slow_door(opens, done), leaves_within_s=0.05, tell=told.append):
        pass
    assert (done, told) == ([], ["it did not end within 0.05 s"])
    opens.set()
