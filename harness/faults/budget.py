"""Decides what a fault may break: the quorum arithmetic, before every fault. Pure functions.

Three members survive the loss of one; members that are already broken count as lost. Ceph's data is
counted in copies: with every placement group active and clean, each has its pool's ``size`` copies.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from harness.faults.model import BlastRadius


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """A Ceph pool: the copies that it keeps, and the copies that it needs to serve I/O."""

    name: str
    size: int
    min_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterState:
    """Current cluster health before a fault, by names of machines.

    Without Ceph, ``monitors``, ``osds`` and ``pools`` are empty. A monitor on an unknown machine
    appears under its own name.
    ``osds_silent`` are OSDs that Ceph reports as up and that do not answer. They count as holding
    no copy, and are not in ``osds_up``. ``unclean`` counts placement groups that are not active and
    clean.
    """

    machines: tuple[str, ...]
    ready: frozenset[str]
    etcd: tuple[str, ...]
    etcd_well: frozenset[str]
    monitors: tuple[str, ...] = ()
    in_quorum: frozenset[str] = field(default_factory=frozenset)
    osds: tuple[str, ...] = ()  # the machine of each OSD
    osds_up: tuple[str, ...] = ()
    osds_silent: tuple[str, ...] = ()  # in words: the OSD, its machine, the error
    pools: tuple[Pool, ...] = ()
    unclean: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """One line of the arithmetic: of ``have``, the fault takes ``lose``; ``need`` must be left."""

    what: str
    have: int
    lose: int
    need: int

    @property
    def holds(self) -> bool:
        return self.have - self.lose >= self.need

    def __str__(self) -> str:
        left = self.have - self.lose
        word = "enough" if self.holds else "TOO FEW"
        return f"{self.what}: {self.have} − {self.lose} = {left}, {self.need} needed: {word}"


def majority(members: int) -> int:
    """The majority of so many members."""
    return members // 2 + 1


def margins(
    state: ClusterState, machine: str, blast_radius: frozenset[BlastRadius]
) -> Iterator[Margin]:
    """The arithmetic for a fault with this blast radius on one machine."""
    others_ready = len(state.machines) - 1
    yield Margin(
        what="machines that are ready",
        have=len(state.ready),
        # Any fault on a machine counts it as lost. Only one machine may be lost at a time: the
        # cluster tolerates no second one.
        lose=int(bool(blast_radius) and machine in state.ready),
        need=others_ready if blast_radius else len(state.machines),
    )
    yield Margin(
        what="etcd members that are well",
        have=len(state.etcd_well),
        lose=int(BlastRadius.ETCD in blast_radius and machine in state.etcd_well),
        need=majority(len(state.etcd)),
    )
    if state.monitors:
        yield Margin(
            what="monitors in quorum",
            have=len(state.in_quorum),
            lose=int(BlastRadius.MONITOR in blast_radius and _may_decide(state, machine)),
            need=majority(len(state.monitors)),
        )
    yield from _copies(state, machine, blast_radius)


def _may_decide(state: ClusterState, machine: str) -> bool:
    """True if the machine may have a monitor that is in quorum.

    A monitor on an unknown machine may be on any machine that has no known monitor.
    """
    unplaced = state.in_quorum - set(state.machines)
    return machine in state.in_quorum or bool(unplaced and machine not in state.monitors)


def refusal(state: ClusterState, machine: str, blast_radius: frozenset[BlastRadius]) -> str | None:
    """Why such a fault may not be injected now; None if it may."""
    reasons = [str(margin) for margin in margins(state, machine, blast_radius) if not margin.holds]
    if state.unclean:
        reasons.append(f"{state.unclean} placement groups are not active and clean")
    reasons += [f"{osd}: it holds no copy" for osd in state.osds_silent]
    down = len(state.osds) - len(state.osds_up) - len(state.osds_silent)
    if down:
        reasons.append(f"{down} OSDs are down")
    return "; ".join(reasons) or None


def _copies(
    state: ClusterState, machine: str, blast_radius: frozenset[BlastRadius]
) -> Iterator[Margin]:
    """Copies that each pool has left: each machine has one, so a machine's loss takes one."""
    lost = int(BlastRadius.OSD in blast_radius and machine in state.osds_up)
    sizes: Sequence[tuple[int, int]] = sorted({(it.size, it.min_size) for it in state.pools})
    for size, min_size in sizes:
        alike = [it.name for it in state.pools if (it.size, it.min_size) == (size, min_size)]
        yield Margin(
            what=f"copies in {', '.join(alike)}",
            have=min(size, len(set(state.osds_up))),
            lose=lost,
            # The pool serves I/O from min_size copies on; one copy is never enough.
            need=max(min_size, 2),
        )
