"""A fault's whole life on the lab, with what each stage of it took."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import TypeAlias

from harness.faults.fault import Fault
from harness.faults.keeper import leftovers
from harness.faults.life import LEASE_S, Life, Stage
from harness.transport import Reach

Record: TypeAlias = Callable[[str, object], None]

SEED = 7


def resolved(reach: Reach, fault: Fault) -> Fault:
    """The fault with every choice made; AssertionError when it is refused here."""
    found = fault.resolved(reach, Random(SEED))
    why = found.refuse(reach)
    assert why is None, why
    return found


@contextmanager
def active(
    reach: Reach, fault: Fault, record: Record, *, lease_s: float = LEASE_S
) -> Iterator[Life]:
    """The fault is there while the body runs; afterwards it is gone, and nothing of it is left.

    Whatever fails, it is taken back.
    """
    life = Life(fault, reach, lambda _event, _data: None, lease_s=lease_s)
    record("target", fault.target)
    try:
        life.arm()
        with life.renewed():
            record("inject_s", round(life.inject(), 1))
            record("seen_s", round(life.see(), 1))
            yield life
    finally:
        if life.stage is not Stage.NEW:
            record("heal_s", round(life.heal(), 1))
            record("gone_s", round(life.see_gone(), 1))
    assert leftovers(reach) == ([], [])
