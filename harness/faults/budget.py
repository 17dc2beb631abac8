"""What may be broken at all: the arithmetic of quorums, before every fault. Pure functions.

Three of anything survive the loss of one; what is broken already has been lost before. The data of
Ceph counts copies: with every placement group active and clean, each has as many as its pool keeps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from harness.faults.model import Takes


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """A pool of Ceph: copies that it keeps, and copies without which it serves nobody."""

    name: str
    size: int
    min_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What stands of a cluster before a fault; machines are named.

    ``monitors`` and ``osds`` of a cluster without Ceph are empty, and so are ``pools``. A monitor
    whose machine is not known has its own name.
    ``osds_silent`` are OSDs that Ceph calls up and that do not answer: they hold no copy, and are
    not among ``osds_up``. ``unclean`` counts placement groups that are not active and clean.
    """

    machines: tuple[str, ...]
    ready: frozenset[str]
    etcd: tuple[str, ...]
    etcd_well: frozenset[str]
    monitors: tuple[str, ...] = ()
    in_quorum: frozenset[str] = field(default_factory=frozenset)
    osds: tuple[str, ...] = ()  # by the machine that each is on
    osds_up: tuple[str, ...] = ()
    osds_silent: tuple[str, ...] = ()  # in words: the OSD, its machine, what was said
    pools: tuple[Pool, ...] = ()
    unclean: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """One line of the arithmetic: there are ``have``, ``lose`` go, and ``need`` must be left."""

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
    """How many of so many members decide."""
    return members // 2 + 1


def margins(standing: Standing, machine: str, takes: frozenset[Takes]) -> Iterator[Margin]:
    """The arithmetic for a fault that takes these things from one machine."""
    others_ready = len(standing.machines) - 1
    yield Margin(
        what="machines that are ready",
        have=len(standing.ready),
        # Whatever is taken from a machine, it is the one that may be broken: whoever breaks a
        # second one breaks the cluster's own promise.
        lose=int(bool(takes) and machine in standing.ready),
        need=others_ready if takes else len(standing.machines),
    )
    yield Margin(
        what="etcd members that are well",
        have=len(standing.etcd_well),
        lose=int(Takes.ETCD in takes and machine in standing.etcd_well),
        need=majority(len(standing.etcd)),
    )
    if standing.monitors:
        yield Margin(
            what="monitors in quorum",
            have=len(standing.in_quorum),
            lose=int(Takes.MONITOR in takes and _may_decide(standing, machine)),
            need=majority(len(standing.monitors)),
        )
    yield from _copies(standing, machine, takes)


def _may_decide(standing: Standing, machine: str) -> bool:
    """Is a monitor in quorum on it? One whose machine is not known may be on any without one."""
    unplaced = standing.in_quorum - set(standing.machines)
    return machine in standing.in_quorum or bool(unplaced and machine not in standing.monitors)


def refusal(standing: Standing, machine: str, takes: frozenset[Takes]) -> str | None:
    """Why such a fault may not be injected now; None when it may."""
    reasons = [str(margin) for margin in margins(standing, machine, takes) if not margin.holds]
    if standing.unclean:
        reasons.append(f"{standing.unclean} placement groups are not active and clean")
    reasons += [f"{osd}: it holds no copy" for osd in standing.osds_silent]
    down = len(standing.osds) - len(standing.osds_up) - len(standing.osds_silent)
    if down:
        reasons.append(f"{down} OSDs are down")
    return "; ".join(reasons) or None


def _copies(standing: Standing, machine: str, takes: frozenset[Takes]) -> Iterator[Margin]:
    """Copies that each kind of pool has left: one a machine, so a machine's loss takes one."""
    lost = int(Takes.OSD in takes and machine in standing.osds_up)
    sizes: Sequence[tuple[int, int]] = sorted({(it.size, it.min_size) for it in standing.pools})
    for size, min_size in sizes:
        alike = [it.name for it in standing.pools if (it.size, it.min_size) == (size, min_size)]
        yield Margin(
            what=f"copies in {', '.join(alike)}",
            have=min(size, len(set(standing.osds_up))),
            lose=lost,
            # min_size to be served at all, and never at one copy.
            need=max(min_size, 2),
        )
