"""Injects one fault, from its arming to the proof that it is gone; a monitor may abort it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from harness.core.errors import NotProven, TimedOut
from harness.core.interrupts import uninterrupted
from harness.core.parallel import answer_of
from harness.drill.context import DrillContext
from harness.drill.safety_monitor import SafetyMonitor, noticed
from harness.drill.traffic import HEALED_MARK, Mark
from harness.facts.drills import FaultFacts
from harness.faults.fault import Fault
from harness.faults.fault_lifecycle import FaultLifecycle
from harness.ledger.result import FAULT
from harness.record.records import Abort, FaultEvent, Kind
from harness.settings.drills import Planned


class Moment(StrEnum):
    """The first word of the progress line at each moment of an injection."""

    INJECTING = "injecting"
    HOLDING = "holding"
    UNDOING = "undoing"


@dataclass(frozen=True)
class Injector:
    """Injects faults one by one; ``mark`` notes each moment in the ledger and the load."""

    context: DrillContext
    monitor: SafetyMonitor
    mark: Mark

    def inject(self, planned: Planned, fault: Fault, told: list[FaultFacts]) -> None:
        """Inject the fault, hold it and undo it; the facts are added to ``told``.

        NotProven when an abort condition is met before it is injected.
        """
        context, monitor = self.context, self.monitor
        self._hold(planned.after_s)
        self._must_be_steady(fault)
        context.preflight(fault)
        lifecycle = FaultLifecycle(
            fault, context.reach, partial(self._record, fault), undo_store_at=context.undo_store_at
        )
        seen = FaultFacts(
            fault=fault.name, target=fault.target, aborted=None, at_once=fault.at_once
        )
        told.append(seen)
        with self._undone(lifecycle, seen):
            lifecycle.arm()
            with lifecycle.renewed():
                self._must_be_steady(fault)
                context.progress(f"{Moment.INJECTING}: {fault.name} of {fault.target}")
                self.mark(FAULT)
                monitor.blast_radius |= fault.blast_radius
                injected = time.monotonic()
                seen["inject_s"] = round(lifecycle.inject(unless=monitor.abort.is_set), 3)
                asked: dict[str, float] = {}
                try:
                    seen["seen_s"] = round(lifecycle.see(unless=monitor.abort.is_set), 3)
                    if fault.asks_itself:
                        asked["health"] = round(time.monotonic() - injected, 2)
                except TimedOut as late:
                    seen["unseen"] = str(late).partition("\n")[0]
                context.progress(
                    f"{Moment.HOLDING}: {fault.name} of {fault.target} for {planned.hold_s:g} s"
                )
                self._hold(planned.hold_s, partial(self._observe_bystanders, fault, planned, seen))
            ended = time.monotonic()
        # A machine that boots counts as down until it is back.
        ended = ended if fault.at_once else time.monotonic()
        seen["held_s"] = round(ended - injected, 2)
        seen["noticed"] = {**noticed(monitor.samples, fault.machine, injected, ended), **asked}
        if lifecycle.expired:
            seen["unseen"] = "its lease ended early: the fault was not active all the time"

    def _record(self, fault: Fault, event: FaultEvent) -> None:
        """Journal an event; ``armed`` with the parameters, so that `heal` can check the fault."""
        if event["event"] == "armed":
            event["parameters"] = fault.model_dump(mode="json")
        self.context.record(Kind.FAULT, fault.id, event)

    @contextmanager
    def _undone(self, lifecycle: FaultLifecycle, seen: FaultFacts) -> Iterator[None]:
        """Undo the fault after the body, also after an error, and wait until it is gone."""
        try:
            yield
        finally:
            if lifecycle.undo is not None:
                with uninterrupted():
                    self._undo(lifecycle, seen)

    def _undo(self, lifecycle: FaultLifecycle, seen: FaultFacts) -> None:
        context, monitor, fault = self.context, self.monitor, lifecycle.fault
        if monitor.abort.is_set():
            context.progress(f"aborting the fault: {monitor.why}")
            context.record(Kind.ABORT, fault.id, Abort(why=monitor.why))
        context.progress(f"{Moment.UNDOING}: {fault.name} of {fault.target}")
        seen["heal_s"] = round(lifecycle.heal(), 3)
        aborted = monitor.abort.is_set() and lifecycle.injected
        if aborted:
            seen["aborted"], seen["ours"] = monitor.why, monitor.by_harness
            seen["abort_s"] = round(time.monotonic() - monitor.aborted_at, 3)
        self.mark(HEALED_MARK)
        gone_s = lifecycle.see_gone()
        seen["gone_s"] = round(gone_s, 3)
        if aborted:
            seen["abort_gone_s"] = round(seen["abort_s"] + gone_s, 3)

    def _must_be_steady(self, fault: Fault) -> None:
        if self.monitor.abort.is_set():
            raise NotProven(
                f"{fault.name} of {fault.target} was not injected: abort condition met: "
                f"{self.monitor.why}"
            )

    def _observe_bystanders(self, fault: Fault, planned: Planned, seen: FaultFacts) -> None:
        bystanders = self.context.observe_bystanders(fault.machine, planned.hold_s)
        if bystanders is not None:
            seen["bystanders"] = bystanders

    def _hold(self, seconds: float, beside: Callable[[], object] | None = None) -> None:
        """Wait for ``seconds`` and until ``beside`` has returned; or until the monitor aborts."""
        ends = time.monotonic() + seconds
        if beside is not None:
            with suppress(TimedOut):  # the abort ended it
                what = "the look at the other machines"
                answer_of(beside, self.monitor.abort.is_set, what=what)
        self.monitor.abort.wait(max(0.0, ends - time.monotonic()))
