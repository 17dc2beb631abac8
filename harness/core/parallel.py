"""Calls side by side, each on a thread that the end of the process does not wait for.

``begin`` makes one call. ``within`` makes one call with a wall-clock limit; ``answer_of`` makes one
that can be aborted. ``in_each`` makes one call per key, each with its own deadline.
``side_by_side`` makes one call per key within a deadline. ``running`` makes calls while a body
runs; ``entering`` enters a context meanwhile, and the body need not wait for it.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeAlias, TypeVar

from harness.core.errors import HarnessError, TimedOut, in_words
from harness.core.notices import collecting

S = TypeVar("S", covariant=True)
T = TypeVar("T")
# Limits how many calls run at a time: a call enters it, by its key, before it begins.
Turn: TypeAlias = Callable[[str], AbstractContextManager[object]]

_UNLESS_S = 0.1


def begin(call: Callable[[], T], *, name: str | None = None) -> Future[T]:
    """Make a call on its own thread; the Future has its result or its error.

    The thread is a daemon, unlike those of ThreadPoolExecutor: the end of the process does not wait
    for it.
    """
    answer: Future[T] = Future()

    def run() -> None:
        try:
            answer.set_result(call())
        except BaseException as error:  # the Future's caller gets it
            answer.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return answer


@contextmanager
def running(
    calls: Mapping[str, Callable[[], None]], stop: threading.Event, *, within_s: float
) -> Iterator[None]:
    """Make calls, by the names of their threads, while the body runs; then tell them to stop.

    Each call must end soon after ``stop`` is set: it is waited for, at most so many seconds.
    """
    threads = [
        threading.Thread(target=call, name=name, daemon=True) for name, call in calls.items()
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(timeout=within_s)


@contextmanager
def entering(
    part: AbstractContextManager[T], *, leaves_within_s: float, tell: Callable[[str], object]
) -> Iterator[Future[T]]:
    """Enter ``part`` on a thread of its own while the body runs; the Future has what it gives.

    The thread leaves it when the body has ended, also if it is entered only then. It is waited for,
    at most so many seconds; ``tell`` gets the reason if leaving fails, or takes longer.
    """
    entered: Future[T] = Future()
    over = threading.Event()

    def hold() -> None:
        try:
            with part as given:
                entered.set_result(given)
                over.wait()
        except Exception as error:
            if entered.done():
                raise
            entered.set_exception(error)

    left = begin(hold, name="a context beside the body")
    try:
        yield entered
    finally:
        over.set()
        try:
            left.result(timeout=leaves_within_s)
        except Exception as error:
            late = f"it did not end within {leaves_within_s:g} s"
            tell(in_words(error) if left.done() else late)


def in_each(
    keys: Iterable[str], work: Callable[[str], T], *, at_once: int | None = None
) -> dict[str, T | HarnessError]:
    """Call ``work`` for each key side by side: its result, or the HarnessError that it raised.

    ``at_once`` limits how many calls run at a time; None: all. The function waits for all calls, as
    ``work`` has its own deadline, and then raises any other error.
    """
    place = nullcontext() if at_once is None else threading.BoundedSemaphore(at_once)

    def safely(key: str) -> T | HarnessError:
        with place:
            try:
                return work(key)
            except HarnessError as error:
                return error

    calls = {key: begin(partial(safely, key)) for key in keys}
    for call in calls.values():
        call.exception()
    return {key: call.result() for key, call in calls.items()}


# Generic dataclasses have no slots: in Python 3.11, frozen ones that do cannot be made.
@dataclass(frozen=True)
class CallResult(Generic[S]):
    """The result of one of several calls; ``at`` is its start (UTC seconds since the epoch).

    ``took_s`` is its duration. With an ``error``, ``value`` is None. ``notices`` are further lines
    for the report, such as an object that the call could not remove.
    """

    key: str
    value: S | None
    error: str | None
    at: float
    took_s: float
    notices: Sequence[str] = ()


def side_by_side(
    calls: Mapping[str, Callable[[], T]],
    *,
    within_s: float,
    turn: Turn = lambda _: nullcontext(),
) -> Iterator[CallResult[T]]:
    """Begin all calls now, each in its turn; yield each result as it arrives.

    A call that raises, or that takes longer than ``within_s`` seconds, yields a result with an
    error. After a timeout, the call's thread is abandoned and its later result is ignored.
    """
    answers: queue.SimpleQueue[CallResult[T]] = queue.SimpleQueue()

    def ask(key: str, call: Callable[[], T]) -> None:
        with turn(key):
            answer = _answer(key, call, within_s)
        answers.put(answer)

    for key, call in calls.items():
        begin(partial(ask, key, call), name=f"look: {key}")
    return (answers.get() for _ in calls)


def _answer(key: str, call: Callable[[], T], within_s: float) -> CallResult[T]:
    """A call's result within its deadline."""
    at, began = time.time(), time.monotonic()

    def asked() -> CallResult[T]:
        value, error = None, None
        with collecting() as told:
            try:
                value = call()
            except Exception as problem:
                error = in_words(problem)
        return CallResult(key, value, error, at, time.monotonic() - began, told)

    try:
        return begin(asked, name=f"look: {key}").result(timeout=within_s)
    except TimeoutError:
        late = f"no answer within {within_s:g} s"
        return CallResult(key, None, late, at, time.monotonic() - began)


def answer_of(call: Callable[[], T], unless: Callable[[], bool], *, what: str) -> T:
    """A call's result or its error; TimedOut as soon as ``unless`` is true.

    The abandoned call goes on, and its later result is ignored.
    """
    answer = begin(call, name=what)
    while not unless():
        try:
            return answer.result(timeout=_UNLESS_S)
        except TimeoutError:
            if answer.done():  # the call itself raised it, or has just ended
                return answer.result()
    raise TimedOut(f"{what}: aborted before it answered")


def within(
    within_s: float, call: Callable[[], T], *, what: str, abandon: Callable[[], object]
) -> T:
    """What ``call`` returns, or TimedOut, naming ``what``, after ``within_s`` seconds.

    ``abandon`` then ends the connection on which the call blocks, and with it the thread. It may
    block itself, on a connection that takes no more bytes, so it runs on a thread without a wait.
    It hangs a socket up and never closes it: see ``hang_up``.
    """
    answer = begin(call, name=f"within {within_s:g} s: {what}")
    try:
        return answer.result(timeout=max(0.0, within_s))
    except TimeoutError:
        if answer.done():  # the call itself raised it, or has just ended
            return answer.result()
        begin(abandon, name=f"abandon: {what}")
        raise TimedOut(f"{what}: no answer within {within_s:.1f} s") from None


def hang_up(connection: socket.socket | None) -> None:
    """End a connection that another thread may be reading from; that thread closes it.

    Closing it here would free its number while OpenSSL still reads from that number. The next
    connection with that number would lose bytes to OpenSSL.
    """
    if connection is not None:
        with contextlib.suppress(OSError):
            socket.socket.shutdown(connection, socket.SHUT_RDWR)
