"""One fault lived on the lab from its refusal to the proof that it is gone, and what it leaves."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random

from harness.faults import line
from harness.faults.fault import Fault
from harness.faults.life import Life
from harness.lab.shape import Node
from harness.tests.lab.breaking import Do
from harness.tests.lab.world import World
from harness.transport import Reach
from harness.transport.reading import reading

# Everything that a fault, its undo or what keeps that might leave on a machine; not what pods have,
# which are others after they were restarted.
_TRACES = r"""
nft list ruleset; tc qdisc show | grep -v noqueue
systemctl list-units --all --plain --no-legend 'cutover*' 'run-r*'
ls -A /var/lib/cutover-faults 2>&1; ls /etc/systemd/system/cutover-heal.service 2>&1
ls -d /cutover-* /var/lib/rancher/cutover-* /var/lib/kubelet/cutover-* 2>&1
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


@dataclass
class Lived:
    """A fault that is active: the ways by which that was seen, and seconds that each stage took."""

    life: Life
    reach: Reach
    took_s: dict[str, float] = field(default_factory=dict)


def resolved(reach: Reach, fault: Fault) -> Fault:
    """The fault with every choice made, by ways that can only read."""
    return fault.resolved(reading(reach, (line.ASKING,)), Random(7))


def refusal(reach: Reach, fault: Fault) -> str | None:
    """Why it is refused, found by ways that can only read."""
    return resolved(reach, fault).refuse(reading(reach, (line.ASKING,)))


@contextmanager
def active(do: Do, fault: Fault, lease_s: float = 30.0) -> Iterator[Lived]:
    """The fault is seen while the body runs; afterwards it is seen to be gone."""
    ready = do(lambda reach: resolved(reach, fault))
    assert do(lambda reach: ready.refuse(reading(reach, (line.ASKING,)))) is None
    life = do(lambda reach: Life(ready, reach, lambda _event, _data: None, lease_s=lease_s))
    lived = Lived(life, do(lambda reach: reach))
    _timed(do, lived, "armed", lambda: life.arm())
    try:
        _timed(do, lived, "injected", life.inject)
        _timed(do, lived, "seen", life.see)
        yield lived
    finally:
        _timed(do, lived, "healed", life.heal)
    _timed(do, lived, "gone", life.see_gone)


def _timed(do: Do, lived: Lived, stage: str, step: Callable[[], float | None]) -> None:
    took = do(lambda _reach: step())
    if took is not None:
        lived.took_s[stage] = round(took, 2)
