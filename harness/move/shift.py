"""Moves the traffic in steps: set a share, see it, judge the answers, then go on or go back.

Going back comes first, and looking at the reasons later. Whatever ends the move, also a Ctrl-C,
leaves the last safe share; ``way_back`` does the same if the harness is killed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from harness.core.errors import HarnessError, NotProven, TimedOut
from harness.core.interrupts import BY_HAND, uninterrupted
from harness.core.waiting import until
from harness.facts.schema import Unknown, attempt
from harness.facts.shift import NoReturn, Quality, Return, Sessions, Shift, Step
from harness.move import no_return
from harness.move.evidence import LOOK_EVERY_S, Evidence
from harness.move.front import Front
from harness.move.sampling import Samples
from harness.move.share import Change
from harness.move.watch import Watch
from harness.move.way_back import WayBack
from harness.record.records import ShiftEvent
from harness.settings.shift import Shift as Declared

_SERVED_WITHIN_S = 120.0
# A front that does not take the command goes back by itself when the lease ends.
_SET_WITHIN_S = 60.0
_SET_AGAIN_S = 1.0
# The share that is assumed where the front cannot be asked.
_ALL = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be done: the shares in their order, or 0 alone.

    In a ``rehearsal`` the safe share stays that of the beginning, and the share is brought back
    from every step. ``agreed`` names the person who agreed to pass the point of no return.
    """

    shares: tuple[int, ...]
    rehearsal: bool
    agreed: str | None = None

    @property
    def is_back(self) -> bool:
        """True if the only order is to go back."""
        return self.shares == (0,)


class Followed(Protocol):
    """The visitors, as far as the move needs them."""

    def changed(self) -> None: ...
    def on_target(self, since: float) -> tuple[str, ...]: ...
    def unserved(self, since: float) -> tuple[str, ...]: ...
    def result(self) -> Sessions: ...


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the move works with; ``needs`` and ``numbers`` look at the point of no return."""

    declared: Declared
    front: Front
    way_back: WayBack
    samples: Samples
    needs: Callable[[], Mapping[str, str]]
    numbers: Callable[[], no_return.Numbers]
    tell: Callable[[str], object]
    record: Callable[[int, ShiftEvent], object]


@dataclass
class Mover:
    """One move of the traffic; ``share`` is the one that was set last."""

    parts: Parts
    order: Order
    visitors: Followed | None = None
    # Why no more steps may be taken, such as a ledger that is silent for too long; or None.
    trouble: Callable[[], str | None] = lambda: None
    _evidence: Evidence = field(init=False)
    _change: Change = field(init=False)
    _safe: int = 0
    _before: Step | None = None
    _steps: list[Step] = field(default_factory=list)
    _returns: list[Return] = field(default_factory=list)
    _needs: dict[str, str] = field(default_factory=dict)
    _agreed: str | None = None
    _reference_p99_ms: float | None = None
    _stopped: str | None = None
    _give_up: str = ""

    def __post_init__(self) -> None:
        self._evidence = Evidence(self.parts.samples, self.parts.declared)
        self._change = Change(0, _ALL, 0.0)

    @property
    def share(self) -> int:
        return self._change.share

    def give_up(self, why: str) -> None:
        """Take no more steps, for example because the disruption lock is lost."""
        self._give_up = why

    def move(self) -> Shift:
        """Take the steps, and go back where one is not good; the ledger is left empty.

        TransportError or Garbled, and nothing changed, when the front cannot be asked; going back
        is tried all the same, and arms nothing first.
        """
        parts = self.parts
        # Before the first change, the share need not be told from any.
        self._change = Change(self._read_first(), _ALL, time.monotonic())
        counts = parts.numbers()
        if not self.order.is_back:
            self._arm(self.share)
        with parts.way_back.renewed():
            try:
                self._carry_out()
            except KeyboardInterrupt:
                self._stopped = BY_HAND
            except HarnessError as error:
                self._stopped = str(error)
            finally:
                with uninterrupted():
                    if self.share != self._safe:
                        self._back(self._safe, self._stopped or "the end")
        with uninterrupted():
            try:
                parts.way_back.release()
            except HarnessError as error:  # the machine goes back by itself then
                self._stopped = self._stopped or str(error)
            return self._result(counts)

    def _read_first(self) -> int:
        try:
            return self.parts.front.read()
        except HarnessError:
            if self.order.is_back:
                return _ALL
            raise

    def _result(self, counts: no_return.Numbers) -> Shift:
        declared, left = self.parts.declared, attempt(self.parts.front.read)
        return Shift(
            ordered=self.order.shares,
            rehearsal=self.order.rehearsal,
            rules=declared.rules(),
            before=self._before,
            steps=tuple(self._steps),
            returns=tuple(self._returns),
            sessions=None if self.visitors is None else self.visitors.result(),
            no_return=NoReturn(
                from_share=declared.no_return.from_share,
                needs=self._needs,
                counts=no_return.counted(counts, self.parts.numbers()),
                agreed=self._agreed,
            ),
            ledger={},
            left=None if isinstance(left, Unknown) else left.value,
            stopped=self._stopped,
            by_hand=self._stopped == BY_HAND,
        )

    def _carry_out(self) -> None:
        if self.order.is_back:
            self._back(0, "asked for")
            self._needs = dict(self.parts.needs())
            return
        if self.order.shares[0] <= self.share:
            raise NotProven(f"the share is {self.share} % already", remedy="name higher shares")
        # Set as it is: a command that fails is met before a customer is moved, and a front that was
        # never set may name no side.
        self.parts.front.set(self.share)
        self._before = self._watch()
        if self._before.quality is not Quality.GOOD:
            self._stopped = f"nothing was changed: {self._before.says}"
            return
        for share in self.order.shares:
            self._may_pass(share)
            step = self._take(share)
            why = self._logged_out() if step.quality is Quality.GOOD else step.says
            if why:
                self._stopped = f"{share} %: {why}"
                self._back(self._safe, why, look_on=True)
                return
            if not self.order.rehearsal:
                self._arm(share)
        if self.order.rehearsal:
            self._rehearse()

    def _rehearse(self) -> None:
        """Go back from the last step, and then from each of the others once more."""
        for share in reversed(self.order.shares):
            if share != self.share:
                self._set(share)
                if not self._evidence.seen(self._change):
                    raise NotProven(f"{share} % did not show again")
            self._back(self._safe, "rehearsed")

    # --- a step ---

    def _may_pass(self, share: int) -> None:
        """NotProven unless the way back works and, if the share is to stay, an operator agreed."""
        declared = self.parts.declared.no_return
        if share < declared.from_share:
            return
        self.parts.tell("looking at what the way back needs")
        self._needs = dict(self.parts.needs())
        no_return.must_be_there(self._needs)
        if self.order.rehearsal:
            return
        if self.order.agreed is None:
            raise NotProven(
                f"{share} % passes the point of no return, and no operator agreed to it",
                remedy="--past-no-return NAME, the name of the person who agrees",
            )
        self._agreed = self.order.agreed
        event = ShiftEvent(event="agreed", by=self._agreed, needs=self._needs)
        self.parts.record(share, event)

    def _take(self, share: int) -> Step:
        self._set(share)
        step = self._watch()
        self._steps.append(step)
        self.parts.record(share, ShiftEvent(event="judged", says=step.quality))
        return step

    def _set(self, share: int) -> None:
        self._must_go_on()
        # The machine may have gone back by itself since, and then nothing is armed.
        self.parts.way_back.renew()
        self.parts.tell(f"setting {share} %")
        self.parts.record(share, ShiftEvent(event="set"))
        self._change = Change(share, self.share, time.monotonic())
        self.parts.front.set(share)
        self._note_change()

    def _note_change(self) -> None:
        if self.visitors is not None:
            self.visitors.changed()

    def _watch(self) -> Step:
        """Look at the share until its answers are judged, or for as long as that may take."""
        reads = self.parts.front.read()
        self.parts.tell(f"looking at {self.share} %")
        watch = Watch(
            change=self._change,
            reads=reads,
            evidence=self._evidence,
            former_p99_ms=self._reference_p99_ms,
            must_go_on=self._must_go_on,
        )
        step = watch.step()
        self._reference_p99_ms = step.reference_p99_ms
        return step

    def _must_go_on(self) -> None:
        """NotProven if no more steps may be taken."""
        if why := self._give_up or self.trouble():
            raise NotProven(why)
        if self.parts.way_back.is_lost:
            raise NotProven("the front's machine has gone back by itself: its lease had ended")

    def _logged_out(self) -> str:
        """The first visitor who was logged out, or nothing; a rehearsal goes on to find more."""
        if self.visitors is None or self.order.rehearsal:
            return ""
        lost = self.visitors.result().lost
        return next((f"{who} was logged out {why}" for who, why in lost.items()), "")

    def _arm(self, share: int) -> None:
        self.parts.record(share, ShiftEvent(event="armed"))
        self.parts.way_back.arm(share)
        self._safe = share

    # --- the way back ---

    def _back(self, share: int, because: str, *, look_on: bool = False) -> None:
        """Set the safe share first, then measure it; with ``look_on``, see whether errors end."""
        decided, left = time.monotonic(), self._change
        set_s = self._set_back(share, decided)
        self.parts.record(share, ShiftEvent(event="back", says=because))
        self.parts.tell(f"back to {share} %: {because}")
        first_error = self._evidence.first_error(left.at, decided) if self._steps else None
        shown = None if set_s is None else self._evidence.seen(self._change)
        after = None
        if shown is None:
            after = self._evidence.window(decided)
        elif look_on:
            # From now on: the first of the answers that show the share are of the change.
            after = self._evidence.errors_end(self._steps[-1].window)
        is_none = shown is not None and not share
        left_behind, unserved = self._followed_back() if is_none else ((), ())
        self._returns.append(
            Return(
                from_share=left.share,
                to_share=share,
                because=because,
                first_error_s=None if first_error is None else round(decided - first_error, 2),
                set_s=set_s,
                back_s=None if shown is None else round(shown - decided, 2),
                after=after,
                left_behind=left_behind,
                unserved=unserved,
            )
        )

    def _set_back(self, share: int, decided: float) -> float | None:
        """Set a share until the front takes it; the seconds since the decision."""

        def is_set() -> bool:
            with suppress(HarnessError):
                self.parts.front.set(share)
                return True
            return False

        try:
            until(is_set, within_s=_SET_WITHIN_S, every_s=_SET_AGAIN_S, what=f"{share} % is set")
        except TimedOut:
            return None
        # A front reads its file, and may follow another one: an order to go back does not trust it.
        former = share if self.order.is_back else self.share
        self._change = Change(share, former, decided)
        self._note_change()
        return round(time.monotonic() - decided, 3)

    def _followed_back(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The visitors whom the target serves although the share is 0, and those without an answer.

        The first of the answers that showed it may have come just before the front followed, by
        chance, and a visitor's request between them met the share before.
        """
        visitors, since = self.visitors, time.monotonic()
        if visitors is None:
            return (), ()
        with suppress(TimedOut):
            until(
                lambda: not visitors.unserved(since),
                within_s=_SERVED_WITHIN_S,
                every_s=LOOK_EVERY_S,
                what="an answer to each visitor",
            )
        return visitors.on_target(since), visitors.unserved(since)
