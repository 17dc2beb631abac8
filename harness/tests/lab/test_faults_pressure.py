"""Faults that exhaust a machine's resources, on the lab: seen by observers, and nothing is left."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness.core.errors import InjectFailed
from harness.faults.fault import Fault
from harness.faults.fault_lifecycle import FaultState
from harness.faults.kinds.disk_speed import SlowDisk
from harness.faults.kinds.resources import ExhaustCpu, ExhaustMemory, FillDisk
from harness.faults.model import Argv
from harness.tests.lab.breaking import inside
from harness.tests.lab.lived import Record, active, leaving_nothing, new_id
from harness.tests.lab.red import beside
from harness.tests.lab.world import World
from harness.transport import Reach


def exhaust_cpu(name: str) -> Fault:
    """The processors are shared with two other machines, and with other work on this host."""
    return ExhaustCpu(id=new_id(), machine=name, percent=60)


def exhaust_memory(name: str) -> Fault:
    """A quarter of the memory that the kubelet sees, the host's: nearly the machine's limit."""
    return ExhaustMemory(id=new_id(), machine=name, percent=26)


def fill_disk(name: str) -> Fault:
    """Above 70 % monitors complain; above 85 % the kubelet deletes images for good."""
    return FillDisk(id=new_id(), machine=name, percent=60)


def slow_disk(name: str) -> Fault:
    return SlowDisk(id=new_id(), machine=name, kib_per_s=256, slow_ms=400)


@contextmanager
def writes(world: World, name: str) -> Iterator[None]:
    """A process writes a little to that machine's OSD all the time."""
    disks = world.lab.profile.disks
    assert disks is not None
    bench = f"while :; do ceph tell osd.{disks.osds[name]} bench 262144 4096; done"
    with beside(world, world.one, "sh", "-c", bench):
        yield


def test_pressures_on_three_machines_are_seen_and_gone_and_leave_nothing(
    world: World, record_property: Record
) -> None:
    one, two, three = world.lab.nodes
    faults = (exhaust_memory(two.name), fill_disk(one.name), slow_disk(three.name))
    with (
        inside(world) as do,
        writes(world, three.name),
        leaving_nothing(world, do, faults, record_property) as lives,
    ):
        assert {life.stage for life in lives} == {FaultState.ACTIVE}


def test_a_busy_processor_is_seen_and_gone_and_leaves_nothing(
    world: World, record_property: Record
) -> None:
    fault = exhaust_cpu(world.three.name)
    with inside(world) as do, leaving_nothing(world, do, [fault], record_property) as (life,):
        assert life.stage is FaultState.ACTIVE


class Misspelt(ExhaustCpu):
    """A fault whose stress-ng options are invalid."""

    def stress(self, reach: Reach) -> Argv:
        return (*super().stress(reach), "--no-such-load")


def test_a_load_that_ends_by_itself_says_why(world: World, record_property: Record) -> None:
    fault = Misspelt(id=new_id(), machine=world.three.name, percent=95)
    with (
        inside(world) as do,
        pytest.raises(InjectFailed, match=r"ended early: .*no-such-load"),
        active(do, fault, record_property),
    ):
        pytest.fail("nobody can have seen it")


@pytest.mark.long
def test_what_runs_in_a_unit_of_ours_is_the_first_to_go(
    world: World, record_property: Record
) -> None:
    """When memory runs out after all, the kernel ends the fault's unit, and no cluster member."""
    with inside(world) as do, active(do, exhaust_memory(world.three.name), record_property):
        pids = world.do(world.three, "pgrep", "stress-ng").split()
        scores = [world.do(world.three, "cat", f"/proc/{pid}/oom_score_adj") for pid in pids]
        assert {int(it) for it in scores} == {1000}, json.dumps(scores)
