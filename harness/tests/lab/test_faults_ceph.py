"""Faults of Ceph's daemons, each lived once on the lab: others see it, and see it gone again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.faults import seen
from harness.faults.fail_mds import FailMds
from harness.faults.fault import Fault
from harness.faults.osd_out import OsdOut
from harness.faults.stop_monitor import StopMonitor
from harness.faults.stop_osd import StopOsd
from harness.tests.lab.breaking import Do, inside
from harness.tests.lab.lived import Record, active
from harness.tests.lab.world import World
from harness.transport import Reach
from harness.waiting import until

TWO, THREE = "vmi2887102", "vmi2887103"


@pytest.fixture
def do(world: World) -> Iterator[Do]:
    with inside(world) as way:
        yield way


@pytest.mark.parametrize(
    "fault",
    [
        StopOsd(id="0ff0", machine=TWO),
        OsdOut(id="0ff1", machine=THREE),
        StopMonitor(id="0ff2", machine=TWO),
    ],
    ids=lambda fault: fault.name,
)
def test_what_one_machine_has_of_ceph_is_missed_and_comes_back(
    do: Do, fault: Fault, record_property: Record
) -> None:
    def missed(reach: Reach) -> bool:
        health = seen.ceph(reach, fault.machine, "status")["health"]["status"]
        return bool(health == "HEALTH_WARN")

    with active(do, fault, record_property):
        until(lambda: do(missed), within_s=30, what="Ceph misses it")


def test_another_metadata_server_takes_over_from_one_that_was_killed(
    do: Do, record_property: Record
) -> None:
    killed = do(serving)
    with active(do, FailMds(id="0ff3", machine=TWO), record_property):
        assert do(serving) != killed


def serving(reach: Reach) -> str:
    """The name of the metadata server that is active, as the manager has it."""
    told = seen.ceph(reach, "", "fs", "status")["mdsmap"]
    return next(str(it["name"]) for it in told if it["state"] == "active")
