"""One fault lived on the lab from its refusal to the proof that it is gone, and what it leaves."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from random import Random
from typing import TypeAlias

from harness.errors import TimedOut
from harness.faults import reachability
from harness.faults.fault import Fault
from harness.faults.fault_lifecycle import LEASE_S, FaultLifecycle, Stage
from harness.faults.leftovers import leftovers
from harness.lab.shape import Node
from harness.tests.lab.breaking import Do
from harness.tests.lab.world import World
from harness.transport import Reach
from harness.transport.reading import reading
from harness.waiting import until

Record: TypeAlias = Callable[[str, object], None]

SEED = 7
# Everything that a fault, its undo or what keeps that might leave on a machine; not what pods have,
# which are others after they were restarted. A fault has tables of its own: what kube-proxy, Docker
# and the pod network let pass is another when an endpoint comes or goes.
_TRACES = r"""
nft list tables | while read -r _ family table; do
    echo "$family $table"
    case "$table" in kube-proxy|nat|filter|mangle) ;; *) nft list table "$family" "$table" ;; esac
done
tc qdisc show | grep -v noqueue
systemctl list-units --all --plain --no-legend 'cutover*' 'run-r*'
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
    """What is on a machine that a fault could have left; packets that were counted do not count."""
    found = world.do(node, "sh", "-c", _TRACES, check=False)
    return re.sub(r"packets \d+ bytes \d+", "packets", found)


def as_before(world: World, node: Node, before: str, *, within_s: float = 0.0) -> None:
    """Nothing is left that was not there; what still is when the time has passed is shown."""
    with suppress(TimedOut):
        until(lambda: traces(world, node) == before, within_s=within_s, what="nothing is left")
    assert traces(world, node) == before


@contextmanager
def active(
    do: Do, fault: Fault, record: Record, *, lease_s: float = LEASE_S, renewed: bool = True
) -> Iterator[FaultLifecycle]:
    """The fault is seen while the body runs; afterwards it is seen gone, and nothing is left.

    What each stage took is recorded. Whatever fails, the fault is taken back. The address of the
    API may move once more when a machine is heard again: who then has no answer is asked later.
    """
    ready = do(lambda reach: resolved(reach, fault))
    assert do(lambda reach: refusal(reach, ready)) is None
    lifecycle = do(
        lambda reach: FaultLifecycle(ready, reach, lambda _event, _data: None, lease_s=lease_s)
    )
    record("target", ready.target)
    try:
        do(lambda _: lifecycle.arm())
        with kept(do, lifecycle) if renewed else nullcontext():
            record("inject_s", round(do(lambda _: lifecycle.inject()), 2))
            record("seen_s", round(do(lambda _: lifecycle.see()), 2))
            yield lifecycle
    finally:
        if lifecycle.stage is not Stage.NEW:
            record("heal_s", round(do(lambda _: lifecycle.heal()), 2))
            record("gone_s", round(do(lambda _: lifecycle.see_gone()), 2))
    until(lambda: nothing_left(do), within_s=60, what="every place can be asked what is left")


def nothing_left(do: Do) -> bool:
    """Whether every place was asked what is left; what is left anywhere is wrong at once."""
    left, lost = do(leftovers)
    assert not left, left
    return not lost


@contextmanager
def kept(do: Do, lifecycle: FaultLifecycle) -> Iterator[None]:
    """Its lease is renewed, by a thread that stands in the lab's network too."""
    with ExitStack() as stack:
        do(lambda _: stack.enter_context(lifecycle.renewed()))
        yield


def resolved(reach: Reach, fault: Fault) -> Fault:
    """The fault with every choice made, by ways that can only read."""
    return fault.resolved(reading(reach, (reachability.ASKING,)), Random(SEED))


def refusal(reach: Reach, fault: Fault) -> str | None:
    """Why it is refused, found by ways that can only read."""
    return resolved(reach, fault).refuse(reading(reach, (reachability.ASKING,)))
