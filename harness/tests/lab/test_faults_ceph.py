"""Faults of Ceph's daemons, each once on the lab: observers see it active, and gone again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.core.waiting import until
from harness.faults import ceph
from harness.faults.ceph import Status
from harness.faults.kinds.ceph import FailMds, OsdOut, StopMonitor, StopOsd
from harness.tests.lab.breaking import Do, inside
from harness.tests.lab.lived import Record, all_active
from harness.tests.lab.world import World
from harness.transport import Reach
from harness.transport.objects import listed, must, text

TWO, THREE = "vmi2887102", "vmi2887103"


@pytest.fixture
def do(world: World) -> Iterator[Do]:
    with inside(world) as way:
        yield way


def test_a_monitor_and_an_osd_of_one_machine_are_missed_and_come_back(
    do: Do, record_property: Record
) -> None:
    def left(reach: Reach) -> tuple[int, int]:
        status = ceph.ask(reach, TWO, "status", read=Status)
        return len(status.quorum_names), status.osdmap.num_up_osds

    assert do(left) == (3, 3)
    faults = (StopOsd(id="0ff0", machine=TWO), StopMonitor(id="0ff2", machine=TWO))
    with all_active(do, faults, record_property):
        until(lambda: do(left) == (2, 2), within_s=120, what="Ceph misses both")
    until(lambda: do(left) == (3, 3), within_s=120, what="Ceph has both back")


def test_another_metadata_server_takes_over_while_an_osd_is_out(
    do: Do, record_property: Record
) -> None:
    """Its copies stay until other OSDs have them: Ceph stays healthy meanwhile."""

    def left(reach: Reach) -> int:
        return ceph.ask(reach, THREE, "status", read=Status).osdmap.num_in_osds

    assert do(left) == 3
    killed = until(lambda: do(serving), within_s=60, what="a metadata server is active")
    faults = (OsdOut(id="0ff1", machine=THREE), FailMds(id="0ff3", machine=TWO))
    with all_active(do, faults, record_property):
        # The manager hears of it after the monitors.
        until(
            lambda: do(serving) not in ("", killed),
            within_s=60,
            what=f"another metadata server than {killed} is active",
        )
        until(lambda: do(left) == 2, within_s=120, what="Ceph misses it")
    until(lambda: do(left) == 3, within_s=120, what="Ceph has it back")


def serving(reach: Reach) -> str:
    """The active metadata server, according to the manager; empty while there is none."""
    told = ceph.ask(reach, "", "fs", "status", read=object)
    active = (must(it, "name") for it in listed(told, "mdsmap") if text(it, "state") == "active")
    return next(active, "")
