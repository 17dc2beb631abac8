"""Faults in their whole lifecycle on the lab, from refusal to proof of undo, and their traces."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from functools import partial
from random import Random
from typing import TypeAlias

from harness.core.errors import TimedOut
from harness.core.waiting import until
from harness.faults import observers
from harness.faults.fault import Fault
from harness.faults.fault_lifecycle import LEASE_S, FaultLifecycle, FaultState
from harness.faults.preflight import leftovers
from harness.faults.undo_store import Left, NodeUndoStore
from harness.lab.shape import Node
from harness.tests.lab.breaking import Do
from harness.tests.lab.world import World
from harness.transport import Reach
from harness.transport.reading import reading

Record: TypeAlias = Callable[[str, object], None]

SEED = 7
# Everything that a fault, its undo or what keeps that might leave on a machine; not what pods have,
# which are others after they were restarted, nor the kubelet's scopes for mounts (run-r*.scope).
# A fault has tables of its own: what kube-proxy, Docker and the pod network let pass is another
# when an endpoint comes or goes.
_TRACES = r"""
nft list tables | while read -r _ family table; do
    echo "$family $table"
    case "$table" in kube-proxy|nat|filter|mangle) ;; *) nft list table "$family" "$table" ;; esac
done
tc qdisc show | grep -v noqueue
systemctl list-units --all --plain --no-legend 'cutover*' 'run-r*.service' 'run-r*.timer'
ls -A /var/lib/cutover-faults 2>&1; ls /etc/systemd/system/cutover-heal.service 2>&1
ls -d /cutover-* /var/lib/rancher/cutover-* /var/lib/kubelet/cutover-* /run/cutover-* 2>&1
ls -d /var/lib/rancher/rke2/agent/cutover-* 2>&1
find /run/systemd/ -name 'cutover*' -o -name '50-IO*' 2>/dev/null
find /sys/fs/cgroup -name 'cutover-f*' 2>/dev/null
pgrep -a stress-ng
"""


def new_id() -> str:
    return secrets.token_hex(4)


def traces(world: World, node: Node) -> str:
    """Traces that a fault could have left on a machine; packet counters are left out."""
    found = world.do(node, "sh", "-c", _TRACES, check=False)
    return re.sub(r"packets \d+ bytes \d+", "packets", found)


def as_before(world: World, node: Node, before: str, *, within_s: float = 15.0) -> None:
    """Assert that nothing new is left once systemd has tidied up; else show what is."""
    with suppress(TimedOut):
        until(lambda: traces(world, node) == before, within_s=within_s, what="nothing is left")
    assert traces(world, node) == before


@contextmanager
def active(
    do: Do, fault: Fault, record: Record, *, lease_s: float = LEASE_S, renewed: bool = True
) -> Iterator[FaultLifecycle]:
    """The fault is seen active while the body runs; afterwards it is seen gone, without traces."""
    with all_active(do, [fault], record, lease_s=lease_s, renewed=renewed) as (life,):
        yield life


@contextmanager
def all_active(
    do: Do,
    faults: Sequence[Fault],
    record: Record,
    *,
    lease_s: float = LEASE_S,
    renewed: bool = True,
) -> Iterator[Sequence[FaultLifecycle]]:
    """The same for faults with different targets: all of them are injected, then each is seen.

    The undos are also side by side: the waits overlap. The duration of each stage is recorded,
    without the wait for earlier faults. After any failure, every fault is undone.
    """
    ready = [do(partial(_resolved, fault=fault)) for fault in faults]
    for fault in ready:
        refused = do(partial(refusal, fault=fault))
        assert refused is None, refused
    lives = [do(partial(_begun, fault=fault, lease_s=lease_s)) for fault in ready]

    def timed(stage: str, life: FaultLifecycle, act: Callable[[], float]) -> None:
        if life.stage is not FaultState.NEW:
            record(f"{life.fault.name} {life.fault.target}: {stage}", round(do(lambda _: act()), 2))

    with ExitStack() as taking_back:
        for life in lives:
            taking_back.callback(timed, "gone_s", life, life.see_gone)
        for life in lives:
            taking_back.callback(timed, "heal_s", life, life.heal)
        for life in lives:
            _arm(do, life)
        with kept(do, lives) if renewed else nullcontext():
            for life in lives:
                timed("inject_s", life, life.inject)
            for life in lives:
                timed("seen_s", life, life.see)
            yield lives
    # The address of the API may move when a machine is reachable again: ask nothing later.
    until(lambda: nothing_left(do), within_s=60, what="every place can be asked what is left")


@contextmanager
def leaving_nothing(
    world: World, do: Do, faults: Sequence[Fault], record: Record
) -> Iterator[Sequence[FaultLifecycle]]:
    """``all_active`` for faults on one machine each, with an armed undo; nothing is left.

    The harness still reaches the machine, though a network fault drops its packets.
    """
    nodes = [world.lab.node(fault.machine) for fault in faults]
    before = [traces(world, node) for node in nodes]
    with all_active(do, faults, record) as lives:
        for fault, node, as_it_was in zip(faults, nodes, before, strict=True):
            left = do(partial(_left, name=node.name))
            assert list(left.armed) == [fault.id]
            assert not left.leftovers
            assert traces(world, node) != as_it_was
        yield lives
    for node, as_it_was in zip(nodes, before, strict=True):
        as_before(world, node, as_it_was)


def _left(reach: Reach, name: str) -> Left:
    return NodeUndoStore(reach, name).left()


def _begun(reach: Reach, *, fault: Fault, lease_s: float) -> FaultLifecycle:
    return FaultLifecycle(fault, reach, lambda _event: None, lease_s=lease_s)


def _arm(do: Do, life: FaultLifecycle) -> None:
    do(lambda _: life.arm())


def nothing_left(do: Do) -> bool:
    """Assert that every place was asked for leftovers, and that none has any."""
    left, lost = do(leftovers)
    assert not left, left
    return not lost


@contextmanager
def kept(do: Do, lives: Sequence[FaultLifecycle]) -> Iterator[None]:
    """Their leases are renewed by threads inside the lab's network."""
    with ExitStack() as stack:
        do(lambda _: [stack.enter_context(life.renewed()) for life in lives])
        yield


def _resolved(reach: Reach, fault: Fault) -> Fault:
    """The fault with every choice made, through read-only connections."""
    return fault.resolved(reading(reach, (observers.ASKING,)), Random(SEED))


def refusal(reach: Reach, fault: Fault) -> str | None:
    """The reason for its refusal, found through read-only connections."""
    return _resolved(reach, fault).refuse(reading(reach, (observers.ASKING,)))
