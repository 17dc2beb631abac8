"""The life of one fault: armed, injected, seen active, taken back, seen to be gone.

Every stage is in the journal before it is reached, so that a harness that is killed leaves behind
what it was about to do, and what takes it back. After an act that failed, a fault can only be
taken back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from functools import partial
from typing import Protocol

from harness.errors import HarnessError, InjectFailed, NotProven, TimedOut, Unhealed
from harness.faults.fault import Fault
from harness.faults.model import Undo
from harness.faults.undo_store import UndoStore, undo_store_at
from harness.parallel import answer_of
from harness.record.records import FaultEvent
from harness.transport import Reach
from harness.waiting import until

LEASE_S = 30.0
# Three chances to renew before the lease ends.
_RENEWALS = 3.0
# A machine that comes back from a reboot cannot be asked at first.
_HEAL_S = 60.0
_HEAL_AGAIN_S = 2.0
_PROMPT_S = 0.1


class FaultState(StrEnum):
    """How far the life of a fault has come."""

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
        self.expired = False  # the undo ran by itself while the fault was still meant to be active
        self.injected = False  # it may be there, whether its injection succeeded or not
        self._reach = reach
        self._record = record
        self._undo_store_at = undo_store_at
        self._lease_s = lease_s
        self._kept_until = 0.0  # the undo has not run by itself before (monotonic seconds)
        self._taking_back: float | None = None  # since when
        self._renewing: threading.Thread | None = None  # a renewal that was late

    def arm(self) -> None:
        """Put the undo where it will be needed. NotProven when the fault is past that."""
        self._must_be(FaultState.NEW)
        undo = self.fault.arm(self._reach, self._lease_s)
        self._record(
            FaultEvent(event="armed", fault=self.fault.name, undo=undo.model_dump(mode="json"))
        )
        self.undo = undo
        self.stage = FaultState.INVALID  # until it is known to be armed
        began = time.monotonic()
        self._undo_store_at(self._reach, undo.place).arm(undo)
        self._kept_until = began + self._lease_s
        self.stage = FaultState.ARMED

    def inject(self, unless: Callable[[], bool] = lambda: False) -> float:
        """Break it; returns the seconds that took. InjectFailed when it did not work.

        The lease begins anew first: an undo that has run already would take nothing back. NotProven
        when ``unless`` says that nothing more may be broken. An injection that has begun is waited
        for: what arrives after its undo has run would stay.
        """
        self._must_be(FaultState.ARMED)
        self.renew()
        if unless():
            raise NotProven(f"{self._words} was not injected: too much was broken already")
        self._record(FaultEvent(event="injected", fault=self.fault.name, target=self.fault.target))
        self.stage = FaultState.INVALID
        self.injected = True
        began = time.monotonic()
        self.fault.inject(self._reach)
        self.stage = FaultState.INJECTED
        return time.monotonic() - began

    def see(self, unless: Callable[[], bool] = lambda: False) -> float:
        """Wait until an observer sees it; returns the seconds.

        TimedOut when none does, or when ``unless`` ended the wait.
        """
        self._must_be(FaultState.INJECTED)
        began = time.monotonic()
        self._wait(self.fault.active, self.fault.seen_within_s, f"{self._words} is seen", unless)
        self.stage = FaultState.ACTIVE
        took_s = time.monotonic() - began
        self._record(FaultEvent(event="active", took_s=round(took_s, 3)))
        return took_s

    def renew(self) -> None:
        """Begin the lease anew. NotProven when the undo has run already."""
        if self.undo is None:
            raise NotProven(f"{self._words} was never armed")
        began = time.monotonic()
        if self._undo_store_at(self._reach, self.undo.place).renew(self.undo):
            self._kept_until = began + self._lease_s
            return
        # A fault without undo commands (a reboot) cannot expire early.
        if not self.undo.commands:
            return
        # Nothing is left to renew either when we took it back while this was under way.
        if self._taking_back is None or self._taking_back >= self._kept_until:
            self.expired = True
        raise NotProven(f"{self._words} took itself back: its lease was not renewed in time")

    def heal(self, within_s: float | None = None) -> float:
        """Take it back, again and again until that works; returns the seconds.

        Unhealed when it did not work within ``within_s``; by default a minute, and where a machine
        has to boot before it can be asked, as long as that may take.
        """
        if self.stage not in _MAY_HEAL or self.undo is None:
            raise NotProven(f"{self._words} was never armed: there is nothing to take back")
        undo = self.undo
        if within_s is None:
            within_s = _HEAL_S if self.fault.at_once else max(_HEAL_S, self.fault.gone_within_s)
        began = time.monotonic()
        self._taking_back = self._taking_back or began
        last: list[str] = []

        def done() -> bool:
            try:
                self.fault.heal(self._reach, undo)
            except Exception as error:  # whatever it is, the fault is still there
                last[:] = [_in_words(error)]
                return False
            return True

        try:
            until(done, within_s=within_s, what="the undo", every_s=_HEAL_AGAIN_S)
        except TimedOut as late:
            said = last[0] if last else late
            raise Unhealed(
                f"{self._words} could not be taken back within {within_s:g} s: {said}",
                remedy="./cutover heal tries again, on every machine",
            ) from late
        self.stage = FaultState.HEALED
        took_s = time.monotonic() - began
        self._record(FaultEvent(event="healed", took_s=round(took_s, 3)))
        return took_s

    def see_gone(self) -> float:
        """Wait until it is seen to be gone; returns the seconds. Unhealed when it is not."""
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
        """Keep the lease while the body runs; a renewal that gets no answer is tried again.

        One that is under way at the end delays nothing: ``see_gone`` clears up after it.
        """
        stop = threading.Event()

        def keep() -> None:
            while not stop.wait(self._lease_s / _RENEWALS):
                try:
                    self.renew()
                except NotProven:
                    return
                except Exception:  # the machine may be what is broken: its own timer goes on
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
        """A renewal that came after the undo has left a timer, which would find nothing to do."""
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
            raise NotProven(f"{self._words} is {self.stage}, and should be {stage}")

    def _wait(
        self,
        look: Callable[[Reach], bool],
        within_s: float,
        what: str,
        unless: Callable[[], bool] = lambda: False,
    ) -> None:
        """An observer that cannot be asked, or is not understood, has seen nothing yet."""
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
                said.append(_in_words(error))
                return False

        try:
            until(seen, within_s=within_s, what=what, every_s=0.25)
        except TimedOut as late:
            if not said:
                raise
            raise TimedOut(f"{what}: not within {within_s:g} s; asked last: {said[0]}") from late


def _in_words(error: Exception) -> str:
    text = str(error) if isinstance(error, HarnessError) else f"{type(error).__name__}: {error}"
    return text.partition("\n")[0]
