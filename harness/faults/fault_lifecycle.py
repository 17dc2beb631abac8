"""The lifecycle of one fault: armed, injected, seen active, undone, seen to be gone.

The journal has every stage before it is reached. The journal of a killed harness therefore shows
what it was about to do, and the undo. After a failed act, a fault can only be undone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from functools import partial
from typing import Protocol

from harness.core.errors import HarnessError, InjectFailed, NotProven, TimedOut, Unhealed, in_a_line
from harness.core.parallel import answer_of
from harness.core.waiting import until
from harness.faults.fault import Fault
from harness.faults.model import Undo
from harness.faults.undo_store import UndoStore, undo_store_at
from harness.record.records import FaultEvent
from harness.transport import Reach

LEASE_S = 30.0
# Three chances to renew before the lease ends.
_RENEWALS = 3.0
# A machine that comes back from a reboot cannot be asked at first.
_HEAL_S = 60.0
_HEAL_AGAIN_S = 2.0
_PROMPT_S = 0.1


class FaultState(StrEnum):
    """The stage of a fault's lifecycle."""

    NEW = "new"
    ARMED = "armed"
    INJECTED = "injected"
    ACTIVE = "active"
    INVALID = "invalid"
    HEALED = "healed"
    GONE = "gone"


_MAY_HEAL = (
    FaultState.ARMED,
    FaultState.INJECTED,
    FaultState.ACTIVE,
    FaultState.INVALID,
    FaultState.HEALED,
    FaultState.GONE,
)


class UndoStoreAt(Protocol):
    def __call__(self, reach: Reach, place: str) -> UndoStore: ...


class FaultLifecycle:
    """One fault, from its refusal or its arming to the proof that it is gone.

    ``record`` gets each event: ``armed`` and ``injected`` before they are done, ``active``,
    ``healed`` and ``heal-proved`` after they were seen.
    """

    def __init__(
        self,
        fault: Fault,
        reach: Reach,
        record: Callable[[FaultEvent], object],
        *,
        undo_store_at: UndoStoreAt = undo_store_at,
        lease_s: float = LEASE_S,
    ) -> None:
        self.fault = fault
        self.stage = FaultState.NEW
        self.undo: Undo | None = None
        self.expired = False  # the undo ran by itself while the fault should have been active
        self.injected = False  # the fault may be active, even if its injection failed
        self._reach = reach
        self._record = record
        self._undo_store_at = undo_store_at
        self._lease_s = lease_s
        self._kept_until = 0.0  # the lease lasts until then (monotonic seconds)
        self._taking_back: float | None = None  # since when the undo runs (monotonic seconds)
        self._renewing: threading.Thread | None = None  # a renewal that was late

    def arm(self) -> None:
        """Store the undo at its place. NotProven when the fault is past that stage."""
        self._must_be(FaultState.NEW)
        undo = self.fault.arm(self._reach, self._lease_s)
        self._record(
            FaultEvent(event="armed", fault=self.fault.name, undo=undo.model_dump(mode="json"))
        )
        self.undo = undo
        self.stage = FaultState.INVALID  # until the undo store confirms it
        began = time.monotonic()
        self._undo_store_at(self._reach, undo.place).arm(undo)
        self._kept_until = began + self._lease_s
        self.stage = FaultState.ARMED

    def inject(self, unless: Callable[[], bool] = lambda: False) -> float:
        """Inject the fault; returns the seconds that took. InjectFailed when it did not work.

        The lease begins anew first: an undo that has already run would not undo the fault.
        NotProven when ``unless`` is true: nothing more may be broken. An injection that has begun
        is waited for: an act that arrives after the undo would stay.
        """
        self._must_be(FaultState.ARMED)
        self.renew()
        if unless():
            raise NotProven(f"{self._words} was not injected: an abort condition was already met")
        self._record(FaultEvent(event="injected", fault=self.fault.name, target=self.fault.target))
        self.stage = FaultState.INVALID
        self.injected = True
        began = time.monotonic()
        self.fault.inject(self._reach)
        self.stage = FaultState.INJECTED
        return time.monotonic() - began

    def see(self, unless: Callable[[], bool] = lambda: False) -> float:
        """Wait until an observer sees the fault; returns the seconds.

        TimedOut when no observer sees it in time, or when ``unless`` ended the wait.
        """
        self._must_be(FaultState.INJECTED)
        began = time.monotonic()
        self._wait(self.fault.active, self.fault.seen_within_s, f"{self._words} is seen", unless)
        self.stage = FaultState.ACTIVE
        took_s = time.monotonic() - began
        self._record(FaultEvent(event="active", took_s=round(took_s, 3)))
        return took_s

    def renew(self) -> None:
        """Begin the lease anew. NotProven when the undo has already run."""
        if self.undo is None:
            raise NotProven(f"{self._words} was never armed")
        began = time.monotonic()
        if self._undo_store_at(self._reach, self.undo.place).renew(self.undo):
            self._kept_until = began + self._lease_s
            return
        # A fault without undo commands (a reboot) cannot expire early.
        if not self.undo.commands:
            return
        # If the harness undid the fault during this renewal, nothing is left to renew either.
        if self._taking_back is None or self._taking_back >= self._kept_until:
            self.expired = True
        raise NotProven(f"{self._words} undid itself: its lease was not renewed in time")

    def heal(self, within_s: float | None = None) -> float:
        """Run the undo until it succeeds; returns the seconds.

        Unhealed when it did not succeed within ``within_s``. The default is a minute; if a machine
        has to boot first, it is as long as that may take.
        """
        if self.stage not in _MAY_HEAL or self.undo is None:
            raise NotProven(f"{self._words} was never armed: there is nothing to undo")
        undo = self.undo
        if within_s is None:
            within_s = _HEAL_S if self.fault.at_once else max(_HEAL_S, self.fault.gone_within_s)
        began = time.monotonic()
        self._taking_back = self._taking_back or began
        last: list[str] = []

        def done() -> bool:
            try:
                self.fault.heal(self._reach, undo)
            except Exception as error:  # after any error, the fault is still there
                last[:] = [in_a_line(error)]
                return False
            return True

        try:
            until(done, within_s=within_s, what="the undo", every_s=_HEAL_AGAIN_S)
        except TimedOut as late:
            said = last[0] if last else late
            raise Unhealed(
                f"{self._words} could not be undone within {within_s:g} s: {said}",
                remedy="./cutover heal tries again, on every machine",
            ) from late
        self.stage = FaultState.HEALED
        took_s = time.monotonic() - began
        self._record(FaultEvent(event="healed", took_s=round(took_s, 3)))
        return took_s

    def see_gone(self) -> float:
        """Wait until the fault is seen to be gone; returns the seconds. Unhealed when it is not."""
        self._must_be(FaultState.HEALED)
        began = time.monotonic()
        try:
            self._wait(self.fault.healed, self.fault.gone_within_s, f"{self._words} is gone")
        except TimedOut as late:
            raise Unhealed(
                str(late), remedy="./cutover heal tries again; see the runbook"
            ) from late
        self.stage = FaultState.GONE
        took_s = time.monotonic() - began
        self._tidy()
        self._record(FaultEvent(event="heal-proved", took_s=round(took_s, 3)))
        return took_s

    @contextmanager
    def renewed(self) -> Iterator[None]:
        """Renew the lease while the body runs; a renewal without an answer is tried again.

        A renewal that is under way at the end delays nothing: ``see_gone`` cleans up after it.
        """
        stop = threading.Event()

        def keep() -> None:
            while not stop.wait(self._lease_s / _RENEWALS):
                try:
                    self.renew()
                except NotProven:
                    return
                except Exception:  # the fault may affect the machine: its own timer goes on
                    continue

        thread = threading.Thread(target=keep, name=f"lease:{self.fault.id}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(timeout=_PROMPT_S)
            self._renewing = thread if thread.is_alive() else None

    def _tidy(self) -> None:
        """Remove the timer that a renewal after the undo has left; it has nothing to run."""
        if self._renewing is None or self.undo is None:
            return
        self._renewing.join(timeout=self._lease_s)
        with suppress(HarnessError):
            self.fault.heal(self._reach, self.undo)

    @property
    def _words(self) -> str:
        return f"the fault {self.fault.name} of {self.fault.target}"

    def _must_be(self, stage: FaultState) -> None:
        if self.stage is not stage:
            raise NotProven(f"{self._words} is {self.stage}, expected {stage}")

    def _wait(
        self,
        look: Callable[[Reach], bool],
        within_s: float,
        what: str,
        unless: Callable[[], bool] = lambda: False,
    ) -> None:
        """Wait until ``look`` is true. An observer that fails has seen nothing yet."""
        said: list[str] = []

        def seen() -> bool:
            said.clear()
            try:
                return answer_of(partial(look, self._reach), unless, what=what)
            except InjectFailed:
                raise
            except Exception as error:
                if isinstance(error, TimedOut) and unless():
                    raise
                said.append(in_a_line(error))
                return False

        try:
            until(seen, within_s=within_s, what=what, every_s=0.25)
        except TimedOut as late:
            if not said:
                raise
            raise TimedOut(f"{what}: not within {within_s:g} s; asked last: {said[0]}") from late
