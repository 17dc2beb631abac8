"""Background monitor that aborts a fault when its abort conditions are met. Read only.

Its samples also tell when Kubernetes and Ceph noticed the fault, and when every copy was back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, TypeAlias

from harness.core.errors import Garbled, HarnessError, TimedOut, in_words
from harness.core.parallel import running
from harness.core.waiting import until
from harness.faults import ceph, observers
from harness.faults.budget import majority
from harness.faults.ceph import Status
from harness.faults.model import EVERYTHING, NOTHING, BlastRadius
from harness.settings.drills import AbortConditions
from harness.transport import Reach

_EVERY_S, _ENDS_WITHIN_S = 1.0, 30.0
# Twice in a row: a single look may meet a leader election.
_TWICE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """Ceph at one moment: OSDs that are up, monitors in quorum, and placement groups."""

    osds_up: int
    osds: int
    monitors_in: int
    monitors: int
    groups: int
    clean: int
    active: int

    @property
    def is_whole(self) -> bool:
        return (
            self.osds_up == self.osds
            and self.monitors_in == self.monitors
            and self.clean == self.groups
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The cluster at one moment (monotonic seconds), from the API or Ceph; empty when silent."""

    at: float
    of: Literal["the API", "Ceph"]
    ready: Mapping[str, bool] | None = None
    storage: Storage | None = None

    @property
    def is_silent(self) -> bool:
        return self.ready is None and self.storage is None


Look: TypeAlias = Callable[[Reach, str], Sample]


@dataclass
class SafetyMonitor:
    """The samples so far, and why the fault is aborted, if it is.

    ``blast_radius`` is what may be missing of ``machine``: nothing before a fault is injected.
    ``write_gap`` returns why the ledger has been silent for too long, or None. ``by_harness`` is
    true if the harness, not the cluster, caused the abort.
    """

    machine: str
    limits: AbortConditions
    write_gap: Callable[[], str | None] = lambda: None
    blast_radius: frozenset[BlastRadius] = NOTHING
    samples: list[Sample] = field(default_factory=list)
    abort: threading.Event = field(default_factory=threading.Event)
    why: str = ""
    by_harness: bool = False
    aborted_at: float = 0.0  # when (monotonic seconds)

    def take(self, sample: Sample) -> None:
        """Add a sample, and abort when it meets an abort condition."""
        self.samples.append(sample)
        reason = (
            too_much(self.samples, self.machine, self.limits, self.blast_radius) or self.write_gap()
        )
        if reason is not None:
            self._raise(reason, by_harness=False)

    def give_up(self, reason: str) -> None:
        """Abort because the harness cannot go on; the first reason stays."""
        self._raise(reason, by_harness=True)

    def see_whole(self, since: float, within_s: float) -> float | None:
        """Wait until Ceph has every copy again: seconds after ``since``; None if it has not."""
        with suppress(TimedOut):
            until(
                lambda: whole_again(self.samples, since) is not None,
                within_s=within_s,
                what="every copy in Ceph",
            )
        return whole_again(self.samples, since)

    def _raise(self, reason: str, *, by_harness: bool) -> None:
        if not self.abort.is_set():
            self.why, self.by_harness, self.aborted_at = reason, by_harness, time.monotonic()
            self.abort.set()


@contextmanager
def monitoring(
    reach: Reach,
    machine: str,
    limits: AbortConditions,
    write_gap: Callable[[], str | None] = lambda: None,
) -> Iterator[SafetyMonitor]:
    """Sample once a second, in two threads: a silent API must not hide what Ceph says."""
    monitor = SafetyMonitor(machine, limits, write_gap)
    stop = threading.Event()

    def look(of: str, what: Look) -> None:
        while not stop.is_set():
            began = time.monotonic()
            try:
                monitor.take(what(reach, machine))
            except Exception as error:  # a dead monitor must not look like a healthy cluster
                monitor.give_up(f"the safety monitor broke as it asked {of}: {in_words(error)}")
                return
            stop.wait(max(0.0, began + _EVERY_S - time.monotonic()))

    looks: dict[str, Look] = {"the API": _nodes}
    if reach.profile.disks is not None:
        looks["Ceph"] = _storage
    calls = {f"safety monitor: {of}": partial(look, of, it) for of, it in looks.items()}
    with running(calls, stop, within_s=_ENDS_WITHIN_S):
        yield monitor


def _nodes(reach: Reach, machine: str) -> Sample:  # noqa: ARG001 (asked of the API)
    try:
        ready = observers.ready_nodes(reach, within_s=5.0)
    except Garbled:
        raise
    except HarnessError:
        return Sample(at=time.monotonic(), of="the API")
    return Sample(at=time.monotonic(), of="the API", ready=ready)


def _storage(reach: Reach, machine: str) -> Sample:
    try:
        status = ceph.ask(reach, machine, "status", read=Status)
    except Garbled:
        raise
    except HarnessError:
        return Sample(at=time.monotonic(), of="Ceph")
    states = {it.state_name: it.count for it in status.pgmap.pgs_by_state}
    return Sample(
        at=time.monotonic(),
        of="Ceph",
        storage=Storage(
            osds_up=status.osdmap.num_up_osds,
            osds=status.osdmap.num_osds,
            monitors_in=len(status.quorum_names),
            monitors=status.monmap.num_mons,
            groups=status.pgmap.num_pgs,
            clean=sum(n for state, n in states.items() if state.startswith("active+clean")),
            active=sum(n for state, n in states.items() if "active" in state.split("+")),
        ),
    )


def too_much(
    samples: Sequence[Sample],
    machine: str,
    limits: AbortConditions,
    blast_radius: frozenset[BlastRadius] = EVERYTHING,
) -> str | None:
    """The abort condition that the samples meet, in words; None if they meet none."""
    nodes = [it for it in samples if it.ready is not None]
    others = [_unready(it, machine) for it in nodes[-_TWICE:]]
    if len(others) == _TWICE and all(others):
        return f"another machine is not ready: {', '.join(sorted(others[-1]))}"
    storages = [(it.at, it.storage) for it in samples if it.storage is not None]
    down = [_osds_down(storage, blast_radius) for _, storage in storages[-_TWICE:]]
    if len(down) == _TWICE and all(down):
        return f"more OSDs are down than this fault explains: {down[-1]} more"
    if storages:
        apart = [(at, it.monitors_in < majority(it.monitors)) for at, it in storages]
        undecided = _since(storages[-1][0], apart)
        if undecided > limits.electing_s:
            return f"the monitors have had no majority for {undecided:.0f} s"
        fewer = [(at, _monitors_out(it, blast_radius) > 0) for at, it in storages]
        missing_s = _since(storages[-1][0], fewer)
        if missing_s > limits.electing_s:
            return (
                "more monitors are out of the quorum than this fault explains: "
                f"{_monitors_out(storages[-1][1], blast_radius)} more, for {missing_s:.0f} s"
            )
        still = _since(storages[-1][0], [(at, it.active < it.groups) for at, it in storages])
        if still > limits.inactive_s:
            return f"placement groups have been inactive for {still:.0f} s"
    for who in ("the API", "Ceph"):
        told = [(it.at, it.is_silent) for it in samples if it.of == who]
        silent = _since(samples[-1].at, told)
        if silent > limits.silent_s:
            return f"{who} has not answered for {silent:.0f} s"
    return None


def _unready(sample: Sample, machine: str) -> set[str]:
    ready = sample.ready or {}
    return {name for name, well in ready.items() if not well and name != machine}


def _osds_down(storage: Storage, blast_radius: frozenset[BlastRadius]) -> int:
    """The number of OSDs that are down beyond the fault's own: a machine has one OSD."""
    return max(0, storage.osds - storage.osds_up - int(BlastRadius.OSD in blast_radius))


def _monitors_out(storage: Storage, blast_radius: frozenset[BlastRadius]) -> int:
    """The number of monitors out of the quorum beyond the fault's own.

    During an election all of them are out, so only a lasting loss is too much.
    """
    return max(0, storage.monitors - storage.monitors_in - int(BlastRadius.MONITOR in blast_radius))


def _since(now: float, states: Sequence[tuple[float, bool]]) -> float:
    """For how long the last states in a row have been true."""
    began = now
    for at, state in reversed(states):
        if not state:
            break
        began = at
    return now - began


def noticed(
    samples: Sequence[Sample], machine: str, since: float, until_s: float
) -> Mapping[str, float]:
    """Seconds after ``since`` until Kubernetes, and until Ceph, showed that something is wrong.

    Samples after ``until_s`` are not due to the fault.
    """
    found: dict[str, float] = {}
    for sample in samples:
        if not since <= sample.at <= until_s:
            continue
        if sample.ready is not None and not sample.ready.get(machine, False):
            found.setdefault("kubernetes", round(sample.at - since, 2))
        if sample.storage is not None and (
            sample.storage.osds_up < sample.storage.osds
            or sample.storage.monitors_in < sample.storage.monitors
        ):
            found.setdefault("ceph", round(sample.at - since, 2))
    return found


def whole_again(samples: Sequence[Sample], since: float) -> float | None:
    """Seconds after ``since`` until Ceph had every copy again and kept them; None if it did not."""
    back: float | None = None
    for sample in samples:
        if sample.at < since or sample.storage is None:
            continue
        if not sample.storage.is_whole:
            back = None
        elif back is None:
            back = round(sample.at - since, 2)
    return back
