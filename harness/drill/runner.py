"""Carrying a drill out: steady state → ledger and load → fault → heal → steady state again.

Nothing is judged here. What came of it is one value, which checks judge:

``drill``, ``title``, ``targets``   what was planned (target → [sign, number])
``load``    the load's name; None when the drill has none
``during``  the checks that must hold on the other machines while a fault is there
``ended``, ``unhealed``   only if it was stopped by hand, or a fault could not be taken back
``runs``    one a machine, in order; the last one may have ended early:
  ``machine``, ``seconds``, ``error``   the last: why it could not be carried on
  ``before``    what kept the cluster from its steady state; then nothing was broken
  ``faults``    each {"fault", "target", "inject_s", "seen_s", "held_s": from the injection until
                it was taken back, "noticed": {who: s}, "heal_s", "gone_s",
                "unseen": why nobody saw it, "aborted": why it was taken back early,
                "ours": was that for a reason of ours, and not of the cluster's,
                "abort_s", "abort_gone_s": from the alarm until it was taken back, and seen gone,
                "meanwhile": after how long the other machines were well for good, and what was
                wrong there at the end (``steady.meanwhile``), if that is looked at}
  ``steady_s``, ``after``   how long until the steady state, and what is still in its way
  ``whole_s``   until Ceph had every copy again; None when it was not seen; not there without Ceph
  ``ledger``    what became of the writes, as checks of the ledger judge it
  ``load``    what became of the requests (``loads``); None when none were made
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any, Protocol, TypeAlias

from pydantic import ValidationError

from harness.drill.ending import how_it_ended, in_words, read_back
from harness.drill.ledger_health import Books, silence, writing_again
from harness.drill.loads import AGAIN, HEALED_MARK, Load, Mark, marking, without_load
from harness.drill.safety_monitor import Watch, noticed, watching
from harness.errors import (
    ConfigError,
    NotProven,
    Refused,
    TimedOut,
    TransportError,
)
from harness.faults.fault import Fault
from harness.faults.fault_lifecycle import FaultLifecycle, UndoStoreAt
from harness.faults.kinds import FAULTS
from harness.faults.undo_store import undo_store_at
from harness.ledger.tally import FAULT
from harness.model import JSON
from harness.settings.drills import Drill, Limits, Planned
from harness.transport import Reach
from harness.waiting import answer_of, uninterrupted

# Written to the run's journal: (kind, subject, data).
Write: TypeAlias = Callable[[str, str, Any], object]
# Tells whoever breaks something, while the body runs, why he may not any more.
Warned: TypeAlias = Callable[[Callable[[str], object]], AbstractContextManager[None]]
# Waits so long for the steady state: the seconds that took, and what is still in its way.
Calm: TypeAlias = Callable[[float], tuple[float, Sequence[str]]]
# What is wrong on all machines but one, once it is well or so many seconds are over.
Meanwhile: TypeAlias = Callable[[str, float], Mapping[str, Any]]

_CALM_WITHIN_S = 120.0
# A fault that cannot be planned is told by the run on its machine.
_TOLD_BY_THE_RUN = (TransportError, NotProven, ArithmeticError, LookupError, TypeError, ValueError)
# In the steady state again, the load goes on for so long: what it shows then is how fast that is.
_AGAIN_S = 10.0
# Ceph may be asked for so long by a look that has begun.
_LAST_LOOK_S = 30.0
# What a plan calls the ledger's namespace, which is made when the ledger is kept.
LEDGER_SPACE = "‹the ledger's›"


class Keeping(Protocol):
    """Keeps a ledger with these writers while ``machine`` is hit in the body."""

    def __call__(
        self, names: Sequence[str], *, machine: str, writes_per_s: float
    ) -> AbstractContextManager[Books]: ...


# Offers the load, if there is one, while a machine is hit in the body.
Loading: TypeAlias = Callable[[str], AbstractContextManager[Load]]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """All that a drill is carried out with.

    ``survivable`` refuses faults that are more than the quorums can lose, before anything else;
    ``calm`` waits for the steady state, ``afford`` refuses a fault that is too much, ``warning``
    raises the alarm when we may not break anything any more, ``tell`` says progress to whoever
    watches, ``meanwhile`` looks at the other machines while a fault holds.
    """

    reach: Reach
    survivable: Callable[[Sequence[Fault]], None]
    calm: Calm
    afford: Callable[[Fault], None]
    warning: Warned
    limits: Limits
    write: Write
    keeping: Keeping
    tell: Callable[[str], None]
    seed: int
    loading: Loading = without_load
    undo_store_at: UndoStoreAt = undo_store_at
    meanwhile: Meanwhile | None = None


def carry_out(drill: Drill, stage: Stage, machines: Sequence[str] = ()) -> JSON:
    """Run the drill on each of its machines, or on these; Refused before anything was touched."""
    draw = Random(f"{stage.seed}/{drill.name}")
    during = drill.looks_on(stage.reach.profile.cluster().parts)
    runs: list[dict[str, Any]] = []
    early: dict[str, Any] = {}
    hit = machines or machines_of(drill, stage.reach, draw)
    stage.survivable(_first_faults(drill, hit, stage.reach))
    for machine in hit:
        run: dict[str, Any] = {"machine": machine, "before": [], "faults": []}
        try:
            _run(drill, machine, draw, stage, run)
        except Refused as no:
            if not (runs or run["faults"]):  # before anything was touched
                raise
            run["error"] = str(no)
        except (Exception, KeyboardInterrupt) as error:
            run["error"] = in_words(error)
            early |= how_it_ended(error)
        runs.append(run)
        if run["before"] or "error" in run:
            break
    return early | {
        "drill": drill.name,
        "title": drill.title,
        "load": drill.load,
        "targets": {key: [it.sign, it.number] for key, it in drill.targets.items()},
        "during": list(during.during) if during else [],
        "runs": runs,
    }


def _first_faults(drill: Drill, machines: Sequence[str], reach: Reach) -> Sequence[Fault]:
    """What would be broken first on each machine; nothing while the ledger's pods are hit, which
    are not there yet."""
    planned = drill.faults[0]
    if planned.hits_ledger:
        return []
    found = []
    for machine in machines:
        with suppress(*_TOLD_BY_THE_RUN):
            found.append(fault_of(planned, machine, reach, Random(0)))
    return found


def machines_of(drill: Drill, reach: Reach, draw: Random) -> Sequence[str]:
    """The machines that a drill runs on; ConfigError when there is none of the kind."""
    cluster = reach.profile.cluster()
    if drill.where == "swarm-manager":
        return [_swarm_manager(reach)]
    servers = drill.where in ("each-server", "a-server")
    names = [it.name for it in (cluster.servers if servers else cluster.machines)]
    if not names:
        raise ConfigError(f"{drill.name} needs a server, and {cluster.name} has none")
    if drill.where.startswith("each-"):
        return names
    drawn = draw.sample(names, len(names))
    return [next((it for it in drawn if _can_be_hit(drill, it, reach)), drawn[0])]


def _can_be_hit(drill: Drill, machine: str, reach: Reach) -> bool:
    """Does a machine have what the drill breaks? Not each runs a name server."""
    return not any(fault.refuse(reach) for fault in plan(drill, machine, reach, Random(0)))


def _swarm_manager(reach: Reach) -> str:
    if reach.profile.swarm_manager is None:
        raise ConfigError(
            f"the profile {reach.profile.name} does not say which machine manages the Swarm",
            remedy="set `swarm_manager:` in it",
        )
    return reach.profile.swarm_manager


def plan(
    drill: Drill, machine: str, reach: Reach, draw: Random, space: str | None = None
) -> Sequence[Fault]:
    """The faults of a drill on one machine, every choice made; ConfigError for unknown ones.

    No fault at all while one of them hits the ledger's own pods, and their namespace (``space``) is
    not known: it is there only while the ledger is kept.
    """
    if space is None and any(it.hits_ledger for it in drill.faults):
        return []
    return [fault_of(planned, machine, reach, draw, space) for planned in drill.faults]


def fault_of(
    planned: Planned, machine: str, reach: Reach, draw: Random, space: str | None = None
) -> Fault:
    """A planned fault on a machine, every choice made; ConfigError when there is no such fault."""
    return _of(planned, machine, draw, space).resolved(reach, draw)


def sketch(drill: Drill, machine: str, reach: Reach, draw: Random) -> Sequence[Fault]:
    """The faults of a drill of which some hit the ledger's own pods, before there are any: of those
    no choice is made yet."""
    return [
        _of(it, machine, draw, LEDGER_SPACE).sketched()
        if it.hits_ledger
        else fault_of(it, machine, reach, draw)
        for it in drill.faults
    ]


def _of(planned: Planned, machine: str, draw: Random, space: str | None) -> Fault:
    if planned.fault not in FAULTS:
        raise ConfigError(
            f"there is no fault {planned.fault}", remedy=f"there are: {', '.join(sorted(FAULTS))}"
        )
    name = f"{draw.getrandbits(32):08x}"
    kind = FAULTS[planned.fault]
    parameters = dict(planned.parameters)
    if planned.hits_ledger:
        parameters["namespace"] = space
    try:
        return kind(id=name, machine=machine, **parameters)
    except ValidationError as error:
        raise ConfigError(f"the fault {planned.fault} cannot be so: {error}") from error


def _run(drill: Drill, machine: str, draw: Random, stage: Stage, run: dict[str, Any]) -> None:
    """The drill on one machine, into ``run``; without the steady state, nothing is broken."""
    began = time.monotonic()
    stage.tell(f"{drill.name} on {machine}: waiting for the steady state")
    _, before = stage.calm(_CALM_WITHIN_S)
    run["before"] = list(before)
    if before:
        return
    faults = plan(drill, machine, stage.reach, draw)
    for fault in faults[:1]:
        stage.afford(fault)
    stage.tell(f"{drill.name} on {machine}: starting the ledger")
    rate = drill.writes_per_s
    tell = partial(_tell_of, stage, f"{drill.name} on {machine}")
    with (
        stage.keeping(drill.ledger, machine=machine, writes_per_s=rate) as books,
        stage.loading(machine) as load,
        read_back(books, run, tell),
    ):
        mark = marking(books, load)
        muted = partial(silence, books, drill.targets["outage_s"].number)
        with (
            watching(stage.reach, machine, stage.limits, muted) as watch,
            stage.warning(watch.give_up),
        ):
            faults = faults or plan(drill, machine, stage.reach, draw, books.space)
            for planned, fault in zip(drill.faults, faults, strict=True):
                break_once(planned, fault, watch, mark, stage, run["faults"])
                if watch.alarm.is_set():
                    break
            healed = time.monotonic()
            within_s = drill.targets["steady_again_s"].number
            stage.tell(f"{drill.name} on {machine}: waiting for the steady state again")
            took_s, after = stage.calm(within_s)
            run |= {"steady_s": round(took_s, 2), "after": list(after)}
            if not after and not watch.alarm.is_set():
                load.mark(AGAIN)
                load.go_on(_AGAIN_S)
            # Now: what Ceph still has to do is no part of how visitors fare.
            run["load"] = load.outcome()
            if stage.reach.profile.disks is not None:
                # Its own watcher may have looked last before the steady state was back.
                left_s = drill.targets["whole_again_s"].number - (time.monotonic() - healed)
                run["whole_s"] = watch.see_whole(healed, max(_LAST_LOOK_S, left_s))
            if not watch.alarm.is_set():
                writing_again(books, drill.targets["outage_s"].number)
    run["seconds"] = round(time.monotonic() - began, 1)


def _tell_of(stage: Stage, what: str, words: str) -> None:
    stage.tell(f"{what}: {words}")


def break_once(
    planned: Planned,
    fault: Fault,
    watch: Watch,
    mark: Mark,
    stage: Stage,
    told: list[dict[str, Any]],
) -> None:
    """One fault, from its arming to the proof that it is gone; what came of it into ``told``.

    NotProven when too much is broken before it is injected.
    """
    _hold(planned.after_s, watch)
    _must_be_calm(watch, fault)
    stage.afford(fault)
    lifecycle = FaultLifecycle(
        fault, stage.reach, partial(_told, stage, fault), undo_store_at=stage.undo_store_at
    )
    seen: dict[str, Any] = {"fault": fault.name, "target": fault.target, "aborted": None}
    seen["at_once"] = fault.at_once
    told.append(seen)
    with _mended(lifecycle, seen, watch, mark, stage):
        lifecycle.arm()
        with lifecycle.renewed():
            _must_be_calm(watch, fault)
            stage.tell(f"breaking: {fault.name} of {fault.target}")
            mark(FAULT)
            watch.blast_radius |= fault.blast_radius
            injected = time.monotonic()
            seen["inject_s"] = round(lifecycle.inject(unless=watch.alarm.is_set), 3)
            asked: dict[str, float] = {}
            try:
                seen["seen_s"] = round(lifecycle.see(unless=watch.alarm.is_set), 3)
                if fault.asks_itself:
                    asked["health"] = round(time.monotonic() - injected, 2)
            except TimedOut as late:
                seen["unseen"] = str(late).partition("\n")[0]
            stage.tell(f"holding {fault.name} of {fault.target} for {planned.hold_s:g} s")
            _hold(planned.hold_s, watch, partial(_look_beside, stage, fault, planned, seen))
        ended = time.monotonic()
    # A machine that boots is missed until it is there again.
    ended = ended if fault.at_once else time.monotonic()
    seen["held_s"] = round(ended - injected, 2)
    seen["noticed"] = {**noticed(watch.samples, fault.machine, injected, ended), **asked}
    if lifecycle.expired:
        seen["unseen"] = "its lease ended before it was taken back: it was not there all the time"


def _told(stage: Stage, fault: Fault, event: str, data: Mapping[str, Any]) -> None:
    """Journal an event; with the parameters, so that `heal` can ask whether it is gone."""
    more = {"parameters": fault.model_dump(mode="json")} if event == "armed" else {}
    stage.write("fault", fault.id, {"event": event, **data, **more})


@contextmanager
def _mended(
    lifecycle: FaultLifecycle, seen: dict[str, Any], watch: Watch, mark: Mark, stage: Stage
) -> Iterator[None]:
    """Whatever happens in the body, the fault is taken back afterwards, and seen to be gone."""
    try:
        yield
    finally:
        if lifecycle.undo is not None:
            with uninterrupted():
                _take_back(lifecycle, seen, watch, mark, stage)


def _take_back(
    lifecycle: FaultLifecycle, seen: dict[str, Any], watch: Watch, mark: Mark, stage: Stage
) -> None:
    if watch.alarm.is_set():
        stage.tell(f"too much is broken: {watch.why}")
        stage.write("alarm", lifecycle.fault.id, {"why": watch.why})
    stage.tell(f"taking back: {lifecycle.fault.name} of {lifecycle.fault.target}")
    seen["heal_s"] = round(lifecycle.heal(), 3)
    aborted = watch.alarm.is_set() and lifecycle.injected
    if aborted:
        seen |= {"aborted": watch.why, "ours": watch.ours}
        seen["abort_s"] = round(time.monotonic() - watch.alarmed, 3)
    mark(HEALED_MARK)
    gone_s = lifecycle.see_gone()
    seen["gone_s"] = round(gone_s, 3)
    if aborted:
        seen["abort_gone_s"] = round(seen["abort_s"] + gone_s, 3)


def _must_be_calm(watch: Watch, fault: Fault) -> None:
    if watch.alarm.is_set():
        raise NotProven(
            f"{fault.name} of {fault.target} was not injected: too much is broken: {watch.why}"
        )


def _look_beside(stage: Stage, fault: Fault, planned: Planned, seen: dict[str, Any]) -> None:
    """What the other machines are like while the fault holds; it takes as long as it takes."""
    if stage.meanwhile is not None:
        seen["meanwhile"] = dict(stage.meanwhile(fault.machine, planned.hold_s))


def _hold(seconds: float, watch: Watch, beside: Callable[[], object] | None = None) -> None:
    """Wait so long, and until what is done beside it is over; or until too much is broken."""
    ends = time.monotonic() + seconds
    if beside is not None:
        with suppress(TimedOut):  # the alarm ended it
            answer_of(beside, watch.alarm.is_set, what="the look at the other machines")
    watch.alarm.wait(max(0.0, ends - time.monotonic()))
