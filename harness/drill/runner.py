"""Runs a drill: steady state → ledger and load → fault → heal → steady state again.

This module does not judge: it returns ``DrillFacts``, which checks judge.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from random import Random

from harness.core.errors import NotProven, Refused, TransportError, Unhealed, in_words
from harness.drill.context import DrillContext
from harness.drill.injection import Injector
from harness.drill.planning import fault_of, machines_of, must_be_there, plan
from harness.drill.safety_monitor import monitoring
from harness.drill.traffic import AGAIN, Books, Load, marking, write_gap, writing_again
from harness.facts.drills import DrillFacts, EndReason, RunFacts
from harness.faults.fault import Fault
from harness.settings.drills import Drill
from harness.transport import Reach

STEADY_WITHIN_S = 120.0
# The run on the machine reports a fault that cannot be planned.
_TOLD_BY_THE_RUN = (TransportError, NotProven, ArithmeticError, LookupError, TypeError, ValueError)
# After the steady state is back, the load runs on for so long: it shows the normal speed.
_AGAIN_S = 10.0
# A look at Ceph that has begun may take this long.
_LAST_LOOK_S = 30.0


def run_drill(drill: Drill, context: DrillContext, machines: Sequence[str] = ()) -> DrillFacts:
    """Run the drill on each of its machines, or on these; Refused before anything is changed."""
    draw = Random(f"{context.seed}/{drill.name}")
    during = drill.looks_on(context.reach.profile.cluster().parts)
    value = DrillFacts(
        drill=drill.name,
        title=drill.title,
        load=drill.load,
        targets={key: (it.sign, it.number) for key, it in drill.targets.items()},
        during=list(during.during) if during else [],
        runs=[],
    )
    hit = machines or machines_of(drill, context.reach, draw)
    context.preflight_all(_first_faults(drill, hit, context.reach))
    for machine in hit:
        run = RunFacts(machine=machine, before=[], faults=[])
        try:
            _MachineRun(drill, machine, draw, context, run).run()
        except Refused as no:
            if not (value["runs"] or run["faults"]):  # before anything was changed
                raise
            run["error"] = str(no)
        except KeyboardInterrupt:
            run["error"] = value["ended"] = EndReason.BY_HAND
        except Exception as error:
            run["error"] = in_words(error)
            if isinstance(error, Unhealed):
                value["unhealed"] = str(error)
        value["runs"].append(run)
        if run["before"] or "error" in run:
            break
    return value


def _first_faults(drill: Drill, machines: Sequence[str], reach: Reach) -> Sequence[Fault]:
    """The first fault on each machine.

    Empty if it targets the ledger's pods, which do not exist yet.
    """
    planned = drill.faults[0]
    if planned.hits_ledger:
        return []
    found = []
    for machine in machines:
        with suppress(*_TOLD_BY_THE_RUN):
            found.append(fault_of(planned, machine, reach, Random(0)))
    return found


@dataclass(frozen=True)
class _MachineRun:
    """The drill on one machine; its results are added to ``facts``."""

    drill: Drill
    machine: str
    draw: Random
    context: DrillContext
    facts: RunFacts

    def run(self) -> None:
        """From steady state to steady state; without the first one, no fault is injected."""
        began = time.monotonic()
        drill, context = self.drill, self.context
        self._progress("waiting for the steady state")
        _, before = context.wait_steady(STEADY_WITHIN_S)
        self.facts["before"] = list(before)
        if before:
            return
        must_be_there(drill, self.machine, context.reach)
        faults = plan(drill, self.machine, context.reach, self.draw)
        for fault in faults[:1]:
            context.preflight(fault)
        self._progress("starting the ledger")
        rate = drill.writes_per_s
        with (
            context.ledger(drill.ledger, machine=self.machine, writes_per_s=rate) as books,
            context.offered_load(self.machine) as load,
            self._read_back(books),
        ):
            self._break(faults, books, load)
        self.facts["seconds"] = round(time.monotonic() - began, 1)

    def _break(self, faults: Sequence[Fault], books: Books, load: Load) -> None:
        drill, context, facts = self.drill, self.context, self.facts
        outage_s = drill.targets["outage_s"].number
        conditions = context.abort_conditions
        gap = partial(write_gap, books, outage_s)
        with (
            monitoring(context.reach, self.machine, conditions, gap) as monitor,
            context.on_lock_lost(monitor.give_up),
        ):
            injector = Injector(context, monitor, marking(books, load))
            faults = faults or plan(drill, self.machine, context.reach, self.draw, books.space)
            for planned, fault in zip(drill.faults, faults, strict=True):
                injector.inject(planned, fault, facts["faults"])
                if monitor.abort.is_set():
                    break
            healed = time.monotonic()
            self._progress("waiting for the steady state again")
            took_s, after = context.wait_steady(drill.targets["steady_again_s"].number)
            facts["steady_s"], facts["after"] = round(took_s, 2), list(after)
            if not after and not monitor.abort.is_set():
                load.mark(AGAIN)
                load.go_on(_AGAIN_S)
            # End the load now: Ceph's recovery is no part of what visitors see.
            facts["load"] = load.outcome()
            if context.reach.profile.disks is not None:
                # The monitor's last look may be from before the steady state was back.
                left_s = drill.targets["whole_again_s"].number - (time.monotonic() - healed)
                facts["whole_s"] = monitor.see_whole(healed, max(_LAST_LOOK_S, left_s))
            if not monitor.abort.is_set():
                writing_again(books, outage_s)

    @contextmanager
    def _read_back(self, books: Books) -> Iterator[None]:
        """Read back what was written, also after an error in the body."""
        try:
            yield
        except BaseException:
            with suppress(Exception):  # the error of the body is reported
                self._tally(books)
            raise
        self._tally(books)

    def _tally(self, books: Books) -> None:
        self._progress("reading back what was written")
        self.facts["ledger"] = dict(books.tally())

    def _progress(self, words: str) -> None:
        self.context.progress(f"{self.drill.name} on {self.machine}: {words}")
