"""Faults of Ceph's daemons, each lived once on the lab: others see it, and see it gone again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import pytest

from harness.faults import observers
from harness.faults.fault import Fault
from harness.faults.kinds.fail_mds import FailMds
from harness.faults.kinds.osd_out import OsdOut
from harness.faults.kinds.stop_monitor import StopMonitor
from harness.faults.kinds.stop_osd import StopOsd
from harness.tests.lab.breaking import Do, inside
from harness.tests.lab.lived import Record, active
from harness.tests.lab.world import World
from harness.transport import Reach
from harness.waiting import until

Status: TypeAlias = Mapping[str, Any]

TWO, THREE = "vmi2887102", "vmi2887103"


@pytest.fixture
def do(world: World) -> Iterator[Do]:
    with inside(world) as way:
        yield way


def osds(word: str) -> Callable[[Status], int]:
    return lambda status: int(status["osdmap"][word])


def quorum(status: Status) -> int:
    return len(status["quorum_names"])


@pytest.mark.parametrize(
    ("fault", "those_left"),
    [
        (StopOsd(id="0ff0", machine=TWO), osds("num_up_osds")),
        # Its copies stay where they are until others have them: nothing is unwell meanwhile.
        (OsdOut(id="0ff1", machine=THREE), osds("num_in_osds")),
        (StopMonitor(id="0ff2", machine=TWO), quorum),
    ],
    ids=lambda it: getattr(it, "name", ""),
)
def test_what_one_machine_has_of_ceph_is_missed_and_comes_back(
    do: Do, fault: Fault, those_left: Callable[[Status], int], record_property: Record
) -> None:
    def left(reach: Reach) -> int:
        return those_left(observers.ceph(reach, fault.machine, "status"))

    assert do(left) == 3
    with active(do, fault, record_property):
        until(lambda: do(left) == 2, within_s=30, what="Ceph misses it")
    until(lambda: do(left) == 3, within_s=30, what="Ceph has it back")


def test_another_metadata_server_takes_over_from_one_that_was_killed(
    do: Do, record_property: Record
) -> None:
    killed = do(serving)
    with active(do, FailMds(id="0ff3", machine=TWO), record_property):
        assert do(serving) != killed


def serving(reach: Reach) -> str:
    """The name of the metadata server that is active, as the manager has it."""
    told = observers.ceph(reach, "", "fs", "status")["mdsmap"]
    return next(str(it["name"]) for it in told if it["state"] == "active")
